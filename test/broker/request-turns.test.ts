/** How SUBSCRIBEs of all devices share the thread. */
import { expect, it } from "vitest";
import { RequestTurns } from "../../src/broker/request-turns.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("a turn begins what has a hundred filters together, or one that has more, in the order of asking", async () => {
  const turns = new RequestTurns();
  const begun: number[] = [];
  const ask = (filters: number): void => turns.take(filters, () => void begun.push(filters));
  for (const filters of [60, 61, 1, 5000, 2, 3]) ask(filters);
  expect(begun).toEqual([60, 61]);
  await turn();
  expect(begun).toEqual([60, 61, 1, 5000]);
  ask(4);
  await turn();
  expect(begun).toEqual([60, 61, 1, 5000, 2, 3, 4]);
  await turn();
  ask(5);
  expect(begun.at(-1)).toBe(5);
});

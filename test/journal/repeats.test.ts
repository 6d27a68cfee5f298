import { expect, it } from "vitest";
import { Group } from "../../src/journal/group.ts";
import { Repeats } from "../../src/journal/repeats.ts";

const key = (n: number): Buffer => Buffer.alloc(16, n);

it("the oldest calls are forgotten, on disk as well, when there are as many as are remembered", () => {
  const repeats = new Repeats(3);
  const group = new Group(1);
  for (let n = 1; n <= 4; n++) repeats.stage(group, key(n), { seq: n, timeMs: 1000 + n, content: 7 });
  expect(repeats.count).toBe(3);
  expect([1, 2, 3, 4].map((n) => repeats.known(key(n), 2000)?.seq)).toEqual([undefined, 2, 3, 4]);
  expect(group.operations.filter(({ type }) => type === "del").map(({ key: row }) => row[1])).toEqual([1]);
});

it("who asks without end has the own calls forgotten, and nobody else's", () => {
  const repeats = new Repeats(10);
  const group = new Group(1);
  const call = (caller: number, n: number): Buffer => Buffer.concat([Buffer.alloc(4, caller), Buffer.alloc(12, n)]);
  for (let n = 1; n <= 3; n++) repeats.stage(group, call(1, n), { seq: n, timeMs: 1000, content: 7 });
  for (let n = 1; n <= 200; n++) repeats.stage(group, call(2, n), { seq: 3 + n, timeMs: 1000, content: 7 });
  expect(repeats.count).toBe(10);
  expect([1, 2, 3].map((n) => repeats.known(call(1, n), 1000)?.seq)).toEqual([1, 2, 3]);
  expect([193, 194].map((n) => repeats.known(call(2, n), 1000)?.seq)).toEqual([undefined, 197]);
  // What comes later has its share all the same.
  for (let n = 4; n <= 6; n++) repeats.stage(group, call(1, n), { seq: 300 + n, timeMs: 1000, content: 7 });
  expect([2, 6].map((n) => repeats.known(call(1, n), 1000)?.seq)).toEqual([2, 306]);
  expect(repeats.count).toBe(10);
});

it("calls that are found at a start are the same again, oldest first, and a damaged one is not believed", () => {
  const group = new Group(1);
  const before = new Repeats(10);
  for (const n of [3, 1, 2]) before.stage(group, key(n), { seq: 10 - n, timeMs: n, content: 2 ** 32 - n });
  const after = new Repeats(3);
  for (const operation of group.operations) {
    if (operation.type === "put") expect(after.found(operation.key, operation.value)).toBe(true);
  }
  after.sort();
  expect(after.known(key(2), 5)).toEqual({ seq: 8, timeMs: 2, content: 2 ** 32 - 2 });
  after.stage(group, key(4), { seq: 11, timeMs: 5, content: 0 });
  expect(after.known(key(3), 5)).toBeUndefined();
  const [first] = group.operations;
  if (first?.type !== "put") throw new Error("nothing was written");
  first.value[6] = (first.value[6] as number) ^ 1;
  expect(after.found(first.key, first.value)).toBe(false);
});

it("a call is remembered for a day, and where the clock was not set, then or now, as long as there is room", () => {
  const repeats = new Repeats(10);
  const [day, set] = [86_400_000, Date.UTC(2026, 0, 1)];
  repeats.stage(new Group(1), key(1), { seq: 1, timeMs: set, content: 7 });
  repeats.stage(new Group(2), key(2), { seq: 2, timeMs: 60_000, content: 7 });
  const known = (nowMs: number): unknown[] => [1, 2].map((n) => repeats.known(key(n), nowMs)?.seq);
  expect(known(120_000)).toEqual([1, 2]);
  expect(known(set + day)).toEqual([1, 2]);
  expect(known(set + day + 1)).toEqual([undefined, 2]);
});

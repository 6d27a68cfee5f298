import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseLines } from "./rig/cloud-lines.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { imbalances } from "./rig/oracle.ts";

const TICKING = `
export const config = { schedule: { every: "1s", missed: "all" }, to: ["cloud"] };
export default (event) => ({ ...event.data, type: event.type, source: event.source, subject: event.subject });`;

interface Ticked {
  readonly scheduled: string;
  readonly missed: number;
}

it("a schedule neither skips nor doubles an instant across restarts and kill -9", async () => {
  await using gateway = await GatewayProcess.start({ handlers: { "tick.js": TICKING } });
  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  for (let life = 0; life < 4; life++) {
    await wait(1200 + 350 * life);
    if (life === 2) await gateway.stop();
    else await gateway.kill9();
    await wait(life * 700);
    await gateway.start();
  }
  await wait(1500);
  // No more ticks, so that the backlog can be empty.
  gateway.writeConfig({ handlers: { settings: { tick: { schedule: "0 0 1 1 *" } } } });
  gateway.signal("SIGHUP");
  await wait(1000);
  const ledger = await gateway.drained();
  const { lines } = parseLines(readFileSync(join(gateway.folder, "cloud/events.ndjson"), "utf8").trim().split("\n"));
  const unique = [...new Map(lines.map((line) => [line.id, line.data as unknown as Ticked])).values()];
  const instants = unique.map(({ scheduled }) => Date.parse(scheduled) / 1000);
  const first = instants[0] as number;
  expect(instants.length).toBeGreaterThan(6);
  expect(instants).toEqual(instants.map((_, index) => first + index));
  expect(unique.every(({ missed }) => missed === 0)).toBe(true);
  expect(unique[0]).toMatchObject({ type: "sluice.schedule.tick", source: "//edge-test", subject: "tick" });
  expect(ledger.events).toMatchObject({ accepted: unique.length, done: unique.length });
  expect(imbalances(ledger)).toEqual([]);
  const { handlers } = (await gateway.status()) as unknown as { handlers: { triggers: string[] }[] };
  expect(handlers[0]?.triggers).toEqual(["schedule 0 0 1 1 * UTC, missed: skip"]);
});

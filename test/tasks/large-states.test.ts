/** Events of many keys with large states: a batch is never more than a runner can be told in one go. */
import { afterEach, expect, it } from "vitest";
import { createLog } from "../../src/log.ts";
import { runFitting } from "../../src/tasks/run.ts";
import type { RunResult } from "../../src/tasks/run.ts";
import { bundle, loadAll, openSandbox, shortly, task, withLimits } from "../sandbox/opened.ts";
import type { Opened } from "../sandbox/opened.ts";

const MB = 1024 * 1024;
const KEYS = 40;

let opened: Opened;
afterEach(() => opened.sandbox.close());

it("forty keys with a megabyte of state each cost no runner: what does not fit comes back, and has its turn", async () => {
  withLimits({ stateBytesMax: MB });
  opened = await openSandbox({}, { log: createLog({ level: "silent", pretty: false }) });
  const { sandbox } = opened;
  const handler = bundle("return ctx.state.text.length", { settings: { timeoutMs: 5000, memoryBytes: 256 * MB } });
  await loadAll(sandbox, handler);
  let left = Array.from({ length: KEYS }, (_, n) => task(handler.id, { seq: n + 1, key: `k${n}` }));
  const states = new Map(left.map(({ key }) => [key, JSON.stringify({ text: "\u00e9".repeat(MB - 12) })]));
  const ends: unknown[] = [];
  for (let turns = 0; left.length > 0 && turns < KEYS; turns++) {
    const batch = left;
    const results = await new Promise<readonly RunResult[]>((resolve) => {
      const own = batch.map(({ key }) => states.get(key));
      runFitting(sandbox, { runner: 0, side: "live" }, handler.id, batch, own, undefined, (result) =>
        resolve(result.results),
      );
    });
    expect(results).toHaveLength(batch.length);
    ends.push(...shortly(results.filter(({ at }) => at === "done")));
    left = batch.filter((_, i) => results[i]?.at === "unrun");
  }
  expect(ends).toEqual(Array.from({ length: KEYS }, () => [String(MB - 12)]));
  expect(sandbox.figures()).toMatchObject({ runnersLost: 0 });
}, 60_000);

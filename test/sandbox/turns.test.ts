/** A runner that has much to do at once is well, and says so. */
import { afterEach, expect, it } from "vitest";
import { bundle, compute, loadAll, openSandbox, run, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
afterEach(() => opened.sandbox.close());

it("is not taken for dead while hundreds of short batches wait in it, cold isolates among them", async () => {
  opened = await openSandbox({ idle: "1ms" });
  const { sandbox } = opened;
  const handlers = Array.from({ length: 150 }, () =>
    bundle(`${compute(6)} return 1`, { settings: { timeoutMs: 5000 } }),
  );
  await loadAll(sandbox, ...handlers);
  // All have been given up by now: each builds an isolate before it runs.
  await expect.poll(() => sandbox.figures().isolatesRested, { timeout: 60_000 }).toBeGreaterThan(100);
  const startMs = performance.now();
  const endMs: number[] = [];
  const all = await Promise.all(
    handlers.map(async ({ id }) => {
      const ran = await run(sandbox, id, [task(id)]);
      endMs.push(performance.now() - startMs);
      return ran;
    }),
  );
  for (const { results } of all) expect(shortly(results)).toEqual([["1"]]);
  expect(sandbox.figures()).toMatchObject({ runnersLost: 0, killedForTime: 0 });
  // Nobody waits for isolates of those that came later.
  expect(endMs[0]).toBeLessThan((endMs.at(-1) as number) / 3);
}, 120_000);

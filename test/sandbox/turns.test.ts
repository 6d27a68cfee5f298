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

it("keeps nobody waiting for one handler's many isolates, which are built and loop side by side", async () => {
  opened = await openSandbox();
  const { sandbox } = opened;
  const loop = bundle("for (;;);", { settings: { timeoutMs: 200, concurrency: 32 } });
  const good = bundle("return 1");
  await loadAll(sandbox, loop, good);
  const looping = Array.from({ length: 32 }, (_, n) => run(sandbox, loop.id, [task(loop.id, { key: `k${n}` })]));
  let isOver = false;
  const over = Promise.all(looping).finally(() => (isOver = true));
  const startMs = performance.now();
  let longestMs = 0;
  while (!isOver) {
    const askedMs = performance.now();
    const { results } = await run(sandbox, good.id, [task(good.id)]);
    expect(shortly(results)).toEqual([["1"]]);
    longestMs = Math.max(longestMs, performance.now() - askedMs);
  }
  // For a round of turns, and not until all of them are through.
  expect(longestMs).toBeLessThan((performance.now() - startMs) / 3);
  for (const { results } of await over) expect(shortly(results)).toEqual(["SANDBOX_TIMEOUT"]);
  expect(sandbox.figures().runnersLost).toBe(0);
}, 60_000);

/** Garbage of busy isolates adds up to more than a runner may have, although none of them has done anything wrong. */
import { expect, it } from "vitest";
import { bundle, loadAll, openSandbox, run, task } from "./opened.ts";

const HANDLERS = 8;
/** With 3 MB for each handler on top, and some 60 MB that a runner takes by itself. */
const RUNNER_MEMORY_MAX = "160MB";

it("a runner gives isolates up before the gateway has to kill it, and no event suffers", async () => {
  const { sandbox } = await openSandbox({ runnerMemoryMax: RUNNER_MEMORY_MAX });
  // Kept for good: no collection by the isolate itself gives it back.
  const code =
    "const kept = []; module.exports.default = () => { for (let i = 0; i < 1500; i++) kept.push([i]); if (kept.length > 320000) kept.length = 0; return kept.length > 0; };";
  const handlers = Array.from({ length: HANDLERS }, () =>
    bundle("", { code, settings: { memoryBytes: 32 * 2 ** 20, timeoutMs: 2000 } }),
  );
  try {
    await loadAll(sandbox, ...handlers);
    const [pid] = sandbox.pids;
    const ends = performance.now() + 20_000;
    let seq = 0;
    while (performance.now() < ends) {
      const runs = handlers.map(async ({ id }) => (await run(sandbox, id, [task(id, { seq: ++seq })])).results[0]?.at);
      expect(new Set(await Promise.all(runs))).toEqual(new Set(["done"]));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(sandbox.pids[0]).toBe(pid);
    expect(sandbox.figures()).toMatchObject({ runnersLost: 0 });
  } finally {
    await sandbox.close();
  }
}, 60_000);

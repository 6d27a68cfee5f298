/** Who is suspected when a runner is lost: `crashed` costs a task a trial of its own, and in the end its life. */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { RunResult } from "../../src/sandbox/results.ts";
import type { Sandbox } from "../../src/sandbox/sandbox.ts";
import { scriptedRunner } from "../doubles/scripted-runner.ts";
import { bundle, loadAll, openSandbox, patient, run, shortly, task } from "./opened.ts";

let sandbox: Sandbox;
beforeEach(async () => ({ sandbox } = await openSandbox({}, { command: scriptedRunner })));
afterEach(() => sandbox.close());

const saying = (handler: number, word: string): ReturnType<typeof task> =>
  task(handler, { payload: Buffer.from(JSON.stringify(word)) });

/** Runs it as the pipeline does: again at once, while it is not run. Resolves with all that it came to. */
function insisting(handler: number, first: string, then: string): Promise<string[]> {
  return new Promise((resolve) => {
    const came: string[] = [];
    const hand = (word: string): void =>
      sandbox.run(0, handler, [saying(handler, word)], [], ({ results }) => {
        came.push((results[0] as RunResult).at);
        if (came.at(-1) === "unrun" && came.length < 10) hand(then);
        else resolve(came);
      });
    hand(first);
  });
}

const lostTwice = { failure: { code: "SANDBOX_RUNNER_LOST" } };

it("a module that kills the runner as it is loaded is refused; what was beside it is suspected once", async () => {
  const good = bundle("");
  await loadAll(sandbox, good);
  const beside = run(sandbox, good.id, [saying(good.id, "hold")]);
  const deadly = bundle("", { code: "die" });
  expect(await sandbox.inspect(deadly)).toMatchObject(lostTwice);
  expect(shortly((await beside).results)).toEqual(["crashed"]);
  // The second time with nothing beside it, and so every further time.
  expect(sandbox.figures()).toMatchObject({ runnersLost: 2 });
  const trial = run(sandbox, good.id, [saying(good.id, "go on")]);
  expect(await sandbox.load(deadly)).toMatchObject(lostTwice);
  expect(shortly((await trial).results)).toEqual([[]]);
  expect(sandbox.figures()).toMatchObject({ runnersLost: 4 });
});

it("a batch that kills the runner is found out however many modules are loaded meanwhile, and none of them is blamed", async () => {
  const good = bundle("");
  await loadAll(sandbox, good);
  const kill = async (): Promise<unknown> => {
    const batch = run(sandbox, good.id, [saying(good.id, "hold")]);
    await expect.poll(() => sandbox.figures(), patient).toMatchObject({ runnersReady: 1, batchesInFlight: 1 });
    process.kill(sandbox.pids[0] as number, "SIGKILL");
    return shortly((await batch).results)[0];
  };
  const first = run(sandbox, good.id, [saying(good.id, "hold")]);
  const loads = Array.from({ length: 5 }, () => sandbox.inspect(bundle("")));
  process.kill(sandbox.pids[0] as number, "SIGKILL");
  expect(shortly((await first).results)).toEqual(["crashed"]);
  for (const loaded of await Promise.all(loads)) expect(loaded).toMatchObject({ at: "ready" });
  // Alone: what is to be loaded meanwhile waits, and is not lost with it.
  const trial = kill();
  const later = sandbox.inspect(bundle(""));
  expect(await trial).toBe("crashed");
  expect(await later).toMatchObject({ at: "ready" });
  expect(sandbox.figures()).toMatchObject({ runnersLost: 2 });
});

it("beside an isolate that cannot be stopped nobody is suspected, and the next batches go to the successor (S2)", async () => {
  const stuck = bundle("");
  const good = bundle("");
  await loadAll(sandbox, stuck, good);
  const beside = [insisting(good.id, "hold", "go on"), insisting(good.id, "hold", "go on")];
  let next: Promise<string[]> | undefined;
  const results = await new Promise<readonly RunResult[]>((resolve) => {
    const batch = [saying(stuck.id, "stuck"), task(stuck.id, { seq: 2 }), task(stuck.id, { seq: 3, key: "other" })];
    sandbox.run(0, stuck.id, batch, [], (result) => {
      next = insisting(stuck.id, "go on", "go on");
      resolve(result.results);
    });
  });
  expect(shortly(results)).toEqual(["SANDBOX_TIMEOUT", "behind", "unrun"]);
  expect(await next).toEqual(["done"]);
  expect(await Promise.all(beside)).toEqual([
    ["unrun", "done"],
    ["unrun", "done"],
  ]);
  expect(sandbox.figures()).toMatchObject({ runnersLost: 1, killedForTime: 1, batchesInFlight: 0 });
  expect(shortly((await run(sandbox, good.id, [saying(good.id, "on")])).results)).toEqual([[]]);
});

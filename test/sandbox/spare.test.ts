import { afterEach, describe, expect, it } from "vitest";
import { scriptedRunner } from "../doubles/scripted-runner.ts";
import { alive, bundle, loadAll, openSandbox, patient, run, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened | undefined;
afterEach(async () => {
  await opened?.sandbox.close();
  opened = undefined;
});

/** One runner with a handler in it, which has been lost once; resolves when the next one works. */
async function openAfterALoss(settings: object = {}) {
  opened = await openSandbox({ runners: 1, ...settings });
  const { sandbox } = opened;
  const good = bundle("return event.data.n");
  await loadAll(sandbox, good);
  const one = async (): Promise<unknown> => {
    const only = task(good.id, { payload: Buffer.from('{"n":7}') });
    return shortly((await run(sandbox, good.id, [only])).results)[0];
  };
  expect(sandbox.sparePids).toEqual([0, 0]);
  process.kill(sandbox.pids[0] as number, "SIGKILL");
  await expect.poll(() => sandbox.figures().runnersLost, patient).toBe(1);
  expect(await one()).toEqual(["7"]);
  return { sandbox, one };
}

async function spareOf(sandbox: Opened["sandbox"]): Promise<number> {
  await expect.poll(() => sandbox.sparePids[0], patient).toBeGreaterThan(0);
  return sandbox.sparePids[0] as number;
}

describe("a runner in reserve", () => {
  it("takes over where the second runner is lost, and another is in reserve then", async () => {
    const { sandbox, one } = await openAfterALoss();
    const spare = await spareOf(sandbox);
    expect(sandbox.figures()).toMatchObject({ runnersSpare: 1, runnersAwake: 1, runnersStarted: 2 });
    process.kill(sandbox.pids[0] as number, "SIGKILL");
    await expect.poll(() => sandbox.pids[0], patient).toBe(spare);
    expect(await one()).toEqual(["7"]);
    expect(sandbox.pids[0]).toBe(spare);
    expect(sandbox.figures()).toMatchObject({ runnersLost: 2, runnersStarted: 3 });
    expect(await spareOf(sandbox)).not.toBe(spare);
  });

  it("is not kept where nothing was lost for as long as idle runners are kept", async () => {
    const { sandbox } = await openAfterALoss({ idle: "2s" });
    const spare = await spareOf(sandbox);
    await expect.poll(() => [sandbox.sparePids[0], alive(spare)], patient).toEqual([0, false]);
    expect(sandbox.figures()).toMatchObject({ runnersSpare: 0, runnersReady: 1, runnersLost: 1 });
  });

  it("that is killed while it waits is not missed, and is no loss", async () => {
    const { sandbox, one } = await openAfterALoss();
    process.kill(await spareOf(sandbox), "SIGKILL");
    await expect.poll(() => sandbox.sparePids[0], patient).toBe(0);
    expect(sandbox.figures().runnersLost).toBe(1);
    process.kill(sandbox.pids[0] as number, "SIGKILL");
    await expect.poll(() => sandbox.figures().runnersLost, patient).toBe(2);
    expect(await one()).toEqual(["7"]);
  });

  it("is lost itself, just taken, and its place is filled all the same", async () => {
    const { sandbox, one } = await openAfterALoss();
    const spare = await spareOf(sandbox);
    process.kill(spare, "SIGKILL");
    process.kill(sandbox.pids[0] as number, "SIGKILL");
    await expect.poll(() => sandbox.figures().runnersLost, patient).toBeGreaterThan(1);
    expect(await one()).toEqual(["7"]);
  });

  it("is gone when the sandbox is closed", async () => {
    const { sandbox } = await openAfterALoss();
    const spare = await spareOf(sandbox);
    await sandbox.close();
    expect(alive(spare)).toBe(false);
  });

  it("that says something unasked is killed", async () => {
    const talkative = scriptedRunner.stdin.replace(
      'say("ready", 0, json(null))',
      'say("ready", 0, json(null)), setTimeout(() => say("beat", 0, json({ alive: 0, rested: 0, yielded: 0 })), 300)',
    );
    expect(talkative).not.toBe(scriptedRunner.stdin);
    opened = await openSandbox({ runners: 1 }, { command: { ...scriptedRunner, stdin: talkative } });
    const { sandbox } = opened;
    process.kill(sandbox.pids[0] as number, "SIGKILL");
    const spare = await spareOf(sandbox);
    await expect.poll(() => [sandbox.sparePids[0], alive(spare)], patient).toEqual([0, false]);
    expect(sandbox.figures()).toMatchObject({ runnersReady: 1, runnersLost: 1 });
  });
});

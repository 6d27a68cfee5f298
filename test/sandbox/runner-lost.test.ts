import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { alive, bundle, compute, loadAll, openSandbox, patient, run, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened | undefined;
afterEach(async () => {
  await opened?.sandbox.close();
  opened = undefined;
});

describe("a runner that is killed", () => {
  it("answers what it had in flight as crashed, is replaced, and knows all handlers again (S1, S5)", async () => {
    opened = await openSandbox({ runners: 2 });
    const { sandbox } = opened;
    const slow = bundle(compute(5000), { settings: { timeoutMs: 9000 } });
    const good = bundle("return ctx.version", { version: 3 });
    await loadAll(sandbox, slow, good);
    const inFlight = run(sandbox, slow.id, [task(slow.id), task(slow.id, { key: "other" })]);
    const elsewhere = run(sandbox, good.id, [task(good.id)], [], 1);
    const pid = sandbox.pids[0] as number;
    process.kill(pid, "SIGKILL");
    expect(shortly((await inFlight).results)).toEqual(["crashed", "crashed"]);
    // Sent while there is no runner: it waits for the next one.
    const next = run(sandbox, good.id, [task(good.id)]);
    expect(shortly((await next).results)).toEqual([["3"]]);
    expect(shortly((await elsewhere).results)).toEqual([["3"]]);
    expect(sandbox.pids[0]).not.toBe(pid);
    expect(sandbox.figures()).toMatchObject({ runnersReady: 2, runnersLost: 1, runnersStarted: 3 });
  });

  it("over and over loses no batch and doubles none", async () => {
    opened = await openSandbox();
    const { sandbox } = opened;
    const good = bundle("return event.data.n");
    await loadAll(sandbox, good);
    const batches = 60;
    const answers: unknown[][] = [];
    const runOnes = async (from: number): Promise<void> => {
      for (let n = from; n < batches; n += 3) {
        const only = task(good.id, { payload: Buffer.from(`{"n":${n}}`) });
        answers[n] = shortly((await run(sandbox, good.id, [only])).results);
        // Now and then with others in flight, and never one that is only starting.
        const [pid] = sandbox.pids;
        if (n % 10 === 0 && pid !== undefined && sandbox.figures().runnersReady === 1) process.kill(pid, "SIGKILL");
      }
    };
    await Promise.all([runOnes(0), runOnes(1), runOnes(2)]);
    for (const [n, answer] of answers.entries()) expect([[[String(n)]], ["crashed"]]).toContainEqual(answer);
    expect(answers.filter(([only]) => only !== "crashed").length).toBeGreaterThan(batches / 2);
    expect(sandbox.figures().runnersLost).toBeGreaterThan(1);
    expect(sandbox.figures().batchesInFlight).toBe(0);
  });

  it("while a handler is loaded does not fail the load", async () => {
    opened = await openSandbox();
    const { sandbox } = opened;
    const handler = bundle("return 1", {
      code: `${compute(200)} module.exports.default = () => 1`,
    });
    const loading = sandbox.load(handler);
    setTimeout(() => process.kill(sandbox.pids[0] as number, "SIGKILL"), 50);
    expect(await loading).toMatchObject({ at: "ready" });
    expect(shortly((await run(sandbox, handler.id, [task(handler.id)])).results)).toEqual([["1"]]);
  });
});

describe("close()", () => {
  it("answers what is in flight as unrun, and leaves no process", async () => {
    opened = await openSandbox({ runners: 2 });
    const { sandbox } = opened;
    const slow = bundle("for (;;);", { settings: { timeoutMs: 9000 } });
    await loadAll(sandbox, slow);
    const inFlight = run(sandbox, slow.id, [task(slow.id)]);
    await sandbox.wake(1);
    const pids = sandbox.pids.filter((pid) => pid > 0);
    expect(pids).toHaveLength(2);
    await sandbox.close();
    expect((await inFlight).results).toEqual([{ at: "unrun" }]);
    expect(pids.map(alive)).toEqual([false, false]);
  });
});

describe("a runner's process", () => {
  it("has no environment, and may neither read files, nor start processes, nor write", async () => {
    opened = await openSandbox();
    const [pid] = opened.sandbox.pids;
    const { readFileSync, readdirSync } = await import("node:fs");
    expect(readFileSync(`/proc/${pid}/environ`, "utf8")).toBe("");
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")).toContain("--permission");
    expect(readdirSync(`/proc/${pid}/fd`).length).toBeLessThan(40);
  });
});

describe("a runner that nobody needs", () => {
  it("has no process until the first request, ends when it has had none for long, and comes back with the next", async () => {
    opened = await openSandbox({ runners: 1, idle: "1s" });
    const { sandbox } = opened;
    expect(sandbox.pids.map((pid) => pid > 0)).toEqual([true, false]);
    const handler = bundle("return ctx.state.n = (ctx.state.n ?? 0) + 1");
    await loadAll(sandbox, handler);
    const there = async (runner: number): Promise<unknown> =>
      shortly((await run(sandbox, handler.id, [task(handler.id)], ['{"n":6}'], runner)).results);
    expect(await there(1)).toEqual([["7"]]);
    const [, second] = sandbox.pids;
    expect(sandbox.figures()).toMatchObject({ runnersAwake: 2, runnersReady: 2 });
    await expect.poll(() => [sandbox.pids[1], alive(second as number)], patient).toEqual([0, false]);
    // The first one stays, however long nothing comes: a first event is not to wait for a process.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(sandbox.figures()).toMatchObject({ runnersAwake: 1, runnersReady: 1, runnersLost: 0 });
    expect(await there(1)).toEqual([["7"]]);
    expect(sandbox.pids[1]).not.toBe(second);
  });

  it("is kept while what it was asked is not answered", async () => {
    opened = await openSandbox({ runners: 1, idle: "1s" });
    const { sandbox } = opened;
    const slow = bundle("await new Promise((resolve) => setTimeout(resolve, 3500)); return 1", {
      settings: { timeoutMs: 9000 },
    });
    const waits = { ...slow, code: slow.code.replace("= (event", "= async (event") };
    await loadAll(sandbox, waits);
    expect(shortly((await run(sandbox, waits.id, [task(waits.id)], [], 1)).results)).toEqual([["1"]]);
    expect(sandbox.figures()).toMatchObject({ runnersLost: 0 });
  });

  it("gets an isolate built before its first event when that is asked for", async () => {
    opened = await openSandbox({ runners: 1 });
    const { sandbox } = opened;
    const handler = bundle("", { code: "let n = 0; module.exports.default = () => ++n;" });
    await loadAll(sandbox, handler);
    expect(await sandbox.prepare(1, handler.id)).toBe(true);
    expect(shortly((await run(sandbox, handler.id, [task(handler.id)], [], 1)).results)).toEqual([["1"]]);
    // Where it is at work already nothing of it is begun anew.
    expect(await sandbox.prepare(1, handler.id)).toBe(true);
    expect(shortly((await run(sandbox, handler.id, [task(handler.id)], [], 1)).results)).toEqual([["2"]]);
    sandbox.unload(handler.id);
    expect(await sandbox.prepare(1, handler.id)).toBe(false);
  });
});

describe("open()", () => {
  it("says so when no runner can be started, and leaves no process", async () => {
    const command = {
      args: ["--input-type=module", "-"],
      stdin: "process.stderr.write('no library'); process.exit(9)",
      guestCode: "",
    };
    await expect(openSandbox({ runners: 2 }, { command })).rejects.toMatchObject({
      code: "SANDBOX_UNAVAILABLE",
      message: expect.stringContaining("no library"),
    });
  });
});

describe("runners", () => {
  it("end with the gateway, however it ends", async () => {
    const script = `
      import { openSandbox, bundle, loadAll, run, task } from ${JSON.stringify(new URL("opened.ts", import.meta.url).href)};
      const { sandbox } = await openSandbox({ runners: 1 });
      await sandbox.wake(1);
      const loop = bundle("for (;;);", { settings: { timeoutMs: 60000 } });
      await loadAll(sandbox, loop);
      void run(sandbox, loop.id, [task(loop.id)]);
      console.log(JSON.stringify(sandbox.pids));`;
    const gateway = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(gateway.stdout, "data")) as [Buffer];
    const pids = JSON.parse(line.toString()) as number[];
    const before = pids.map(alive);
    gateway.kill("SIGKILL");
    expect(before).toEqual([true, true]);
    await expect.poll(() => pids.map(alive), patient).toEqual([false, false]);
  });
});

/** Versions of one handler beside one another, and what a batch is said to have taken. */
import { afterEach, describe, expect, it } from "vitest";
import type { BatchResult } from "../../src/sandbox/results.ts";
import type { RunOptions, Sandbox } from "../../src/sandbox/sandbox.ts";
import { bundle, compute, loadAll, openSandbox, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
afterEach(() => opened.sandbox.close());

const once = (sandbox: Sandbox, handler: number, options: RunOptions = {}): Promise<BatchResult> =>
  new Promise((resolve) =>
    sandbox.run(
      0,
      handler,
      [task(handler)],
      [],
      (result) => resolve({ ...result, results: [...result.results] }),
      options,
    ),
  );

const versionOf = async (sandbox: Sandbox, handler: number, options: RunOptions = {}): Promise<number> =>
  (await once(sandbox, handler, options)).version;

describe("a version beside the live one", () => {
  it("runs what is meant for its slot, and nothing else", async () => {
    opened = await openSandbox();
    const { sandbox } = opened;
    const live = bundle("return 1", { version: 1 });
    await loadAll(sandbox, live);
    await sandbox.load({ ...live, version: 2 }, 0, { slot: "candidate" });
    await sandbox.load({ ...live, version: 3 }, 0, { slot: "replay" });
    expect(await versionOf(sandbox, live.id)).toBe(1);
    expect(await versionOf(sandbox, live.id, { slot: "candidate" })).toBe(2);
    expect(await versionOf(sandbox, live.id, { slot: "replay" })).toBe(3);
  });

  it("that fails to load leaves its slot as it was", async () => {
    opened = await openSandbox();
    const { sandbox } = opened;
    const live = bundle("return 1", { version: 1 });
    await loadAll(sandbox, live);
    await sandbox.load({ ...live, version: 2 }, 0, { slot: "candidate" });
    const load = await sandbox.load({ ...live, version: 3, code: "throw 1" }, 0, { slot: "candidate" });
    expect(load.at).toBe("failed");
    expect(await versionOf(sandbox, live.id, { slot: "candidate" })).toBe(2);
  });

  it("that is unloaded leaves its batches to the live one", async () => {
    opened = await openSandbox();
    const { sandbox } = opened;
    const live = bundle("return 1", { version: 1 });
    await loadAll(sandbox, live);
    await sandbox.load({ ...live, version: 2 }, 0, { slot: "candidate" });
    sandbox.unloadAside(live.id, "candidate");
    expect(await versionOf(sandbox, live.id, { slot: "candidate" })).toBe(1);
  });

  it("runs nothing that is meant for another one: the live one does, or nobody what is a shadow's", async () => {
    opened = await openSandbox();
    const { sandbox } = opened;
    const live = bundle("return 1", { version: 1 });
    await loadAll(sandbox, live);
    await sandbox.load({ ...live, version: 3 }, 0, { slot: "candidate" });
    expect(await versionOf(sandbox, live.id, { slot: "candidate", version: 3 })).toBe(3);
    expect(await versionOf(sandbox, live.id, { slot: "candidate", version: 2 })).toBe(1);
    const shadow = await once(sandbox, live.id, { slot: "candidate", version: 2, isShadow: true });
    expect([shadow.version, shortly(shadow.results)]).toEqual([0, ["unrun"]]);
  });

  it("makes no requests where it is loaded so, whatever it is granted", async () => {
    let asked = 0;
    const fetch = (): never => {
      asked++;
      throw new Error("it was made");
    };
    opened = await openSandbox({}, { fetch });
    const { sandbox } = opened;
    const grants = [{ origin: "https://api.example.com", isPrivate: false }] as never;
    const live = bundle("return 1", { settings: { fetch: grants } });
    await loadAll(sandbox, live);
    const code = `module.exports.default = async () => { await fetch("https://api.example.com/x"); };`;
    await sandbox.load({ ...live, code, version: 2 }, 0, { slot: "candidate", makesRequests: false });
    expect(shortly((await once(sandbox, live.id, { slot: "candidate" })).results)).toEqual(["HANDLER_FETCH_DENIED"]);
    expect(asked).toBe(0);
  });
});

describe("what a batch has taken", () => {
  it("is told with its answer: time, and processor time", async () => {
    opened = await openSandbox();
    const { sandbox } = opened;
    const waits = bundle("return new Promise((resolve) => setTimeout(() => resolve(1), 200))");
    const computes = bundle(`${compute(150)} return 1`);
    await loadAll(sandbox, waits, computes);
    const waited = await once(sandbox, waits.id);
    expect(waited.tookMs).toBeGreaterThan(150);
    const computed = await once(sandbox, computes.id);
    expect(computed.cpuMs).toBeGreaterThan(50);
    expect(computed.cpuMs).toBeGreaterThan(waited.cpuMs);
  });
});

describe("a captured run in which tasks have times of their own", () => {
  it("gives each its time and its state, also those of one key, and the same as by itself", async () => {
    opened = await openSandbox();
    const { sandbox } = opened;
    const handler = bundle(
      "ctx.state.n = (ctx.state.n ?? 0) + 1; return [Date.now(), ctx.state.n, Math.random(), crypto.randomUUID()]",
    );
    await loadAll(sandbox, handler);
    const tasks = [
      task(handler.id, { key: "a", seq: 5 }),
      task(handler.id, { key: "a", seq: 6 }),
      task(handler.id, { key: "b", seq: 7 }),
    ];
    const states = ['{"n":7}', '{"n":20}', undefined];
    const startsMs = [1_700_000_000_000, 1_600_000_000_123, 2 ** 47];
    const together = async (from: number, to: number): Promise<unknown[]> =>
      await new Promise((resolve) =>
        sandbox.run(
          0,
          handler.id,
          tasks.slice(from, to),
          states.slice(from, to),
          ({ results }) => resolve(shortly(results)),
          { startsMs: startsMs.slice(from, to) },
        ),
      );
    const all = await together(0, 3);
    expect(JSON.stringify(all)).toMatch(/\["1700000000000","8",.*\["1600000000123","21",.*\["140737488355328","1",/);
    expect([...(await together(0, 1)), ...(await together(1, 2)), ...(await together(2, 3))]).toEqual(all);
  });
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  alive,
  bundle,
  compute,
  loadAll,
  openSandbox,
  patient,
  run,
  runOn,
  shortly,
  task,
  withLimits,
} from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
beforeAll(async () => {
  withLimits({ logLinesPerSecond: 20, logCharsMax: 100 });
  opened = await openSandbox();
});
afterAll(() => opened.sandbox.close());

const quick = { settings: { timeoutMs: 150 } };

describe("time", () => {
  it.each([
    ["for (;;);"],
    ["return new Promise(() => {})"],
    ["await null"].map((body) => `return (async () => { ${body}; for (;;); })()`),
    ["/(a+)+$/.test('a'.repeat(60) + 'b')"],
    ["const p = new Proxy({}, { ownKeys() { for (;;); } }); return p"],
    ["return { toJSON() { for (;;); } }"],
    ["return { then() {} }"],
  ])("%s is cut off and fails", async (body) => {
    expect(shortly(await runOn(opened.sandbox, body, ["{}"], quick))).toEqual(["SANDBOX_TIMEOUT"]);
  });

  it("the task that ran fails; those before it stand, those of other keys did not run (S2)", async () => {
    const handler = bundle("if (event.data.loop) for (;;); return event.data.n", quick);
    await loadAll(opened.sandbox, handler);
    const of = (key: string, data: object): ReturnType<typeof task> =>
      task(handler.id, { key, payload: Buffer.from(JSON.stringify(data)) });
    const batch = [of("a", { n: 1 }), of("b", { n: 2 }), of("b", { loop: 1 }), of("b", { n: 3 }), of("c", { n: 4 })];
    expect(shortly((await run(opened.sandbox, handler.id, batch)).results)).toEqual([
      ["1"],
      ["2"],
      "SANDBOX_TIMEOUT",
      "behind",
      "unrun",
    ]);
    expect(shortly((await run(opened.sandbox, handler.id, [of("c", { n: 4 })])).results)).toEqual([["4"]]);
  });

  it("no further task is begun after the slice, and each has its whole timeout", async () => {
    const handler = bundle(`${compute(40)} return 1`, quick);
    await loadAll(opened.sandbox, handler);
    const batch = Array.from({ length: 20 }, (_, seq) => task(handler.id, { seq, key: `k${seq}` }));
    const results = shortly((await run(opened.sandbox, handler.id, batch)).results);
    const ran = results.filter((result) => result !== "unrun").length;
    expect(results.slice(0, ran)).toEqual(Array.from({ length: ran }, () => ["1"]));
    expect(ran).toBeGreaterThanOrEqual(1);
    expect(ran).toBeLessThanOrEqual(3);
  });

  it("what a handler leaves running costs its own isolate only", async () => {
    const results = await runOn(
      opened.sandbox,
      "const again = () => Promise.resolve().then(again); again(); return 1",
      ["{}"],
      quick,
    );
    expect(shortly(results)).toEqual([["1"]]);
    expect(opened.logs.at(-1)).toMatchObject({ level: "error", message: expect.stringContaining("cut off") });
  });

  it("what would run when something is collected never runs: no event would be there whose time it is", async () => {
    const handler = bundle(
      `globalThis.registry ??= new FinalizationRegistry(() => { for (;;); });
      for (let n = 0; n < 1000; n++) registry.register({}, 1);
      for (let n = 0, junk = []; n < 200; n++) if (junk.push(new Array(20_000).fill(n)) > 20) junk = [];
      return String(registry)`,
      { settings: { timeoutMs: 2000 } },
    );
    await loadAll(opened.sandbox, handler);
    for (let n = 0; n < 3; n++) {
      const { results } = await run(opened.sandbox, handler.id, [task(handler.id)]);
      expect(shortly(results)).toEqual([['"[object FinalizationRegistry]"']]);
    }
    expect(opened.sandbox.figures().runnersLost).toBe(0);
  });

  it("a loop in one handler does not stop another one in the same runner", async () => {
    const loop = bundle("for (;;);", { settings: { timeoutMs: 1000 } });
    const good = bundle("return 1");
    await loadAll(opened.sandbox, loop, good);
    const looping = run(opened.sandbox, loop.id, [task(loop.id)]);
    const first = await Promise.race([run(opened.sandbox, good.id, [task(good.id)]), looping.then(() => "the loop")]);
    expect(first).toMatchObject({ results: [{ at: "done" }] });
    expect(shortly((await looping).results)).toEqual(["SANDBOX_TIMEOUT"]);
  });
});

describe("memory", () => {
  it("an isolate that outgrows its limit is lost, and the next event has a new one", async () => {
    const handler = bundle(
      "if (!event.data.eat) return 1; const kept = []; for (;;) kept.push(new Uint8Array(1 << 20).fill(1))",
      { settings: { timeoutMs: 2000 } },
    );
    await loadAll(opened.sandbox, handler);
    const eat = task(handler.id, { payload: Buffer.from('{"eat":1}') });
    const lost = (await run(opened.sandbox, handler.id, [eat])).results[0];
    expect(lost?.at === "failed" ? lost.failure.code : lost?.at).toMatch(/^(SANDBOX_MEMORY|HANDLER_THREW|crashed)$/);
    expect(shortly((await run(opened.sandbox, handler.id, [task(handler.id)])).results)).toEqual([["1"]]);
  });

  it("what its heap and its buffers take is told with a batch, once a second at most", async () => {
    const hoarder = bundle("globalThis.kept ??= new Uint8Array(9_000_000).fill(1); return 0");
    const modest = bundle("return 0");
    await loadAll(opened.sandbox, hoarder, modest);
    const heapOf = (handler: number): Promise<number> =>
      new Promise((resolve) =>
        opened.sandbox.run(0, handler, [task(handler)], [], ({ heapBytes }) => resolve(heapBytes)),
      );
    const most = await heapOf(hoarder.id);
    expect(most).toBeGreaterThan(9_000_000);
    expect(most).toBeLessThan(20_000_000);
    expect(await heapOf(modest.id)).toBeLessThan(5_000_000);
    expect(await heapOf(modest.id)).toBe(0);
  });

  it("a runner beyond its memory is killed, replaced, and works again", async () => {
    const { sandbox } = await openSandbox({ runnerMemoryMax: "160MB" });
    try {
      const [pid] = sandbox.pids;
      // The isolate's own limit does not count resizable buffers.
      const eat =
        "const b = new ArrayBuffer(1 << 20, { maxByteLength: 1 << 20 }); new Uint8Array(b).fill(1); kept.push(b);";
      const eater = bundle(`const kept = []; for (;;) { ${eat} }`, { settings: { timeoutMs: 5000 } });
      const good = bundle("return 1");
      await loadAll(sandbox, eater, good);
      expect(shortly((await run(sandbox, eater.id, [task(eater.id)])).results)).toEqual(["crashed"]);
      expect(sandbox.figures().killedForMemory).toBe(1);
      expect(shortly((await run(sandbox, good.id, [task(good.id)])).results)).toEqual([["1"]]);
      await expect.poll(() => alive(pid as number), patient).toBe(false);
    } finally {
      await sandbox.close();
    }
  });

  it("large payloads one after another stay within a small isolate", async () => {
    const handler = bundle("return event.bytes.length + event.topic.length");
    await loadAll(opened.sandbox, handler);
    const payload = Buffer.alloc(256 * 1024, 0xfe);
    for (let round = 0; round < 30; round++) {
      const { results } = await run(
        opened.sandbox,
        handler.id,
        [0, 1, 2, 3].map((n) => task(handler.id, { payload, key: `k${n}` })),
      );
      expect(results.every(({ at }) => at === "done" || at === "unrun")).toBe(true);
    }
    expect(opened.sandbox.figures().rssBytes).toBeLessThan(250 * 1024 * 1024);
  });
});

describe("an isolate that cannot be stopped", () => {
  it("costs the runner; its task has failed, and other handlers' batches are unrun", async () => {
    const { sandbox } = await openSandbox();
    try {
      const stuck = bundle("Array(1e9).fill(0); return 1", { settings: { timeoutMs: 100, memoryBytes: 2 ** 26 } });
      const good = bundle("return 1");
      await loadAll(sandbox, stuck, good);
      const [lost] = (await run(sandbox, stuck.id, [task(stuck.id)])).results;
      expect(lost?.at === "failed" ? lost.failure.code : lost?.at).toMatch(
        /^(SANDBOX_TIMEOUT|SANDBOX_MEMORY|crashed)$/,
      );
      expect(shortly((await run(sandbox, good.id, [task(good.id)])).results)).toEqual([["1"]]);
    } finally {
      await sandbox.close();
    }
  });
});

describe("a module that cannot be stopped while it loads", () => {
  const endless = "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);";

  it("is not taken on, and costs the runner, in which its thread would go on for ever", async () => {
    const { sandbox } = await openSandbox();
    try {
      const stuck = bundle("", { code: endless, settings: { timeoutMs: 100 } });
      expect(await sandbox.load(stuck)).toMatchObject({ at: "failed", failure: { code: "SANDBOX_TIMEOUT" } });
      await expect.poll(() => sandbox.figures().runnersLost, patient).toBe(1);
    } finally {
      await sandbox.close();
    }
  });

  it("is found out also when it is loaded again: the event that it was loaded for has failed, and cost the runner", async () => {
    const { sandbox } = await openSandbox({ idle: "1ms" });
    try {
      const code = `if (Date.now() > ${Date.now() + 3000}) ${endless} module.exports.default = () => 1;`;
      const stuck = bundle("", { code, settings: { timeoutMs: 100 } });
      await loadAll(sandbox, stuck);
      await expect.poll(() => sandbox.figures().isolatesRested, patient).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 3000));
      const { results } = await run(sandbox, stuck.id, [task(stuck.id)]);
      expect(results).toMatchObject([{ at: "failed", cost: "runner", failure: { code: "SANDBOX_TIMEOUT" } }]);
      await expect.poll(() => sandbox.figures().runnersLost, patient).toBe(1);
    } finally {
      await sandbox.close();
    }
  });
});

describe("the log", () => {
  it("a flood is cut inside the isolate, and counted", async () => {
    opened.logs.length = 0;
    const flood = "for (let i = 0; i < 100000; i++) ctx.log.info('x'.repeat(1000)); return 1";
    const handler = bundle(`if (event.data.flood) { ${flood} } ctx.log.info('after')`, {
      settings: { timeoutMs: 2000 },
    });
    await loadAll(opened.sandbox, handler);
    await run(opened.sandbox, handler.id, [task(handler.id, { payload: Buffer.from('{"flood":1}') })]);
    const lines = opened.logs.length;
    expect(lines).toBeGreaterThanOrEqual(20);
    expect(lines).toBeLessThan(80);
    expect(opened.logs.every(({ message }) => message.length <= 100)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await run(opened.sandbox, handler.id, [task(handler.id)]);
    expect(opened.logs.map(({ message }) => message)).toContainEqual(expect.stringMatching(/^\d+ log lines dropped/));
  });
});

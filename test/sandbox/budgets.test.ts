/** Budgets of one handler: at its limit it is as if there were none, beyond it its event fails, and nobody else notices. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HandlerLimits } from "../../src/limits.ts";
import { bundle, compute, loadAll, openSandbox, run, runOn, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
beforeAll(async () => (opened = await openSandbox()));
afterAll(() => opened.sandbox.close());

const one = async (
  body: string,
  limits: Partial<HandlerLimits>,
  settings: { timeoutMs?: number } = {},
): Promise<unknown> => {
  const more = { settings: { timeoutMs: 5000, ...settings, limits } };
  const [result] = await runOn(opened.sandbox, body, ["{}"], more);
  return shortly(result === undefined ? [] : [result])[0];
};
const waits = "const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));";

describe("each handler has limits of its own", () => {
  it.each<[string, Partial<HandlerLimits>, (more: number) => string, string]>([
    ["outputs", { outputsMax: 3 }, (more) => `return Array(${3 + more}).fill(1)`, "SANDBOX_OUTPUTS_TOO_MANY"],
    ["a result", { resultBytesMax: 12 }, (more) => `return "${"x".repeat(10 + more)}"`, "SANDBOX_RESULT_TOO_LARGE"],
    ["a state", { stateBytesMax: 10 }, (more) => `ctx.state.a = "${"x".repeat(2 + more)}"`, "SANDBOX_STATE_TOO_LARGE"],
    [
      "timers",
      { timersMax: 2 },
      (more) => `for (let i = 0; i < ${2 + more}; i++) setTimeout(() => {}, 1)`,
      "SANDBOX_TIMERS_TOO_MANY",
    ],
  ])("of %s: one at the limit passes, one beyond fails, and a neighbour has its own", async (_, limits, body, code) => {
    expect(await one(body(0), limits)).toBeInstanceOf(Array);
    expect(await one(body(1), limits)).toBe(code);
    expect(await one(body(1), {})).toBeInstanceOf(Array);
  });

  it("of bytes: each is one, whatever it is", async () => {
    const limits = { resultBytesMax: 400_000 };
    for (const byte of [0, 34, 92, 255]) {
      const body = (more: number): string => `return new Uint8Array(${400_000 + more}).fill(${byte})`;
      expect(await one(body(1), limits), `a byte too many of ${byte}`).toBe("SANDBOX_RESULT_TOO_LARGE");
      const [output] = (await one(body(-10), limits)) as string[];
      expect(output).toBe(Buffer.alloc(399_990, byte).toString());
    }
    const all = "const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);";
    const [result] = await runOn(opened.sandbox, `${all} return all;`);
    expect(result?.at === "done" && [...(result.outputs[0]?.data ?? [])]).toEqual([...Array(256).keys()]);
    expect(opened.sandbox.figures().runnersLost).toBe(0);
  });

  it("and the gateway takes as much of a runner as the handler's limits allow, not less", async () => {
    const body = "return Array(1000).fill(1)";
    expect(await one(body, { outputsMax: 1000 })).toHaveLength(1000);
  });
});

describe("processor time", () => {
  it("of a handler that computes is cut off at its budget, and its neighbours run", async () => {
    const loop = bundle("for (;;);", { settings: { timeoutMs: 5000, limits: { cpuMs: 150 } } });
    const good = bundle("return 1");
    await loadAll(opened.sandbox, loop, good);
    const startMs = performance.now();
    const looping = run(opened.sandbox, loop.id, [task(loop.id)]);
    expect(shortly((await run(opened.sandbox, good.id, [task(good.id)])).results)).toEqual([["1"]]);
    expect((await looping).results).toMatchObject([{ at: "failed", final: false, failure: { code: "SANDBOX_CPU" } }]);
    expect(performance.now() - startMs).toBeLessThan(4000);
    expect(opened.sandbox.figures().runnersLost).toBe(0);
  });

  it("adds up over the waits of an event", async () => {
    const body = `return (async () => { ${waits} for (let n = 0; n < 40; n++) { ${compute(15)} await wait(1); } return 1; })()`;
    expect(await one(body, { cpuMs: 200 }, { timeoutMs: 20_000 })).toBe("SANDBOX_CPU");
    expect(await one(body, { cpuMs: 10_000 }, { timeoutMs: 20_000 })).toEqual(["1"]);
  });

  it("does not count what an event waits, nor what others of its batch have computed", async () => {
    const body = `return (async () => { ${waits} ${compute(20)} await wait(event.data); return event.data; })()`;
    const handler = bundle(body, { settings: { timeoutMs: 5000, limits: { cpuMs: 150 } } });
    await loadAll(opened.sandbox, handler);
    for (const payload of ["400", "1"]) {
      const batch = [1, 2, 3].map((seq) => task(handler.id, { seq, key: `k${seq}`, payload: Buffer.from(payload) }));
      const results = shortly((await run(opened.sandbox, handler.id, batch)).results);
      expect(results[0]).toEqual([payload]);
      expect(results.every((result) => result === "unrun" || String(result) === payload)).toBe(true);
    }
  });

  it("is the timeout's when nothing is said, and then the timeout is what is spent", async () => {
    expect(await one("for (;;);", {}, { timeoutMs: 120 })).toBe("SANDBOX_TIMEOUT");
    const body = `return (async () => { ${waits} await wait(5); for (;;); })()`;
    expect(await one(body, {}, { timeoutMs: 120 })).toBe("SANDBOX_TIMEOUT");
  });
});

describe("the log", () => {
  it("has so many characters a second: what goes beyond is dropped, counted, and told with the next line", async () => {
    opened.logs.length = 0;
    const handler = bundle("for (let n = 0; n < event.data; n++) ctx.log.info('x'.repeat(99) + n)", {
      settings: { limits: { logBytesPerSecond: 1000 } },
    });
    await loadAll(opened.sandbox, handler);
    const logs = async (lines: number): Promise<string[]> => {
      opened.logs.length = 0;
      await run(opened.sandbox, handler.id, [task(handler.id, { payload: Buffer.from(String(lines)) })]);
      return opened.logs.map(({ message }) => message);
    };
    expect(await logs(10)).toHaveLength(10);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const flood = await logs(60);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const lines = [...flood, ...(await logs(1))];
    const counts = lines.map((line) => Number(/^(\d+) log lines dropped/.exec(line)?.[1] ?? 0));
    const dropped = counts.reduce((sum, count) => sum + count, 0);
    expect(dropped).toBeGreaterThan(30);
    expect(lines.filter((_, n) => counts[n] === 0)).toHaveLength(61 - dropped);
    expect(opened.sandbox.figures().logLinesDropped).toEqual({ [handler.name]: dropped });
    // When the handler goes its figure goes, and what its last batch drops does not bring it back.
    const last = run(opened.sandbox, handler.id, [task(handler.id, { payload: Buffer.from("60") })]);
    opened.sandbox.unload(handler.id);
    expect(opened.sandbox.figures().logLinesDropped).toEqual({});
    expect((await last).results).toMatchObject([{ at: "done" }]);
    expect(opened.sandbox.figures().logLinesDropped).toEqual({});
  });

  it("has so many lines of one event, however long that takes, and the rest is dropped and counted", async () => {
    opened.logs.length = 0;
    const body = `return (async () => { ${waits} for (let n = 0; n < 30; n++) { for (let i = 0; i < 1000; i++) console.log("x"); await wait(20); } return 1; })()`;
    const limits = { logLinesPerSecond: 10_000, logBytesPerSecond: 16 * 1024 * 1024 };
    expect(await one(body, limits, { timeoutMs: 30_000 })).toEqual(["1"]);
    expect(opened.logs).toHaveLength(4000);
    // One at a time they are as long as a frame may be.
    opened.logs.length = 0;
    const long = "for (let n = 0; n < 300; n++) console.log('\\0'.repeat(65_536)); return 1";
    expect(await one(long, { ...limits, logCharsMax: 65_536 }, { timeoutMs: 30_000 })).toEqual(["1"]);
    expect(opened.logs.filter(({ message }) => message.startsWith("\0"))).toHaveLength(6);
    expect(opened.sandbox.figures().runnersLost).toBe(0);
  });
});

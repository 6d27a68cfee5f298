/** Handlers that wait: timers and promises, each of them its own event's, within its time. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, loadAll, openSandbox, run, runOn, shortly, task, withLimits } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
beforeAll(async () => {
  withLimits({ timersMax: 20 });
  opened = await openSandbox();
});
afterAll(() => opened.sandbox.close());

const async = (body: string): string => `return (async () => { ${body} })();`;
const waits = "const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));";
const seconds = { settings: { timeoutMs: 5000 } };

describe("a handler that waits", () => {
  it.each([
    ["for a promise that is settled", "await null; return 1", ["1"]],
    ["for a timer", `${waits} await wait(30); return 2`, ["2"]],
    ["for several timers side by side", `${waits} await Promise.all([wait(30), wait(20), wait(10)]); return 3`, ["3"]],
    [
      "for an interval",
      "let n = 0; await new Promise((r) => { const id = setInterval(() => { if (++n === 3) { clearInterval(id); r(); } }, 2); }); return n",
      ["3"],
    ],
    ["with arguments for its timer", "return await new Promise((r) => setTimeout((a, b) => r(a + b), 1, 4, 5))", ["9"]],
    [
      "in microtasks",
      "const seen = []; queueMicrotask(() => seen.push(1)); seen.push(0); await null; return { seen }",
      ['{"seen":[0,1]}'],
    ],
  ])("%s is answered when it has what it waited for", async (_what, body, outputs) => {
    expect(shortly(await runOn(opened.sandbox, async(body), ["{}"], seconds))).toEqual([outputs]);
  });

  it("fires timers by their due time, and those of one time in the order in which they were set", async () => {
    const body = `${waits} const seen = []; for (const [name, ms] of [["c", 30], ["a", 5], ["b", 5]]) setTimeout(() => { seen.push(name); Promise.resolve().then(() => seen.push(name + "!")); }, ms); await wait(60); return { seen };`;
    const [result] = shortly(await runOn(opened.sandbox, async(body), ["{}"], seconds));
    expect(result).toEqual(['{"seen":["a","a!","b","b!","c","c!"]}']);
  });

  it("hands the state on to the next event of its key, and emits in order", async () => {
    const body = `${waits} ctx.emit("before"); await wait(5); ctx.state.n = (ctx.state.n ?? 0) + 1; ctx.emit("after"); return ctx.state.n;`;
    expect(shortly(await runOn(opened.sandbox, async(body), ["1", "2"], seconds))).toEqual([
      ['"before"', '"after"', "1"],
      ['"before"', '"after"', "2"],
    ]);
  });

  it("fails at its timeout, keeps its isolate, and the next event finds nothing of it", async () => {
    const body = `calls++; if (event.data === 1) { setInterval(() => ctx.emit("late"), 5); return new Promise(() => {}); } return calls;`;
    const code = `let calls = 0; module.exports.default = (event, ctx) => { ${body} };`;
    const handler = bundle("", { code, settings: { timeoutMs: 100 } });
    await loadAll(opened.sandbox, handler);
    const of = (n: number): ReturnType<typeof task> =>
      task(handler.id, { seq: n, key: `k${n}`, payload: Buffer.from(String(n)) });
    const { results } = await run(opened.sandbox, handler.id, [of(1)]);
    expect(results[0]).toMatchObject({ at: "failed", failure: { code: "SANDBOX_TIMEOUT" } });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(shortly((await run(opened.sandbox, handler.id, [of(2)])).results)).toEqual([["2"]]);
  });

  it("is told by ctx.signal that its time is up, and what it does then has no effect", async () => {
    const body =
      "ctx.signal.addEventListener('abort', () => { ctx.log.info('aborted ' + ctx.signal.reason.message); kept.push(1); try { ctx.emit(1) } catch (e) { ctx.log.info(e.code) } }); return kept.length === 0 ? new Promise(() => {}) : kept.length";
    const code = `const kept = []; module.exports.default = (event, ctx) => { ${body} };`;
    const handler = bundle("", { code, settings: { timeoutMs: 80 } });
    await loadAll(opened.sandbox, handler);
    expect(shortly((await run(opened.sandbox, handler.id, [task(handler.id)])).results)).toEqual(["SANDBOX_TIMEOUT"]);
    expect(shortly((await run(opened.sandbox, handler.id, [task(handler.id)])).results)).toEqual([["1"]]);
    expect(opened.logs.map(({ message }) => message)).toContain("SANDBOX_LATE");
  });

  it.each([
    [
      "a timer whose function throws",
      "setTimeout(() => { throw new Error('in the timer'); }, 1); await new Promise(() => {})",
      "HANDLER_THREW",
    ],
    [
      "more timers than are allowed",
      "for (let i = 0; i < 21; i++) setTimeout(() => {}, 1000)",
      "SANDBOX_TIMERS_TOO_MANY",
    ],
    ["a timer without a function", "setTimeout('code', 1)", "HANDLER_THREW"],
    ["a loop in a timer", "await new Promise(() => setTimeout(() => { for (;;); }, 1))", "SANDBOX_TIMEOUT"],
    ["a loop after it has waited", `${waits} await wait(5); for (;;);`, "SANDBOX_TIMEOUT"],
    [
      "timers without end",
      "await new Promise(() => { const again = () => setTimeout(again, 0); again(); })",
      "SANDBOX_TIMEOUT",
    ],
  ])("fails for %s", async (_what, body, code) => {
    expect(shortly(await runOn(opened.sandbox, async(body), ["{}"], { settings: { timeoutMs: 200 } }))).toEqual([code]);
  });

  it("sets no timer while its module is loaded", async () => {
    const loaded = await opened.sandbox.load(bundle("", { code: "setTimeout(() => {}, 1)" }));
    expect(loaded).toMatchObject({ at: "failed", failure: { code: "SANDBOX_LATE" } });
  });
});

describe("a rejection that nobody handles", () => {
  const body = "if (event.data === 2) Promise.reject(new Error('mine')); return event.data";

  it("fails the event whose it is, whatever ran in its batch", async () => {
    const handler = bundle(body, seconds);
    await loadAll(opened.sandbox, handler);
    const batch = [1, 2, 3].map((n) => task(handler.id, { seq: n, key: `k${n}`, payload: Buffer.from(String(n)) }));
    const { results } = await run(opened.sandbox, handler.id, batch);
    expect(shortly(results)).toEqual([["1"], "HANDLER_REJECTED", ["3"]]);
    expect(results[1]).toMatchObject({ failure: { message: expect.stringContaining("mine") } });
  });

  it("keeps those behind it waiting, and takes its own state and outputs back", async () => {
    const counting = "ctx.state.n = (ctx.state.n ?? 0) + 1; ctx.emit(ctx.state.n);";
    expect(shortly(await runOn(opened.sandbox, `${counting} ${body}`, ["1", "2", "3"], seconds))).toEqual([
      ["1", "1"],
      "HANDLER_REJECTED",
      "behind",
    ]);
  });

  it("is found in a handler that waits", async () => {
    const waiting = async(`${waits} await wait(1); ${body.replace("return", "await wait(1); return")}`);
    const handler = bundle(waiting, seconds);
    await loadAll(opened.sandbox, handler);
    const batch = [1, 2, 3].map((n) => task(handler.id, { seq: n, key: `k${n}`, payload: Buffer.from(String(n)) }));
    expect(shortly((await run(opened.sandbox, handler.id, batch)).results)).toEqual([["1"], "HANDLER_REJECTED", ["3"]]);
  });
});

describe("Math.random", () => {
  it("gives an event the same numbers whenever it is run, and others to the next one", async () => {
    const handler = bundle("return [Math.random(), Math.random()].join()");
    await loadAll(opened.sandbox, handler);
    const once = async (seq: number): Promise<unknown> =>
      shortly((await run(opened.sandbox, handler.id, [task(handler.id, { seq })])).results)[0];
    const first = await once(1);
    expect(await once(2)).not.toEqual(first);
    expect(await once(1)).toEqual(first);
  });

  it("is spread evenly over 0 to 1", async () => {
    const body =
      "const bins = new Array(10).fill(0); for (let i = 0; i < 10000; i++) bins[Math.floor(Math.random() * 10)]++; return { bins }";
    const [[text]] = shortly(await runOn(opened.sandbox, body)) as [[string]];
    for (const count of (JSON.parse(text) as { bins: number[] }).bins) {
      expect(count).toBeGreaterThan(850);
      expect(count).toBeLessThan(1150);
    }
  });
});

describe("concurrency", () => {
  const body = async(`${waits} await wait(1000); return 1;`);

  it.each([
    [1, 1],
    [4, 4],
  ])("of %i has as many batches under way at a time", async (concurrency, atATime) => {
    const handler = bundle(body, { settings: { timeoutMs: 10_000, concurrency } });
    await loadAll(opened.sandbox, handler);
    const ends: number[] = [];
    const startMs = performance.now();
    await Promise.all(
      [1, 2, 3, 4].map(async (seq) => {
        const { results } = await run(opened.sandbox, handler.id, [task(handler.id, { seq, key: `k${seq}` })]);
        expect(shortly(results)).toEqual([["1"]]);
        ends.push(performance.now() - startMs);
      }),
    );
    // Each waits for a second: one after another the last of four cannot end before the fourth is over.
    const last = ends.at(-1) as number;
    if (atATime === 1) expect(last).toBeGreaterThanOrEqual(3990);
    else expect(last).toBeLessThan(3990);
  });
});

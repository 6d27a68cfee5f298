/** What time it is for a handler, and that a run can be repeated from the time that it began with. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, compute, loadAll, openSandbox, run, shortly, task } from "./opened.ts";
import type { BundleOptions, Opened } from "./opened.ts";

let opened: Opened;
beforeAll(async () => (opened = await openSandbox()));
afterAll(() => opened.sandbox.close());

const AT = Date.UTC(2031, 1, 3, 4, 5, 6, 789);
const waits = "const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));";
const async = (body: string): string => `return (async () => { ${waits} ${body} })();`;

/** What one event comes to: the value that the handler returned, or a failure's code. */
async function once(body: string, capturedMs?: number, more: BundleOptions = {}): Promise<unknown> {
  const handler = bundle(body, more);
  await loadAll(opened.sandbox, handler);
  const { results } = await run(opened.sandbox, handler.id, [task(handler.id)], [], 0, capturedMs);
  opened.sandbox.unload(handler.id);
  const [result] = shortly(results);
  return Array.isArray(result) ? (JSON.parse(result[0] as string) as unknown) : result;
}

describe("the clock of an event", () => {
  it("begins with the time when its batch was handed out, which the gateway knows", async () => {
    const handler = bundle("return Date.now()");
    await loadAll(opened.sandbox, handler);
    const beforeMs = Date.now();
    const { startMs, results } = await run(opened.sandbox, handler.id, [task(handler.id), task(handler.id)]);
    expect(startMs).toBeGreaterThanOrEqual(beforeMs);
    expect(startMs).toBeLessThanOrEqual(Date.now());
    expect(shortly(results)).toEqual([[String(startMs)], [String(startMs)]]);
  });

  it("stands still while it computes, and in promises that are settled", async () => {
    const body = `const t = [Date.now()]; ${compute(60)} t.push(Date.now()); await null; t.push(performance.now()); return { moved: t.some((x) => x !== t[0]) };`;
    expect(await once(async(body))).toEqual({ moved: false });
  });

  it("moves on by what it waits, all of it and no more", async () => {
    const body = `const t = Date.now(); ${compute(30)} await wait(25); const a = Date.now() - t; await Promise.all([wait(10), wait(40)]); return { a, b: Date.now() - t };`;
    expect(await once(async(body))).toEqual({ a: 25, b: 65 });
  });

  it("waits at least as long as it says, whatever was computed before", async () => {
    const startMs = performance.now();
    await once(async("await wait(150); return 1"), undefined, { settings: { timeoutMs: 5000 } });
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(149);
  });

  it("is the time of loading while the module is loaded", async () => {
    const code = "const loaded = Date.now(); module.exports.default = () => loaded;";
    const beforeMs = Date.now();
    const loaded = await once("", undefined, { code });
    expect(loaded).toBeGreaterThanOrEqual(beforeMs);
    expect(loaded).toBeLessThanOrEqual(Date.now());
  });

  it("shows at its end that the time is up", async () => {
    const code =
      "let end; module.exports.default = (event, ctx) => { if (end) return end; const t = Date.now(); ctx.signal.addEventListener('abort', () => { end = { ms: Date.now() - t }; }); return new Promise(() => {}); };";
    const handler = bundle("", { code, settings: { timeoutMs: 60 } });
    await loadAll(opened.sandbox, handler);
    await run(opened.sandbox, handler.id, [task(handler.id)]);
    expect(shortly((await run(opened.sandbox, handler.id, [task(handler.id)])).results)).toEqual([['{"ms":60}']]);
  });
});

describe("Date", () => {
  it.each([
    ["new Date().getTime()", AT],
    ["new Date(undefined).getTime()", null],
    ["new Date(5).getTime()", 5],
    ["new Date(2020, 1).getMonth()", 1],
    ["new Date('1999-12-31T23:59:59Z').toISOString()", "1999-12-31T23:59:59.000Z"],
    ["new Date(new Date(7)).getTime()", 7],
    ["Date() === new Date().toString()", true],
    ["typeof Date()", "string"],
    ["Date.length + Date.name + typeof Date.UTC + typeof Date.parse", "7Datefunctionfunction"],
    ["Date.UTC(2000, 0) + Date.parse('1970-01-01T00:00:01Z')", 946684801000],
    ["new Date() instanceof Date", true],
    ["new Date().constructor === Date && Date.prototype.constructor === Date", true],
    ["Object.prototype.toString.call(new Date())", "[object Date]"],
    ["Reflect.construct(Date, [5], Array) instanceof Array", true],
    [
      "(() => { class D extends Date { two() { return this.getTime() * 2; } } const d = new D(); return [d.two(), d instanceof D, d instanceof Date, new D(3).two()]; })()",
      [AT * 2, true, true, 6],
    ],
    ["(() => { class D extends Date {} return D.now(); })()", AT],
    ["Object.keys(Date)", []],
    ["(() => { try { new Date.now(); } catch (e) { return e.name; } })()", "TypeError"],
    ["new Date(0).toLocaleDateString('en-GB', { timeZone: 'UTC' })", "01/01/1970"],
    ["new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC' }).format()", "03/02/2031"],
    ["new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC' }).format(0)", "01/01/1970"],
    [
      "new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC' }).formatToParts().map((p) => p.value).join('')",
      "03/02/2031",
    ],
    ["(() => { const f = new Intl.DateTimeFormat(); return f.format === f.format && [0].map(f.format).length; })()", 1],
    ["performance.timeOrigin + performance.now()", AT],
    ["new Event('a').timeStamp === performance.now()", true],
    ["(() => { Date.now = () => 1; return new Date().getTime(); })()", AT],
    ["structuredClone(new Date(9)).getTime()", 9],
  ])("%s is what it should be", async (expression, value) => {
    expect(await once(`return [${expression}].map((v) => ({ v }))`, AT)).toEqual({ v: value });
  });

  it("that a handler patches misleads the handler alone: timers, timeouts and the next event go on", async () => {
    const body = `
      Date.now = () => 0; globalThis.Date = class { constructor() { throw new Error("no"); } };
      Reflect.construct = Reflect.apply = () => 1; WeakMap.prototype.get = () => 1; Math.floor = () => NaN;
      await wait(5); ctx.state.n = (ctx.state.n ?? 0) + 1; return { n: ctx.state.n, t: performance.now() > 1e12, f: typeof new Intl.DateTimeFormat("en").format() };`;
    const handler = bundle(async(body));
    await loadAll(opened.sandbox, handler);
    const { results } = await run(opened.sandbox, handler.id, [task(handler.id), task(handler.id)]);
    expect(shortly(results)).toEqual([['{"n":1,"t":true,"f":"string"}'], ['{"n":2,"t":true,"f":"string"}']]);
    expect(shortly((await run(opened.sandbox, handler.id, [task(handler.id)])).results)).toHaveLength(1);
    expect(opened.sandbox.figures().runnersLost).toBe(0);
  });
});

describe("a captured run", () => {
  const everything = `
    const seen = [Date.now(), new Date().toISOString(), Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(70))].join()];
    ctx.log.info("at", Date.now(), ++calls);
    await Promise.race([wait(3_600_000), wait(1_800_000)]);
    seen.push(Date.now(), performance.now(), Math.random(), crypto.randomUUID(), loaded, calls);
    const id = setInterval(() => seen.push(Date.now()), 250); await wait(1100); clearInterval(id);
    ctx.state.n = (ctx.state.n ?? 0) + 1; ctx.emit(seen); return ctx.state.n;`;
  const code = `let calls = 0; const loaded = [Date.now(), Math.random()]; module.exports.default = (event, ctx) => { ${async(everything)} };`;
  const settings = { timeoutMs: 3_600_000 };

  it("comes to the same, byte for byte, whenever it is made, and waits for nothing", async () => {
    const handler = bundle("", { code, settings });
    await loadAll(opened.sandbox, handler);
    const batch = [1, 2, 3].map((seq) => task(handler.id, { seq, key: seq === 2 ? "b" : "a" }));
    const made = async (): Promise<unknown> => {
      opened.logs.length = 0;
      const result = await run(opened.sandbox, handler.id, batch, ['{"n":4}'], 0, AT);
      return { result, logs: [...opened.logs] };
    };
    const first = await made();
    expect(first).toMatchObject({
      result: { startMs: AT, results: [{ at: "done", state: '{"n":5}' }, {}, { at: "done" }] },
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await made()).toEqual(first);
    // In another runner, where nothing of it ever ran.
    const other = await openSandbox();
    await loadAll(other.sandbox, handler);
    const again = await run(other.sandbox, handler.id, batch, ['{"n":4}'], 0, AT);
    expect({ result: again, logs: other.logs }).toEqual(first);
    await other.sandbox.close();
  });

  it("runs all of its batch, however long that takes", async () => {
    const handler = bundle(`${compute(40)} return event.data`);
    await loadAll(opened.sandbox, handler);
    const batch = [0, 1, 2, 3, 4].map((seq) =>
      task(handler.id, { seq, key: `k${seq}`, payload: Buffer.from(String(seq)) }),
    );
    const { results } = await run(opened.sandbox, handler.id, batch, [], 0, AT);
    expect(shortly(results)).toEqual(batch.map(({ seq }) => [String(seq)]));
  });

  it("follows from its time and its event: another of either comes to something else", async () => {
    const handler = bundle("", { code, settings });
    await loadAll(opened.sandbox, handler);
    const made = async (seq: number, atMs: number): Promise<string> => {
      const { results } = await run(opened.sandbox, handler.id, [task(handler.id, { seq })], [], 0, atMs);
      return JSON.stringify(shortly(results));
    };
    const all = [await made(1, AT), await made(2, AT), await made(1, AT + 1)];
    expect(new Set(all).size).toBe(3);
  });

  it("has an isolate of its own: it finds nothing in variables, and leaves nothing there", async () => {
    const counting = "let n = 0; module.exports.default = () => ++n;";
    const handler = bundle("", { code: counting });
    await loadAll(opened.sandbox, handler);
    const made = async (capturedMs?: number): Promise<unknown> =>
      shortly((await run(opened.sandbox, handler.id, [task(handler.id)], [], 0, capturedMs)).results)[0];
    expect([await made(), await made(AT), await made(), await made(AT)]).toEqual([["1"], ["1"], ["2"], ["1"]]);
  });

  it("fails at its timeout by its own clock, one timer before it passes", async () => {
    const at = { settings: { timeoutMs: 60_000 } };
    const ended = "ctx.signal.addEventListener('abort', () => ctx.log.info('at', Date.now()));";
    expect(await once(async(`${ended} await wait(59_999); return 1`), AT, at)).toBe(1);
    opened.logs.length = 0;
    const startMs = performance.now();
    expect(await once(async(`${ended} await wait(60_000); return 1`), AT, at)).toBe("SANDBOX_TIMEOUT");
    expect(await once(async(`${ended} await new Promise(() => {})`), AT, at)).toBe("SANDBOX_TIMEOUT");
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });

  it("is one that was: with timers, the same time gives what a live run gave", async () => {
    const body =
      "const seen = [Date.now()]; for (const ms of [5, 1, 12]) { await wait(ms); seen.push(Date.now(), Math.random()); } return { seen };";
    const handler = bundle(async(body));
    await loadAll(opened.sandbox, handler);
    const live = await run(opened.sandbox, handler.id, [task(handler.id)]);
    expect(live.startMs).toBeGreaterThan(0);
    expect(await run(opened.sandbox, handler.id, [task(handler.id)], [], 0, live.startMs)).toEqual(live);
  });
});

describe("crypto of a live run", () => {
  it("is foreseen by nobody: the same event draws other bytes each time", async () => {
    const handler = bundle("return crypto.randomUUID()");
    await loadAll(opened.sandbox, handler);
    const drawn = new Set<unknown>();
    for (let n = 0; n < 5; n++) {
      const [result] = shortly((await run(opened.sandbox, handler.id, [task(handler.id)])).results);
      drawn.add(String(result));
    }
    const other = bundle("return crypto.randomUUID()", { id: handler.id, name: handler.name });
    await loadAll(opened.sandbox, other);
    drawn.add(String(shortly((await run(opened.sandbox, other.id, [task(other.id)])).results)[0]));
    expect(drawn.size).toBe(6);
  });
});

/** Handlers that fetch: a real runner, a real way out, and sites on loopback that are granted by their address. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Egress } from "../../src/egress/egress.ts";
import type { EgressLimits } from "../../src/egress/egress.ts";
import { echo, hang, openSite, redirect, text } from "../doubles/http-site.ts";
import type { HttpSite } from "../doubles/http-site.ts";
import { bundle, compute, loadAll, openSandbox, patient, run, shortly, task, withLimits } from "./opened.ts";
import type { BundleOptions, Opened } from "./opened.ts";
import type { HandlerBundle } from "../../src/sandbox/sandbox.ts";
import type { RunResult } from "../../src/sandbox/results.ts";

const LIMITS_OF_EVENT = {
  fetchesMax: 4,
  fetchRequestBytesMax: 1024,
  fetchResponseBytesMax: 64 * 1024,
  fetchMs: 300,
};
const LIMITS: EgressLimits = { fetchesMax: 50, bytesMax: 1024 * 1024 };

let egress: Egress;
let opened: Opened;
let site: HttpSite;
let slowly: (() => void)[] = [];

beforeAll(async () => {
  egress = new Egress({ limits: LIMITS, version: "0" });
  // A slice that no busy box uses up: what is not begun after it is no matter of these tests, but for one.
  opened = await openSandbox({ slice: "1s" }, { fetch: egress.fetch });
  withLimits(LIMITS_OF_EVENT);
  site = await openSite({
    "/hello": text("hello", { "x-a": "1" }),
    "/json": (answer) => answer.writeHead(200, { "content-type": "application/json" }).end('{"n":1}'),
    "/echo": echo,
    "/hang": hang,
    "/bytes": (answer) => answer.end(Buffer.from([0, 1, 127, 128, 255, 10])),
    "/empty": (answer) => answer.writeHead(204).end(),
    "/away": redirect("http://not-granted.example/"),
    "/hello-by-redirect": redirect("/hello#here"),
    "/large": (answer) => answer.end("x".repeat(64 * 1024 + 1)),
    "/largest": (answer) => answer.end("x".repeat(64 * 1024)),
    "/when-told": (answer) => void slowly.push(() => answer.end("now")),
  });
});
afterAll(async () => {
  await opened.sandbox.close();
  egress.close();
  await site[Symbol.asyncDispose]();
});

const async = (body: string): string => `return (async () => { ${body} })();`;

function fetching(body: string, more: BundleOptions["settings"] = {}): HandlerBundle {
  const fetch = [{ origin: site.origin, private: false }];
  return bundle(async(body.replaceAll("SITE", site.origin)), { settings: { timeoutMs: 5000, fetch, ...more } });
}

async function results(
  body: string,
  more: BundleOptions["settings"] = {},
  tasks: readonly { readonly key?: string; readonly data: unknown }[] = [{ data: {} }],
): Promise<readonly RunResult[]> {
  const handler = fetching(body, more);
  await loadAll(opened.sandbox, handler);
  egress.meet(handler.name);
  const batch = tasks.map(({ key, data }, seq) =>
    task(handler.id, { seq, payload: Buffer.from(JSON.stringify(data)), ...(key === undefined ? {} : { key }) }),
  );
  const ran = await run(opened.sandbox, handler.id, batch);
  opened.sandbox.unload(handler.id);
  return ran.results;
}

const output = async (body: string, more: BundleOptions["settings"] = {}): Promise<unknown> => {
  const [outputs] = shortly(await results(body, more));
  return Array.isArray(outputs) ? JSON.parse(String(outputs[0])) : outputs;
};

describe("a handler with a grant", () => {
  it.each([
    ["text", "return await (await fetch('SITE/hello')).text()", "hello"],
    ["JSON", "return await (await fetch('SITE/json')).json()", { n: 1 }],
    ["bytes as they are", "return [[...await (await fetch('SITE/bytes')).bytes()]]", [0, 1, 127, 128, 255, 10]],
    [
      "a status",
      "const r = await fetch('SITE/none'); return [[r.status, r.ok, r.statusText]]",
      [404, false, "Not Found"],
    ],
    ["no content", "const r = await fetch('SITE/empty'); return [[r.status, await r.text()]]", [204, ""]],
    [
      "headers",
      "const r = await fetch('SITE/hello'); return r.headers.get('X-A') + r.headers.get('content-type')",
      "1text/plain",
    ],
    [
      "where it came from",
      "const r = await fetch('SITE/hello-by-redirect'); return [[r.redirected, r.url.slice(-6), r.type, r instanceof Response]]",
      [true, "/hello", "basic", true],
    ],
    ["a redirect as it is", "return (await fetch('SITE/away', { redirect: 'manual' })).status", 302],
    ["an answer at the limit", "return (await (await fetch('SITE/largest')).text()).length", 64 * 1024],
  ])("gets %s", async (_, body, value) => {
    expect(await output(body)).toEqual(value);
  });

  it("sends what it says, and of headers not those that are the gateway's", async () => {
    const sent = (await output(
      `const r = await fetch(new Request('SITE/echo?q=ä', { method: 'PUT', body: new Uint8Array([1, 200, 10]),
         headers: { authorization: 'Bearer x', Host: 'evil.example', Connection: 'close', 'Transfer-Encoding': 'chunked', 'Content-Length': '9', 'x-own': 'ÿ' } }));
       return await r.json()`,
    )) as { headers: Record<string, string> };
    expect(sent).toMatchObject({
      method: "PUT",
      path: "/echo?q=%C3%A4",
      body: "\u0001\u00c8\n",
      headers: { authorization: "Bearer x", host: `127.0.0.1:${site.port}`, "content-length": "3", "x-own": "ÿ" },
    });
    expect(sent.headers).not.toHaveProperty("transfer-encoding");
    expect(sent.headers["user-agent"]).toBe("sluice/0");
  });

  it("fetches side by side, as many as it may", async () => {
    const body =
      "const all = await Promise.all([1, 2, 3, 4].map(async (n) => (await (await fetch('SITE/echo?' + n)).json()).path)); return { all }";
    expect(await output(body)).toEqual({ all: ["/echo?1", "/echo?2", "/echo?3", "/echo?4"] });
    expect(shortly(await results(body.replace("4]", "4, 5]")))).toEqual(["SANDBOX_FETCHES_TOO_MANY"]);
    // One after another there may be more.
    expect(await output("for (let n = 0; n < 9; n++) await (await fetch('SITE/hello')).text(); return 'all'")).toBe(
      "all",
    );
  });

  it("fetches as often as it may for one event, however its fetches end, and the next event as often", async () => {
    const body = `let made = 0;
      try { for (;;) { await fetch(made % 2 ? 'SITE/hello' : 'http://not-granted.example/').catch((error) => { if (error.name !== 'TypeError') throw error; }); made++; } }
      catch (error) { return { made, code: error.code }; }`;
    const ran = await results(body, { limits: { ...LIMITS_OF_EVENT, fetchesPerEvent: 7 } }, [
      { key: "a", data: 1 },
      { key: "b", data: 2 },
    ]);
    const seven = [JSON.stringify({ made: 7, code: "SANDBOX_FETCHES_TOO_MANY" })];
    expect(shortly(ran)).toEqual([seven, seven]);
  });

  it("sends no more than 32 MB for one event, in all bodies together", async () => {
    const before = opened.sandbox.figures().killedForNonsense;
    const body = `const large = 'x'.repeat(1024 * 1024); let made = 0;
      try { for (;;) { await fetch('http://not-granted.example/', { method: 'POST', body: large }).catch((error) => { if (error.name !== 'TypeError') throw error; }); made++; } }
      catch (error) { return { made, code: error.code }; }`;
    const limits = { ...LIMITS_OF_EVENT, fetchRequestBytesMax: 1024 * 1024 };
    const more = { limits, timeoutMs: 60_000, memoryBytes: 128 * 1024 * 1024 };
    expect(await output(body, more)).toEqual({ made: 32, code: "SANDBOX_FETCH_TOO_LARGE" });
    expect(opened.sandbox.figures().killedForNonsense).toBe(before);
  }, 60_000);

  it("has no more than its longest body to send", async () => {
    const body =
      "const r = await fetch('SITE/echo', { method: 'POST', body: 'x'.repeat(SIZE) }); return (await r.json()).body.length";
    expect(await output(body.replace("SIZE", "1024"))).toBe(1024);
    expect(shortly(await results(body.replace("SIZE", "1025")))).toEqual(["SANDBOX_FETCH_TOO_LARGE"]);
  });

  it("keeps its state and its order over events that fetch", async () => {
    const body =
      "const n = (await (await fetch('SITE/echo?' + event.data)).json()).path; ctx.state.seen = [...(ctx.state.seen ?? []), n]; return { seen: ctx.state.seen }";
    const tasks = [1, 2, 3].map((data) => ({ data }));
    const outputs = shortly(await results(body, {}, tasks)).map((each) => JSON.parse(String(each)) as unknown);
    expect(outputs).toEqual([
      { seen: ["/echo?1"] },
      { seen: ["/echo?1", "/echo?2"] },
      { seen: ["/echo?1", "/echo?2", "/echo?3"] },
    ]);
  });

  it("sees the time that it waited, and its timers go off meanwhile", async () => {
    const body = `const from = Date.now(); const late = [];
      setTimeout(() => late.push("timer"), 50);
      try { await fetch('SITE/hang') } catch {}
      return [[Date.now() - from >= 290, Date.now() - from < 5000, late]]`;
    expect(await output(body)).toEqual([true, true, ["timer"]]);
  });

  it("makes no request in a captured run", async () => {
    const before = site.requests.length;
    const handler = fetching("return await (await fetch('SITE/hello')).text()");
    await loadAll(opened.sandbox, handler);
    const ran = await run(opened.sandbox, handler.id, [task(handler.id)], [], 0, 1_700_000_000_000);
    expect(ran.results).toMatchObject([{ at: "failed", final: true, failure: { code: "HANDLER_FETCH_DENIED" } }]);
    expect(site.requests.length).toBe(before);
  });

  it("finds ctx.signal to be an AbortSignal", async () => {
    expect(await output("return ctx.signal instanceof AbortSignal && typeof fetch")).toBe("function");
  });
});

describe("a fetch that fails", () => {
  const caught = (body: string): string =>
    `try { ${body} } catch (e) { return [[e instanceof TypeError, e.name, e.code ?? null, e.message]] }`;
  it.each([
    [
      "to what is not granted",
      "await fetch('http://not-granted.example/a?key=1')",
      "HANDLER_FETCH_DENIED",
      "http://not-granted.example",
    ],
    ["to another port", "await fetch('http://127.0.0.1:1/')", "HANDLER_FETCH_DENIED", "http://127.0.0.1:1"],
    ["to another protocol", "await fetch('ftp://127.0.0.1/')", "HANDLER_FETCH_DENIED", "ftp:"],
    ["to what a redirect leads to", "await fetch('SITE/away')", "HANDLER_FETCH_DENIED", "http://not-granted.example"],
    ["by its redirect", "await fetch('SITE/away', { redirect: 'error' })", "HANDLER_FETCH_FAILED", "redirects"],
    ["by its length", "await fetch('SITE/large')", "SANDBOX_FETCH_TOO_LARGE", "65536 bytes"],
    ["by its time", "await fetch('SITE/hang')", "HANDLER_FETCH_TIMEOUT", "300 ms"],
  ])("%s is a TypeError with a code", async (_, body, code, message) => {
    const [isTypeError, name, said, words] = (await output(caught(body))) as [boolean, string, string, string];
    expect([isTypeError, name, said]).toEqual([true, "TypeError", code]);
    expect(words).toContain(message);
    expect(words).not.toContain("key=1");
  });

  it("because it is not granted is final when nobody catches it, and says how to grant it; another is not", async () => {
    const [denied] = await results("await fetch('http://not-granted.example/')");
    expect(denied).toMatchObject({ at: "failed", final: true, failure: { code: "HANDLER_FETCH_DENIED" } });
    expect(JSON.stringify(denied)).toContain('add \\"http://not-granted.example\\" to `fetch` of its config');
    const [late] = await results("await fetch('SITE/hang')");
    expect(late).toMatchObject({ at: "failed", final: false, failure: { code: "HANDLER_FETCH_TIMEOUT" } });
  });

  it.each([
    ["an address that is none", "await fetch('nonsense')", "TypeError"],
    ["no address", "await fetch()", "TypeError"],
    ["a method that is none", "await fetch('SITE/', { method: 'TRACE' })", "TypeError"],
    ["a body with GET", "await fetch('SITE/', { body: 'x' })", "TypeError"],
    ["a header with a newline in it", "await fetch('SITE/', { headers: { a: 'b\\r\\nc: d' } })", "TypeError"],
    ["a signal that has aborted", "await fetch('SITE/', { signal: AbortSignal.abort() })", "AbortError"],
  ])("because of %s is rejected, and nothing is sent", async (_, body, name) => {
    const before = site.requests.length;
    expect(((await output(caught(body))) as string[])[1]).toBe(name);
    expect(site.requests.length).toBe(before);
  });

  it("of a handler without any grant is denied", async () => {
    expect(shortly(await results("await fetch('SITE/hello')", { fetch: [] }))).toEqual(["HANDLER_FETCH_DENIED"]);
  });
});

describe("a fetch that is aborted", () => {
  /** When it has come. */
  const requestTo = async (path: string): Promise<HttpSite["requests"][number]> => {
    const find = (): HttpSite["requests"][number] | undefined => site.requests.find((each) => each.path === path);
    await expect.poll(find, patient).toBeDefined();
    return find() as HttpSite["requests"][number];
  };

  /** Not because their time was over. */
  const aborted = (): number =>
    Object.values(egress.figures().handlers).reduce((sum, { ends }) => sum + ends.aborted, 0);

  it("by its signal is given up", async () => {
    const body = `const control = new AbortController(); setTimeout(() => control.abort(), 100);
      try { await fetch('SITE/hang?signal', { signal: control.signal }) } catch (e) { await new Promise((r) => setTimeout(r, 100)); return e.name }`;
    expect(await output(body)).toBe("AbortError");
    await expect.poll(async () => (await requestTo("/hang?signal")).givenUp, patient).toBe(true);
  });

  it("by the end of its event's time is given up, and the next event finds nothing of it", async () => {
    const body =
      "if (event.data === 1) { ctx.signal.onabort = () => ctx.log.info('aborted'); await fetch('SITE/hang?time'); } return await (await fetch('SITE/hello')).text()";
    const tasks = [
      { data: 1, key: "a" },
      { data: 2, key: "b" },
    ];
    const [first] = await results(body, { timeoutMs: 120 }, [tasks[0] as { data: number }]);
    expect(["SANDBOX_TIMEOUT", "HANDLER_FETCH_TIMEOUT"]).toContain(shortly([first as RunResult])[0]);
    await expect.poll(async () => (await requestTo("/hang?time")).givenUp, patient).toBe(true);
    expect(shortly(await results(body, { timeoutMs: 120 }, [tasks[1] as { data: number }]))).toEqual([['"hello"']]);
    await expect.poll(() => egress.figures().inFlight, patient).toBe(0);
  });

  it("that is under way when its event's time is over is named, with the place where it was made", async () => {
    const body = "await new Promise((r) => setTimeout(r, 60));\n\nawait fetch('SITE/hang?named&key=hidden');";
    const [first] = await results(body, { timeoutMs: 160 });
    const failure = first?.at === "failed" ? first.failure : undefined;
    expect(failure?.code).toBe("SANDBOX_TIMEOUT");
    const host = site.origin.replace("http://", "");
    expect(failure?.message).toBe(
      `a fetch from ${host} was under way when the 160 ms that an event may take were over`,
    );
    expect(failure?.stack).toMatch(/\n {4}at .*handler:h\d+:\d+:7/);
    expect(failure?.stack).not.toContain("hidden");
  });

  it("because its event ended is never sent when it was not waited for, and given up when it was", async () => {
    const before = site.requests.length;
    const forgotten = "fetch('SITE/echo?forgotten').catch(() => {}); return 1";
    expect(shortly(await results(forgotten))).toEqual([["1"]]);
    expect(site.requests.length).toBe(before);
    const raced = "fetch('SITE/hang?raced').catch(() => {}); await fetch('SITE/hello'); return 1";
    const abortedBefore = aborted();
    expect(shortly(await results(raced))).toEqual([["1"]]);
    expect(aborted()).toBe(abortedBefore + 1);
    await expect.poll(async () => (await requestTo("/hang?raced")).givenUp, patient).toBe(true);
    expect(egress.figures()).toMatchObject({ inFlight: 0 });
  });

  it("because its runner was killed is given up, and its event runs again (S1)", async () => {
    const handler = fetching("return await (await fetch('SITE/when-told')).text()");
    await loadAll(opened.sandbox, handler);
    egress.meet(handler.name);
    slowly = [];
    const pid = opened.sandbox.pids[0] as number;
    const lost = run(opened.sandbox, handler.id, [task(handler.id)]);
    await expect.poll(() => slowly.length, patient).toBe(1);
    const abortedBefore = aborted();
    process.kill(pid, "SIGKILL");
    expect(shortly((await lost).results)).toEqual(["crashed"]);
    expect(aborted()).toBe(abortedBefore + 1);
    await expect.poll(() => egress.figures(), patient).toMatchObject({ inFlight: 0, bytesHeld: 0 });
  });
});

describe("a batch that has asked for something", () => {
  const asked = (path: string): number => site.requests.filter((request) => request.path === path).length;
  const three = ["a", "b", "c"].map((key, data) => ({ key, data }));

  it("is not run again because it computes for longer than a short batch may", async () => {
    const body = `await fetch('SITE/echo?slow'); ${compute(80)} return event.data`;
    expect(shortly(await results(body, {}, three))).toEqual([["0"], ["1"], ["2"]]);
    expect(asked("/echo?slow")).toBe(3);
  });

  it("is not run again because a promise is rejected, and whose it was is known", async () => {
    const body =
      "await fetch('SITE/echo?rejected' + event.data); if (event.data === 1) Promise.reject(new Error('forgotten')); return event.data";
    expect(shortly(await results(body, {}, three))).toEqual([["0"], "HANDLER_REJECTED", ["2"]]);
    expect([0, 1, 2].map((n) => asked(`/echo?rejected${n}`))).toEqual([1, 1, 1]);
  });

  it("begins no further event when it has asked a thousand times", async () => {
    const patient = await openSandbox({ slice: "1m" });
    const body = `for (let n = 0; n < 50; n++)
      await Promise.all(Array.from({ length: 10 }, () => fetch('SITE/').catch(() => undefined)));`;
    const limits = { fetchesMax: 10, fetchesPerEvent: 1000 };
    const handler = fetching(body, { limits, timeoutMs: 20_000 });
    await loadAll(patient.sandbox, handler);
    const batch = three.map(({ key }, seq) => task(handler.id, { seq, key }));
    const { results: ran } = await run(patient.sandbox, handler.id, batch);
    expect(shortly(ran)).toEqual([[], [], "unrun"]);
    await patient.sandbox.close();
  });

  it("keeps its place among those at a time when what takes it back is not heard, for its call is rejected", async () => {
    const before = opened.sandbox.figures().killedForNonsense;
    const body = `if (event.data === 2) return await (await fetch('SITE/hello')).text();
      const all = new AbortController();
      for (let n = 0; n < 4; n++) fetch('SITE/hang', { signal: all.signal }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 20));
      all.abort();
      if (event.data === 1) fetch('SITE/echo?never').catch(() => undefined);
      Promise.reject(new Error('forgotten'));
      await new Promise(() => undefined)`;
    const ran = await results(body, {}, [
      { key: "a", data: 0 },
      { key: "b", data: 1 },
      { key: "c", data: 2 },
    ]);
    expect(shortly(ran)).toEqual(["HANDLER_REJECTED", "HANDLER_REJECTED", ['"hello"']]);
    expect(asked("/echo?never")).toBe(0);
    expect(opened.sandbox.figures().killedForNonsense).toBe(before);
  });

  it("is not run again because a later event loops: what was answered stands", async () => {
    const body = "await fetch('SITE/echo?loop' + event.data); if (event.data === 1) for (;;); return event.data";
    expect(shortly(await results(body, { timeoutMs: 500 }, three))).toEqual([["0"], "SANDBOX_TIMEOUT", "unrun"]);
    expect([0, 1, 2].map((n) => asked(`/echo?loop${n}`))).toEqual([1, 1, 0]);
  });

  it("that is rejected before anything left runs one by one, as any other", async () => {
    const body =
      "if (event.data === 1) Promise.reject(new Error('forgotten')); if (event.data === 2) await fetch('SITE/echo?after'); return event.data";
    expect(shortly(await results(body, {}, three))).toEqual([["0"], "HANDLER_REJECTED", ["2"]]);
    expect(asked("/echo?after")).toBe(1);
  });
});

describe("a handler that has changed what is built in", () => {
  it.each([
    ["Request", "globalThis.Request = class { constructor() { this.url = {}; } };"],
    ["Headers", "Headers.prototype[Symbol.iterator] = function* () { yield [1, 2]; };"],
    [
      "JSON and Array",
      "JSON.stringify = () => 'nonsense'; Array.prototype.push = () => 0; Object.prototype.toJSON = () => 1;",
    ],
    ["URL", "globalThis.URL = class { constructor() { this.href = 'nonsense'; this.username = this.password = '' } };"],
  ])("(%s) harms itself at the most, not its runner", async (_, deed) => {
    const pid = opened.sandbox.pids[0];
    await results(`${deed} await fetch('SITE/hello', { headers: { a: 'b' } }); return 1`);
    expect(shortly(await results("return await (await fetch('SITE/hello')).text()"))).toEqual([['"hello"']]);
    expect(opened.sandbox.pids[0]).toBe(pid);
  });
});

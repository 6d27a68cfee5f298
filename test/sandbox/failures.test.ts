import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, loadAll, openSandbox, run, runOn, shortly, task, withLimits } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
beforeAll(async () => {
  withLimits({ resultBytesMax: 65_536, stateBytesMax: 1024, outputsMax: 10 });
  opened = await openSandbox();
});
afterAll(() => opened.sandbox.close());

async function failureOf(body: string): Promise<Record<string, unknown>> {
  const [result] = await runOn(opened.sandbox, body);
  return result?.at === "failed" ? { final: result.final, ...result.failure } : { at: result?.at };
}

describe("a failure", () => {
  it.each([
    ["throw new TypeError('wrong')", "HANDLER_THREW", "TypeError: wrong"],
    ["throw 'text'", "HANDLER_THREW", "threw text"],
    ["throw undefined", "HANDLER_THREW", "threw undefined"],
    ["throw { code: 7 }", "HANDLER_THREW", 'threw {"code":7}'],
    ["throw new Proxy({}, { get() { throw 1; }, getPrototypeOf() { throw 2; } })", "HANDLER_THREW", ""],
    ["throw Object.create(null)", "HANDLER_THREW", "threw {}"],
    [
      "const e = new Error('x'); Object.defineProperty(e, 'message', { get() { throw e; } }); throw e",
      "HANDLER_THREW",
      "Error: ",
    ],
    ["return Promise.reject(new Error('later'))", "HANDLER_THREW", "Error: later"],
    ["return (async () => { await null; missing(); })()", "HANDLER_THREW", "ReferenceError: missing is not defined"],
    ["(function f() { f(); })()", "HANDLER_THREW", "RangeError: Maximum call stack size exceeded"],
    ["return 1n", "SANDBOX_RESULT_INVALID", "the result is no JSON: "],
    ["const a = {}; a.a = a; return a", "SANDBOX_RESULT_INVALID", "the result is no JSON: Converting circular"],
    ["return () => 1", "SANDBOX_RESULT_INVALID", "the result is no JSON: it is a function"],
    ["return Symbol('x')", "SANDBOX_RESULT_INVALID", "the result is no JSON: it is a symbol"],
    ["return { toJSON() { throw new Error('tj'); } }", "SANDBOX_RESULT_INVALID", "the result is no JSON: tj"],
    ["return { get x() { throw new Error('gx'); } }", "SANDBOX_RESULT_INVALID", "the result is no JSON: gx"],
    [
      "return new Response('{}')",
      "SANDBOX_RESULT_INVALID",
      "result is of class Response, of which JSON makes {} and no more: give its content",
    ],
    ["return Promise.resolve(new Response())", "SANDBOX_RESULT_INVALID", "such as `await response.json()`"],
    ["return [1, Promise.resolve(2)]", "SANDBOX_RESULT_INVALID", "a value of the result is of class Promise"],
    ["ctx.emit(Promise.resolve(2))", "SANDBOX_RESULT_INVALID", "no more: await it"],
    [
      "ctx.publish('a', new Map([[1, 2]]))",
      "SANDBOX_RESULT_INVALID",
      "class Map, of which JSON makes {} and no more: give `Object.fromEntries",
    ],
    ["return new Set([1])", "SANDBOX_RESULT_INVALID", "more: give `[...set]`"],
    ["return new Error('x')", "SANDBOX_RESULT_INVALID", "throw it"],
    ["return new ArrayBuffer(8)", "SANDBOX_RESULT_INVALID", "new Uint8Array"],
    ["return (function* () { yield 1; })()", "SANDBOX_RESULT_INVALID", "the result is of a class"],
    [
      "class Hidden { #c = 1; get c() { return this.#c; } } return new Hidden()",
      "SANDBOX_RESULT_INVALID",
      "a toJSON()",
    ],
    ["ctx.state = new Map()", "SANDBOX_STATE_INVALID", "ctx.state is of class Map"],
    ["return 'x'.repeat(1e8)", "SANDBOX_RESULT_TOO_LARGE", "the result is longer than 65536 bytes"],
    ["return { toJSON: () => 'x'.repeat(1e6) }", "SANDBOX_RESULT_TOO_LARGE", "the result is longer"],
    [
      "return Array.from({ length: 9 }, () => 'x'.repeat(1e4))",
      "SANDBOX_RESULT_TOO_LARGE",
      "a value of the result is longer",
    ],
    ["return new Uint8Array(1e6)", "SANDBOX_RESULT_TOO_LARGE", ""],
    ["return Array.from({ length: 11 }, () => 1)", "SANDBOX_OUTPUTS_TOO_MANY", "more than 10 outputs"],
    ["for (;;) ctx.emit(1)", "SANDBOX_OUTPUTS_TOO_MANY", "more than 10 outputs"],
    ["ctx.publish('a/#', 1)", "SANDBOX_PUBLISH_INVALID", ""],
    ["ctx.publish('', 1)", "SANDBOX_PUBLISH_INVALID", ""],
    ["ctx.publish('\u00e9'.repeat(40_000), 1)", "SANDBOX_PUBLISH_INVALID", "65,535 bytes"],
    ["ctx.publish('a', 1, { qos: 3 })", "SANDBOX_PUBLISH_INVALID", ""],
    ["ctx.emit(1, { to: 7 })", "SANDBOX_RESULT_INVALID", ""],
    ["ctx.state = [1]", "SANDBOX_STATE_INVALID", "ctx.state is an object"],
    ["ctx.state.toJSON = () => 1", "SANDBOX_STATE_INVALID", "toJSON"],
    ["ctx.state.x = 'x'.repeat(2000)", "SANDBOX_STATE_TOO_LARGE", "ctx.state is longer than 1024 bytes"],
    ["ctx.state.me = ctx.state", "SANDBOX_RESULT_INVALID", "ctx.state is no JSON"],
  ])("%s is %s", async (body, code, message) => {
    const failure = await failureOf(body);
    expect(failure).toMatchObject({ code, final: false });
    expect(failure["message"]).toContain(message);
  });

  it("DeadLetter is final, also one that is derived", async () => {
    expect(await failureOf("throw new DeadLetter('broken sensor')")).toMatchObject({
      code: "HANDLER_DEAD_LETTER",
      message: "broken sensor",
      final: true,
    });
    expect(await failureOf("class Own extends DeadLetter {} throw new Own('x')")).toMatchObject({
      code: "HANDLER_DEAD_LETTER",
      final: true,
    });
  });

  it("has bounded texts", async () => {
    const failure = await failureOf("const e = new Error('m'.repeat(1e6)); e.stack = 's'.repeat(1e6); throw e");
    expect(String(failure["message"]).length).toBeLessThanOrEqual(4096);
    expect(String(failure["stack"]).length).toBeLessThanOrEqual(8192);
  });

  it("shows the user's frames only", async () => {
    const { stack } = await failureOf("const inner = () => { throw new Error('deep'); }; inner()");
    expect(String(stack).split("\n")).toHaveLength(3);
    expect(stack).not.toContain("sluice:guest");
  });

  it("after it, what the task still emits is refused", async () => {
    const handler = bundle("if (event.data.first) globalThis.kept = ctx; else globalThis.kept.emit('late')");
    await loadAll(opened.sandbox, handler);
    const batch = [task(handler.id, { key: "a", payload: Buffer.from('{"first":1}') }), task(handler.id, { key: "b" })];
    expect(shortly((await run(opened.sandbox, handler.id, batch)).results)).toEqual([[], "SANDBOX_LATE"]);
  });
});

describe("loading", () => {
  const loading = async (code: string): Promise<object> => {
    const loaded = await opened.sandbox.load(bundle("", { code }));
    return loaded.at === "failed" ? loaded.failure : { at: loaded.at };
  };

  it.each([
    ["throw new Error('at load')", { code: "HANDLER_LOAD_THREW", message: "Error: at load" }],
    ["module.exports.config = {}", { code: "HANDLER_EXPORT_MISSING" }],
    ["module.exports.default = 1", { code: "HANDLER_EXPORT_MISSING" }],
    ["for (;;);", { code: "SANDBOX_TIMEOUT" }],
    ["const (", { code: "HANDLER_LOAD_THREW" }],
    ["module.exports = { default() {}, config: { a: 1n } }", { code: "HANDLER_LOAD_THREW" }],
    ["require('fs')", { code: "HANDLER_LOAD_THREW", message: "ReferenceError: require is not defined" }],
  ])("%s fails as %j", async (code, failure) => {
    expect(await loading(code)).toMatchObject(failure);
  });

  it("inspect() says what the module exports as config, and leaves nothing behind", async () => {
    const before = opened.sandbox.figures().handlers;
    const inspected = await opened.sandbox.inspect(
      bundle("", { code: "module.exports = { config: { topic: 'a', ü: [1] }, default() {} }" }),
    );
    expect(inspected).toEqual({ at: "ready", config: { topic: "a", ü: [1] } });
    expect(opened.sandbox.figures().handlers).toBe(before);
  });

  it("a version that does not load leaves the one before at work", async () => {
    const first = bundle("return 1");
    await loadAll(opened.sandbox, first);
    expect(await opened.sandbox.load({ ...first, version: 2, code: "throw 1" })).toMatchObject({ at: "failed" });
    expect(await run(opened.sandbox, first.id, [task(first.id)])).toMatchObject({
      version: 1,
      results: [{ at: "done" }],
    });
  });

  it("a new version takes over without losing a batch (S6)", async () => {
    const first = bundle("return ctx.version");
    await loadAll(opened.sandbox, first);
    const pending = Array.from({ length: 20 }, () => run(opened.sandbox, first.id, [task(first.id)]));
    await loadAll(opened.sandbox, { ...first, version: 2 });
    pending.push(run(opened.sandbox, first.id, [task(first.id)]));
    for (const { version, results } of await Promise.all(pending))
      expect(shortly(results)).toEqual([[String(version)]]);
    expect((await pending.at(-1))?.version).toBe(2);
  });

  it("a handler that is not loaded runs nothing", async () => {
    expect((await run(opened.sandbox, 9999, [task(9999)])).results).toEqual([{ at: "unrun" }]);
  });
});

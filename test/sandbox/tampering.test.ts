/** Handlers that patch what they can reach: they mislead themselves at most, and no runner is lost over it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, loadAll, openSandbox, run, runOn, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
beforeAll(async () => (opened = await openSandbox()));
afterAll(() => opened.sandbox.close());

const nested = (levels: number, value: string): string =>
  `let a = ${value}; for (let n = 0; n < ${levels}; n++) a = [a];`;

describe("what a handler's code comes to when it", () => {
  it.each([
    ["nests its result deeper than 500 levels", `${nested(600, "1")} return { a }`, "SANDBOX_RESULT_INVALID"],
    ["nests its state deeper than 500 levels", `${nested(600, "1")} ctx.state.a = a`, "SANDBOX_RESULT_INVALID"],
    ["nests within the limit", `${nested(400, "1")} return { a }`, [`{"a":${"[".repeat(400)}1${"]".repeat(400)}}`]],
    ["returns a cycle", "const a = {}; a.a = a; return a", "SANDBOX_RESULT_INVALID"],
    [
      "changes the code of a refusal",
      "try { ctx.publish('', 1) } catch (e) { Object.defineProperty(e, 'code', { value: 'JOURNAL_LOCKED' }); throw e }",
      "SANDBOX_PUBLISH_INVALID",
    ],
    [
      "makes a refusal of its own",
      "try { ctx.publish('', 1) } catch (e) { throw new e.constructor('JOURNAL_LOCKED', 'x') }",
      "HANDLER_THREW",
    ],
    [
      "makes one without a code",
      "try { ctx.publish('', 1) } catch (e) { throw new e.constructor({}, 'x') }",
      "HANDLER_THREW",
    ],
    [
      "gives a list of uplinks that grows",
      "let k = 0; ctx.emit(1, { to: new Proxy([], { get: (_, n) => (n === 'length' ? (k++ === 0 ? 1 : 100) : 'x') }) }); return 2",
      ["1", "2"],
    ],
    [
      "puts setters on Object.prototype",
      "for (const n of ['to', 'type']) Object.defineProperty(Object.prototype, n, { configurable: true, set() { Object.defineProperty(this, n, { value: 7, enumerable: true }); } }); ctx.emit(1, { to: 'x', type: 't' }); return 2",
      ["1", "2"],
    ],
    [
      "puts setters and getters on Array.prototype",
      "for (const n of [0, 1]) Object.defineProperty(Array.prototype, n, { configurable: true, get: () => '!', set() {} }); ctx.log.info('a', 'b'); return 1",
      ["1"],
    ],
    ["replaces what is asked of a context", "ctx.constructor.stateAfter = () => 'forged'; return 1", ["1"]],
    [
      "makes bytes longer than they were",
      "Object.defineProperty(Array.prototype, 0, { configurable: true, set() { Object.defineProperty(this, 0, { value: 'x'.repeat(3e6) }); } }); return new Uint8Array(1)",
      ["\0"],
    ],
  ])("%s", async (_what, body, outcome) => {
    expect(shortly(await runOn(opened.sandbox, body, ["{}"], { settings: { timeoutMs: 2000 } }))).toEqual([outcome]);
    expect(opened.sandbox.figures().runnersLost).toBe(0);
  });

  it("patches Array.prototype is the same for its next events", async () => {
    const body =
      "for (const n of [0, 1]) Object.defineProperty(Array.prototype, n, { configurable: true, get: () => '!', set() {} }); ctx.state.n = (ctx.state.n ?? 0) + 1; return ctx.state.n";
    const handler = bundle(body);
    await loadAll(opened.sandbox, handler);
    for (const seq of [1, 2, 3]) {
      const { results } = await run(opened.sandbox, handler.id, [
        task(handler.id, { seq }),
        task(handler.id, { seq, key: "b" }),
      ]);
      expect(shortly(results)).toEqual([["1"], ["1"]]);
    }
  });
});

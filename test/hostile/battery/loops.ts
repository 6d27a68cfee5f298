/** Handlers that never end: in their own code, in code of ours that reads what they made, inside of V8's built-ins. */
import { dead, done, rows } from "./hostile.ts";
import type { Hostile } from "./hostile.ts";

export const loops: readonly Hostile[] = [
  ...rows("loops", dead("SANDBOX_TIMEOUT"), "isolate", {
    "loop-plain": "for (;;);",
    "loop-catches-its-end": "for (;;) { try { for (;;); } catch {} finally { continue; } }",
    "loop-microtasks": "const again = () => Promise.resolve().then(again); return again();",
    "loop-async": "return (async () => { for (;;) await 1; })();",
    "loop-async-generator":
      "return (async () => { for await (const _ of (async function* () { for (;;) yield 1; })()); })();",
    "loop-promises-of-promises": "const next = () => ({ then(resolve) { resolve(next()); } }); return next();",
    // In what reads the result.
    "loop-getter": "return { get value() { for (;;); } };",
    "loop-proxy": "return new Proxy({}, { ownKeys() { for (;;); } });",
    "loop-list-without-end":
      "return new Proxy([], { get: (to, name) => (name === 'length' ? Infinity : Reflect.get(to, name)) });",
    "loop-then": "return { get then() { for (;;); } };",
    "loop-to-json": "return { toJSON() { for (;;); } };",
    "loop-state": "ctx.state = { toJSON() { for (;;); } };",
    "loop-logged": "ctx.log.info({ get stack() { for (;;); } });",
    // In what reads the failure.
    "loop-thrown-proxy": "throw new Proxy({}, { getPrototypeOf() { for (;;); } });",
    "loop-stack-trace": "Error.prepareStackTrace = () => { for (;;); }; throw new Error('x');",
    // In V8's own code.
    "loop-regex": "return /^(a+)+$/.test('a'.repeat(64) + '!');",
    "loop-comparator": "let n = 0; [3, 2, 1].sort(() => { for (;;) n++; });",
    "loop-growing-map":
      "const map = new Map([[0, 0]]); for (const [key] of map) { map.delete(key); map.set(key + 1, 0); }",
  }),

  // V8 does not look at the clock in there.
  ...rows("loops", dead("SANDBOX_TIMEOUT", "TASK_CRASHED_RUNNER"), "runner", {
    "stuck-search": "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);",
    "stuck-power": "return String(7n ** 10_000_000n).length;",
    "stuck-fill": "return Array(1e9).fill(0).length;",
  }),

  // What it had answered stands, and what it left running is cut off.
  ...rows("loops", done(1), "isolate", {
    "loop-left-behind": "const again = () => { Promise.resolve().then(again); }; again(); return 1;",
  }),

  // Long enough to be cut off, most of the time.
  ...rows("loops", dead("SANDBOX_OUTPUTS_TOO_MANY", "SANDBOX_TIMEOUT"), "isolate", {
    "loop-of-refused-emits": "for (let n = 0; n < 300_000; n++) { try { ctx.emit(n); } catch {} } return 1;",
  }),
  ...rows("loops", dead("SANDBOX_RESULT_INVALID", "SANDBOX_TIMEOUT"), "isolate", {
    "loop-new-keys-for-ever":
      "let n = 0; const level = () => new Proxy({}, { ownKeys: () => ['k' + n++], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }), get: (_, name) => typeof name === 'symbol' || name === 'toJSON' || name === 'then' ? undefined : level() }); return level();",
    "long-nesting": "let all = 1; for (let n = 0; n < 100_000; n++) all = [all]; return { all };",
  }),
  ...rows("loops", dead("HANDLER_THREW", "SANDBOX_TIMEOUT"), "isolate", {
    "recursion-that-catches":
      "const deeper = () => { try { deeper(); } catch { deeper(); } }; deeper(); throw new Error('through');",
  }),
];

export const recursion: readonly Hostile[] = [
  ...rows("recursion", dead("HANDLER_THREW"), "nothing", {
    recursion: "const deeper = () => deeper() + 1; return deeper();",
    "recursion-in-a-getter": "const self = { get a() { return this.a; } }; return self.a;",
    "blocking-wait": "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);",
  }),
  ...rows("recursion", dead("SANDBOX_RESULT_INVALID"), "nothing", {
    "recursion-in-to-json": "const self = { toJSON() { return JSON.stringify(self); } }; return self;",
  }),
];

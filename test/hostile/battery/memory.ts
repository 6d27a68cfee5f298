/** Handlers that take memory: on V8's heap, beside it, and all in one step. */
import { dead, done, rows } from "./hostile.ts";
import type { Hostile } from "./hostile.ts";

/** Which is met first, the limit or the time, is the box's affair; and V8 refuses some things by itself. */
const ON_THE_HEAP = dead("SANDBOX_MEMORY", "SANDBOX_TIMEOUT", "HANDLER_THREW");
const BESIDE_IT = dead("SANDBOX_MEMORY", "SANDBOX_TIMEOUT", "HANDLER_THREW", "TASK_CRASHED_RUNNER");

export const memory: readonly Hostile[] = [
  ...rows("memory", ON_THE_HEAP, "isolate", {
    "eat-arrays": "const kept = []; for (;;) kept.push(new Array(100_000).fill(kept.length));",
    "eat-frames":
      "const never = new Promise(() => {}); const kept = []; for (;;) kept.push((async () => { const own = Array(100).fill(1); await never; return own; })());",
    "eat-big-ints": "const kept = []; for (let n = 2n ** 1_000_000n; ; n += 1n) kept.push(n);",
    "eat-typed-arrays": "const kept = []; for (;;) kept.push(new Float64Array(2 ** 17).fill(kept.length));",
    "eat-timers":
      "const kept = []; setInterval(() => kept.push(Array(100_000).fill(1)), 0); return new Promise(() => {});",
  }),

  // What is many small things, or long, keeps the garbage collector busy: on a slow box it does not stop in time.
  ...rows("memory", ON_THE_HEAP, "runner", {
    "eat-closures":
      "let last = () => 0; for (;;) { const before = last; const own = [1, 2, 3]; last = () => before() + own.length; }",
    "eat-maps": "const map = new Map(); for (;;) map.set({}, new Map([[map.size, {}]]));",
    "eat-promises": "const kept = []; for (;;) kept.push(new Promise(() => {}).then(() => 1));",
    "eat-code": "const kept = []; for (;;) kept.push(Function(`return ${kept.length}`));",
    "eat-result": "return Array.from({ length: 3_000_000 }, (_, n) => ({ n }));",
  }),

  // Where V8 does not count, or does not look at its limit until it is done.
  ...rows("memory", BESIDE_IT, "runner", {
    "eat-resizable":
      "const kept = []; for (;;) { const bytes = 2 ** 26; const buffer = new ArrayBuffer(bytes, { maxByteLength: bytes }); new Uint8Array(buffer).fill(1); kept.push(buffer); }",
    "eat-joined": "return Array(5e7).join('0123456789').indexOf('y');",
    "eat-property-names": "const all = {}; for (let n = 0; ; n++) all[`name ${n}`] = n;",
    "eat-spread": "const many = Array(1e7).fill(1); return Math.max(...many, ...many, ...many);",
    "eat-doubling-text": "let text = 'x'; for (;;) { text += text; text.charCodeAt(0); }",
    "eat-split-text": "return 'x'.repeat(2 ** 28).split('').length;",
    "eat-stringified": "const part = 'x'.repeat(2 ** 20); return JSON.stringify(Array(400).fill(part)).length;",
  }),

  ...rows("memory", done(), "nothing", {
    "garbage-within-the-limit": {
      body: "let sum = 0; for (let n = 0; n < 30; n++) sum += new Array(50_000).fill(n).length; return sum;",
      outputs: [1_500_000],
    },
    "memory-that-is-not-there": {
      body: "return [typeof WebAssembly, typeof SharedArrayBuffer, typeof Function('return this')().WebAssembly];",
      outputs: ["undefined", "undefined", "undefined"],
    },
  }),
];

/** Handlers that answer late, never, twice, or leave something behind that runs on; and rejections nobody handles. */
import { dead, done, rows } from "./hostile.ts";
import type { Hostile } from "./hostile.ts";

export const waits: readonly Hostile[] = [
  // To wait costs nobody anything: only the event's own time.
  ...rows("waits", dead("SANDBOX_TIMEOUT"), "nothing", {
    "wait-for-ever": "return new Promise(() => {});",
    "wait-for-years": "return new Promise((resolve) => setTimeout(resolve, 2 ** 40));",
    "wait-with-a-timer-storm": "const again = () => setTimeout(again, 0); again(); return new Promise(() => {});",
    "wait-with-many-intervals": "for (let n = 0; n < 90; n++) setInterval(() => {}, 0); return new Promise(() => {});",
    "wait-and-emit-when-aborted":
      "ctx.signal.addEventListener('abort', () => ctx.emit('late')); ctx.signal.onabort = () => { throw 1; }; return new Promise(() => {});",
  }),

  ...rows("waits", dead("SANDBOX_TIMEOUT"), "isolate", {
    "wait-then-loop": "return new Promise(() => setTimeout(() => { for (;;); }, 5));",
    "wait-then-microtasks": "return new Promise(() => setTimeout(async () => { for (;;) await 1; }, 1));",
    "wait-then-loop-when-aborted":
      "ctx.signal.addEventListener('abort', () => { for (;;); }); return new Promise(() => {});",
  }),
];

export const answers: readonly Hostile[] = [
  ...rows("answers", dead("HANDLER_THREW"), "nothing", {
    "promise-of-itself": "let own; own = Promise.resolve().then(() => own); return own;",
    "timer-of-text": "setTimeout('globalThis.evaluated = true', 1); return 1;",
    "timer-that-throws":
      "return new Promise(() => setTimeout(() => { throw new Proxy({}, { get() { throw 1; } }); }, 1));",
  }),

  ...rows("answers", done(), "nothing", {
    "answer-twice": {
      body: "return { then(resolve, reject) { resolve(1); resolve(2); reject(new Error('x')); throw new Error('y'); } };",
      outputs: [1],
    },
    "answer-and-emit-late": {
      body: "(async () => { for (let n = 0; n < 20; n++) await 1; ctx.emit('late'); })().catch(() => {}); return 'in time';",
      outputs: ["in time"],
    },
    "answer-and-change-it": {
      body: "const result = { n: 1 }; ctx.state.n = 1; (async () => { await 1; result.n = 2; ctx.state = { n: 2 }; })(); return result;",
      outputs: [{ n: 1 }],
    },
    "answer-and-leave-timers": {
      body: "setInterval(() => { ctx.emit('late'); throw 1; }, 1); return 'in time';",
      outputs: ["in time"],
    },
    "answer-and-leave-finalizers": {
      body: "const registry = (globalThis.registry = new FinalizationRegistry(() => { for (;;); })); for (let n = 0; n < 1000; n++) registry.register({}, 1); for (let n = 0, junk = []; n < 200; n++) if (junk.push(new Array(20_000).fill(n)) > 20) junk = []; return registry.unregister({});",
      outputs: [false],
    },
    "clear-timers-of-others": {
      body: "for (let id = 0; id < 1000; id++) { clearTimeout(id); clearInterval({ valueOf: () => id }); } return new Promise((resolve) => setTimeout(resolve, 5, 'mine'));",
      outputs: ["mine"],
    },
  }),
];

export const rejections: readonly Hostile[] = [
  ...rows("rejections", dead("HANDLER_REJECTED"), "nothing", {
    "reject-and-answer": "Promise.reject(new Error('nobody')); return 1;",
    "reject-later": "(async () => { for (let n = 0; n < 100; n++) await 1; throw new Error('late'); })(); return 1;",
    "reject-in-a-timer":
      "return new Promise((resolve) => setTimeout(async () => { setTimeout(resolve, 50); throw new Error('nobody'); }, 1));",
    "reject-many": "for (let n = 0; n < 20_000; n++) Promise.reject(new Error('many ' + n)); return 1;",
    "reject-a-proxy":
      "Promise.reject(new Proxy(new Error('x'), { get() { throw 1; }, getPrototypeOf() { throw 1; } })); return 1;",
    "reject-getters-that-throw":
      "const error = new Error('x'); for (const name of ['message', 'stack', 'name']) Object.defineProperty(error, name, { get() { throw error; } }); Promise.reject(error); return 1;",
  }),
  ...rows("rejections", dead("SANDBOX_TIMEOUT", "TASK_CRASHED_RUNNER"), "runner", {
    "reject-a-getter-that-loops": "Promise.reject({ get stack() { for (;;); } }); return 1;",
  }),
];

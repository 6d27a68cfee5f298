/** Handlers that say too much: log lines, outputs, publishes, timers, state. */
import { dead, done, rows } from "./hostile.ts";
import type { Hostile } from "./hostile.ts";

export const floods: readonly Hostile[] = [
  ...rows("floods", done(), "nothing", {
    "flood-the-log": { body: "for (let n = 0; n < 20_000; n++) ctx.log.info('line', n); return 1;", outputs: [1] },
    "flood-the-log-with-odd-values": {
      body: "for (const value of [undefined, null, NaN, 10n, Symbol('x'), () => 1, new Proxy({}, {}), Object.create(null), { get stack() { throw 1; } }, { toJSON() { throw 1; } }, '\\n{\"level\":60}', '\\u001b[2J', '\\ud800']) ctx.log.warn(value, value); return 1;",
      outputs: [1],
    },
    "flood-the-system-topics": {
      body: "ctx.publish('$SYS/x', 1, { retain: true }); ctx.publish('$share/a/b', 1); return 1;",
      outputs: [1],
    },
  }),
  ...rows("floods", dead("TASK_CHAIN_TOO_LONG"), "nothing", {
    "flood-its-own-topic": "ctx.publish(event.topic, event.data, { qos: 1 }); return 1;",
  }),
  ...rows("floods", dead("SANDBOX_OUTPUTS_TOO_MANY"), "nothing", {
    "flood-emits": "for (let n = 0; n < 1_000_000; n++) ctx.emit(n);",
    "flood-publishes": "for (let n = 0; n < 1_000_000; n++) ctx.publish('flood/' + n, n, { retain: true });",
  }),
  ...rows("floods", dead("SANDBOX_TIMERS_TOO_MANY"), "nothing", {
    "flood-timers": "for (;;) setTimeout(() => {}, 1);",
  }),
  ...rows("floods", dead("SANDBOX_STATE_TOO_LARGE"), "nothing", {
    "state-large": "ctx.state.text = 'x'.repeat(70_000);",
    "state-of-many-keys": "for (let n = 0; n < 10_000; n++) ctx.state['key ' + n] = n;",
  }),
  ...rows("floods", dead("SANDBOX_STATE_INVALID"), "nothing", {
    "state-list": "ctx.state = [1];",
    "state-of-raw-json": "ctx.state = JSON.rawJSON('\"text\"');",
  }),
  ...rows("floods", dead("SANDBOX_RESULT_INVALID"), "nothing", {
    "state-nested": "let all = 1; for (let n = 0; n < 600; n++) all = [all]; ctx.state.all = all;",
  }),
  ...rows("floods", done([true]), "nothing", {
    "state-of-prototypes": {
      body: `ctx.state = JSON.parse('{"__proto__":{"polluted":1}}'); return { clean: {}.polluted === undefined };`,
      outputs: [{ clean: true }],
    },
  }),
];

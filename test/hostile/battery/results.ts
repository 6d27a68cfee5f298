/** Handlers whose results are not what they seem: odd, huge, changing, or made to break whoever reads them. */
import { dead, done, rows } from "./hostile.ts";
import type { Hostile } from "./hostile.ts";

export const results: readonly Hostile[] = [
  // What JSON makes of them is what comes out.
  ...rows("results", done(), "nothing", {
    "lie-no-numbers": {
      body: "return { a: NaN, b: Infinity, c: -0, d: undefined, e: () => 1, f: Symbol('x') };",
      outputs: [{ a: null, b: null, c: 0 }],
    },
    "lie-lines-of-an-answer": {
      body: `return { text: "\\n.\\n!{}\\r\\u0000\\u2028\\u001b[31m", "\\n.\\n": 1 };`,
      outputs: [{ text: "\n.\n!{}\r\u0000\u2028\u001b[31m", "\n.\n": 1 }],
    },
    "lie-half-characters": {
      body: `return { text: "\\ud800", "\\udfff": "\\ud83d\\ude00" };`,
      outputs: [{ text: "\ud800", "\udfff": "\u{1f600}" }],
    },
    "lie-raw-json": {
      body: `return [JSON.rawJSON("1e999"), { raw: JSON.rawJSON('"\\\\ud800"') }];`,
      outputs: [Infinity, { raw: "\ud800" }],
    },
    "lie-changing": {
      body: "let n = 0; return { get a() { return n++ % 2 === 0 ? 'short' : 'x'.repeat(1000); } };",
      outputs: [{ a: "x".repeat(1000) }],
    },
    "lie-names-that-grow": {
      body: "let looks = 0; ctx.emit(1, { to: new Proxy([], { get: (_, name) => (name === 'length' ? (looks++ === 0 ? 1 : 100) : 'hostile') }) }); return 2;",
      outputs: [1, 2],
    },
  }),

  ...rows("results", dead("SANDBOX_RESULT_INVALID"), "nothing", {
    "no-json-cycle": "const a = {}; a.self = a; return a;",
    "no-json-big-int": "return { n: 10n };",
    "no-json-function": "return () => 1;",
    "no-json-throws-odd": "return { toJSON() { throw { get message() { throw 1; } }; } };",
    "no-json-revoked":
      "const { proxy, revoke } = Proxy.revocable({}, {}); const result = { proxy }; revoke(); return result;",
    "no-json-nested-600": "let all = 1; for (let n = 0; n < 600; n++) all = [all]; return { all };",
    "no-uplink-but-a-number": "ctx.emit(1, { to: [1] });",
  }),

  ...rows("results", dead("SANDBOX_RESULT_TOO_LARGE"), "nothing", {
    "huge-by-a-byte": "return 'x'.repeat(1024 * 1024 - 1);",
    "huge-at-the-second-look": "let n = 0; return { get a() { return n++ === 0 ? '' : 'x'.repeat(1_500_000); } };",
    "huge-once-escaped": "return '\\u0000'.repeat(300_000);",
    "huge-by-sharing": "let all = 'text'; for (let n = 0; n < 30; n++) all = [all, all]; return { all };",
    "huge-and-empty": "return { all: Array(1e8) };",
    "huge-in-parts": "return Array(90).fill('x'.repeat(20_000));",
  }),
  ...rows("results", dead("SANDBOX_OUTPUTS_TOO_MANY"), "nothing", {
    "many-by-one": "return Array(101).fill(1);",
  }),
  ...rows("results", dead("OUTPUT_UPLINK_UNKNOWN"), "nothing", {
    "uplink-of-nobody": "ctx.emit(1, { to: ['__proto__', 'constructor', 'toString'] });",
    "uplink-of-the-house": "ctx.emit(1, { to: '$devices' });",
  }),
  ...rows("results", dead("SANDBOX_PUBLISH_INVALID"), "nothing", {
    "publish-to-all": "ctx.publish('a/#', 1);",
    "publish-a-code-of-its-own":
      "try { ctx.publish('', 1); } catch (error) { Object.defineProperty(error, 'code', { value: 'JOURNAL_LOCKED' }); throw error; }",
  }),
  ...rows("results", dead("HANDLER_THREW"), "nothing", {
    "throw-a-revoked-proxy": "const { proxy, revoke } = Proxy.revocable(function () {}, {}); revoke(); throw proxy;",
    "throw-lines-of-an-answer":
      "const error = new Error('x'); error.stack = '\\n.\\n!{}\\n\\ud800'; error.name = '\\u0000'; throw error;",
    "throw-a-refusal-of-its-own":
      "try { ctx.publish('', 1); } catch (error) { throw new error.constructor('JOURNAL_LOCKED', 'x'); }",
    "throw-with-a-polluted-prototype":
      "for (const name of ['code', 'message', 'stack', 'final', 'index']) Object.defineProperty(Object.prototype, name, { value: 'forged', writable: true, configurable: true }); throw { a: 1 };",
  }),
  ...rows("results", dead("HANDLER_DEAD_LETTER"), "nothing", {
    "throw-a-dead-letter-without-a-reason":
      "class Own extends DeadLetter { get message() { return 7; } } throw new Own();",
  }),
];

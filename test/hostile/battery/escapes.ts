/**
 * Handlers that look for a way out, or into what runs after them. Each returns what it found, and the entry says exactly
 * what that may be. Those of the family `tampering` patch what our code might use; the probe must not notice.
 */
import { dead, done, rows } from "./hostile.ts";
import type { Hostile } from "./hostile.ts";

/** Names of the host's things that can be seen from a global object. */
const SEEN = `const hosts = (global) => ["process", "require", "module", "global", "Buffer", "setImmediate",
  "WebAssembly", "SharedArrayBuffer", "Atomics", "guest", "ivm"].filter((name) => typeof global[name] !== "undefined");`;

export const escapes: readonly Hostile[] = [
  ...rows("escapes", done([]), "nothing", {
    "escape-by-what-is-handed": {
      body: `${SEEN} const roots = [event, event.params, ctx, ctx.state, ctx.params, ctx.log.info, ctx.emit, ctx.signal, ctx.signal.addEventListener, DeadLetter];
        return { found: roots.flatMap((root) => hosts((typeof root === "function" ? root : root.constructor).constructor("return this")())) };`,
      outputs: [{ found: [] }],
    },
    "escape-by-globals": {
      body: `${SEEN} const roots = [globalThis, console.log, setTimeout, queueMicrotask, performance.now, Math.random, crypto.randomUUID, TextEncoder, URL];
        return { found: roots.flatMap((root) => hosts(typeof root === "function" ? root.constructor("return this")() : root)) };`,
      outputs: [{ found: [] }],
    },
    "escape-by-every-kind-of-function": {
      body: `${SEEN} const kinds = [() => {}, async () => {}, function* () {}, async function* () {}];
        const globals = kinds.map((kind) => kind.constructor("return this")).map((made) => { const it = made(); return it; });
        return { found: [...hosts(globals[0]), ...hosts((0, eval)("this")), ...hosts(Function("return (function () { return this; })()")())] };`,
      outputs: [{ found: [] }],
    },
    "escape-by-errors": {
      body: `${SEEN} const deeper = () => deeper();
        const found = [];
        for (const act of [() => ctx.publish("", 1), () => null.x, deeper, () => new URL("no")]) {
          try { act(); } catch (error) { found.push(...hosts(error.constructor.constructor("return this")())); }
        }
        return { found };`,
      outputs: [{ found: [] }],
    },
    "escape-by-import": {
      body: `return (async () => {
        const found = [];
        for (const name of ["fs", "node:fs", "isolated-vm", "data:text/javascript,1"])
          await Function("name", "return import(name)")(name).then(() => found.push(name), () => {});
        return { found };
      })();`,
      outputs: [{ found: [] }],
    },
    "escape-by-call-sites": {
      body: `
        Error.prepareStackTrace = (_, sites) => sites;
        const found = [];
        const look = () => {
          for (const site of new Error("look").stack) {
            const name = String(site.getFunctionName());
            if (/look|escape|default/.test(name)) continue; // Its own.
            if (site.getFunction() !== undefined) found.push("function " + name);
            if (site.getThis() !== undefined) found.push("this of " + name);
          }
          return 1;
        };
        try { ctx.emit({ get looking() { return look(); } }, { to: "hostile" }); } finally { Error.prepareStackTrace = undefined; }
        return { found };`,
      outputs: [{ looking: 1 }, { found: [] }],
    },
    "escape-by-callers": {
      body: `
        const found = [];
        const look = Function("found", "let at = arguments.callee; for (let n = 0; n < 20 && at; n++) { try { at = at.caller; if (at) found.push(at.name || 'a function'); } catch { break; } }");
        ctx.emit({ get looking() { look(found); return 1; } });
        return { found: found.filter((name) => !/looking/.test(name)) };`,
      outputs: [{ looking: 1 }, { found: [] }],
    },
    "escape-by-paths-in-stacks": {
      body: `return { found: String(new Error("where").stack).match(/\\/home|\\/root|\\/tmp|node_modules|node:/g) ?? [] };`,
      outputs: [{ found: [] }],
    },
    "escape-into-private-names": {
      body: `
        const found = [];
        try { new Proxy(ctx, {}).state; found.push("a proxy's state"); } catch {}
        try { Object.create(ctx).emit("stolen"); } catch { }
        try { const { get } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(ctx), "state"); get.call({}); found.push("a state of nobody"); } catch {}
        return { found };`,
      outputs: [{ found: [] }],
    },
    "escape-by-a-context-of-its-own": {
      body: `
        const draft = { outputs: 0, chars: 0, effects: "", logs: "" };
        try {
          const forged = new ctx.constructor({ limits: { outputsMax: 1e9, resultBytesMax: 1e9 } }, draft, 0, undefined);
          for (let n = 0; n < 200; n++) forged.emit({ forged: n });
        } catch {}
        return "mine";`,
      outputs: ["mine"],
    },
    "escape-into-the-table-of-heads": {
      body: `
        const found = [];
        for (const name of ["subarray", "at", "set", "fill", "slice"]) Object.getPrototypeOf(Int32Array.prototype)[name] = function () { found.push(name); };
        globalThis.Int32Array = class { constructor() { found.push("constructed"); } };
        for (const name of [...Object.getOwnPropertyNames(ctx), ...Object.getOwnPropertyNames(event)])
          if (ArrayBuffer.isView(ctx[name]) || (name !== "bytes" && ArrayBuffer.isView(event[name]))) found.push(name);
        return { found };`,
      outputs: [{ found: [] }],
    },
    "escape-by-a-prototype-of-what-crosses": {
      body: `return JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');`,
      outputs: [JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}')],
    },
  }),
  ...rows("escapes", dead("HANDLER_THREW"), "nothing", {
    "escape-by-require": "const name = 'node:fs'; return require(name).readFileSync('/etc/passwd', 'utf8');",
  }),
];

/** Patches, and goes the way of every handler with it: state, log, output, result. */
const patched = (code: string): string =>
  `${code}\n ctx.state.n = 1; ctx.log.info("patched", { n: 1 }); ctx.emit({ emitted: 1 }, { to: "hostile", type: "patched" }); return { topic: event.topic, data: event.data };`;

const patches: Readonly<Record<string, string>> = {
  "patch-json": "JSON.stringify = () => 'stolen'; JSON.parse = () => ({ stolen: true });",
  "patch-every-global":
    "for (const name of ['Array', 'Object', 'Promise', 'String', 'Map', 'Error', 'Symbol', 'Function', 'Date', 'Uint8Array', 'RegExp', 'Number', 'decodeURIComponent', 'escape']) globalThis[name] = () => { throw 1; };",
  "patch-arrays":
    "for (const name of ['join', 'push', 'pop', 'map', 'slice', 'entries', 'values', 'forEach', 'concat', 'filter']) Array.prototype[name] = () => 'stolen'; Array.isArray = () => true;",
  "patch-iteration":
    "Object.getPrototypeOf([].values()).next = () => ({ done: true }); String.prototype[Symbol.iterator] = function* () { yield 'stolen'; };",
  "patch-indexes":
    "for (const n of [0, 1]) Object.defineProperty(Array.prototype, n, { configurable: true, get: () => '!', set() {} });",
  "patch-objects":
    "for (const name of ['keys', 'freeze', 'getPrototypeOf', 'setPrototypeOf', 'defineProperty', 'hasOwn', 'entries', 'assign']) Object[name] = () => 'stolen';",
  "patch-setters":
    "for (const name of ['code', 'message', 'final', 'stack', 'logs', 'effects', 'outputs', 'chars', 'done', 'next', 'publish', 'to', 'type', 'qos', 'length']) { if (!(name in Object.prototype)) Object.defineProperty(Object.prototype, name, { configurable: true, get() {}, set(value) { Object.defineProperty(this, name, { __proto__: null, value: name === 'to' ? ['nowhere'] : value, writable: true, configurable: true, enumerable: true }); } }); }",
  "patch-strings":
    "for (const name of ['substring', 'charCodeAt', 'slice', 'indexOf', 'replace', 'match', 'at', 'concat']) String.prototype[name] = () => 'stolen'; String.fromCharCode = () => 'stolen';",
  "patch-maps":
    "for (const name of ['get', 'set', 'has', 'clear', 'delete']) Map.prototype[name] = () => 'stolen'; Object.defineProperty(Map.prototype, 'size', { get: () => 1e9 });",
  "patch-calls": "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => 'stolen';",
  "patch-promises":
    "Promise.resolve = () => 'stolen'; Promise.prototype.then = function () { return 'stolen'; }; Object.defineProperty(Promise, Symbol.species, { value: class { constructor() { throw 1; } }, configurable: true });",
  "patch-errors":
    "Error.captureStackTrace = () => { throw 1; }; Error.stackTraceLimit = Infinity; Error.prototype.name = 'stolen'; Error.prototype.toString = () => 'stolen';",
  "patch-what-is-ours":
    "ctx.constructor.stateAfter = () => 'forged'; Object.getPrototypeOf(event).stolen = 1; Object.getPrototypeOf(ctx).stolen = 1;",
  "patch-nothing-any-more":
    "for (const name of ['Object', 'Array', 'String', 'Function', 'Map', 'Promise', 'Error']) { Object.freeze(globalThis[name]); Object.freeze(globalThis[name].prototype); } Object.freeze(globalThis);",
};

export const tampering: readonly Hostile[] = rows(
  "tampering",
  done(),
  "nothing",
  Object.fromEntries(
    Object.entries(patches).map(([name, code]) => [
      name,
      { body: patched(code), outputs: [{ emitted: 1 }, { topic: `hostile/${name}/event`, data: { hostile: true } }] },
    ]),
  ),
);

/**
 * A place with ECMAScript's built-ins and nothing else, as an isolate is, in which the web's globals are installed from
 * their bundled texts; and the same questions put to it and to Node, whose own globals are the oracle.
 *
 * Both sides run the same source and answer with a text, because objects of another context have other prototypes.
 */
import { createContext, runInContext, runInThisContext } from "node:vm";
import type { Context } from "node:vm";
import { expect } from "vitest";
import { buildPrograms } from "../../../src/sandbox/programs.ts";
import { WEB_APIS, webApisOf } from "../../../src/sandbox/api/web.ts";

/** What ECMAScript has no word of, and node:vm or V8 adds all the same. */
const FOREIGN = ["console", "WebAssembly", "SharedArrayBuffer", "Atomics"];

/**
 * `show(value)`: a text that two values have in common exactly when they are the same to a handler, with prototypes,
 * holes, identities and what only an inspection of each kind brings to light.
 */
const SHOW = `(() => {
  const kind = (value) => Object.prototype.toString.call(value).slice(8, -1);
  const show = (value, met = new Map()) => {
    if (typeof value === "string") return JSON.stringify(value);
    if (typeof value === "bigint") return value + "n";
    if (Object.is(value, -0)) return "-0";
    if (typeof value !== "object" || value === null) return String(value);
    if (met.has(value)) return "#" + met.get(value);
    met.set(value, met.size);
    const inner = (each) => show(each, met);
    const prototype = Object.getPrototypeOf(value);
    const name = kind(value) + ":" + (prototype === null ? "null" : prototype.constructor.name);
    if (typeof DOMException === "function" && value instanceof DOMException) return name + "<" + value.name + "," + value.code + ">";
    if (kind(value) === "Error") return name + "<" + value.name + "," + value.message + "," + inner(value.cause) + ">";
    if (kind(value) === "Date") return name + "<" + value.getTime() + ">";
    if (kind(value) === "RegExp") return name + "<" + value.source + "," + value.flags + "," + value.lastIndex + ">";
    if (["Number", "String", "Boolean", "BigInt"].includes(kind(value))) return name + "<" + inner(value.valueOf()) + ">";
    if (kind(value) === "Map") return name + "<" + [...value].map((pair) => pair.map(inner).join("=>")).join() + ">";
    if (kind(value) === "Set") return name + "<" + [...value].map(inner).join() + ">";
    if (kind(value) === "ArrayBuffer")
      return name + "<" + [value.byteLength, value.maxByteLength, value.resizable, value.detached] + ";" +
        (value.detached ? "" : new Uint8Array(value).join()) + ">";
    if (ArrayBuffer.isView(value))
      return name + "<" + value.byteOffset + "," + value.byteLength + "," + inner(value.buffer) + ">";
    return name + "{" + Object.keys(value).map((key) => JSON.stringify(key) + ":" + inner(value[key])).join() + "}" +
      (Array.isArray(value) ? value.length : "");
  };
  const thrown = (error) => {
    if (typeof error !== "object" || error === null || typeof error.name !== "string") return "threw " + show(error);
    const foreign = error.constructor === globalThis[error.constructor.name] ? "" : " of elsewhere";
    return "threw " + error.constructor.name + foreign + " " + error.name + (error.name === "TypeError" ? "" : " " + (error.code ?? ""));
  };
  return { show, thrown };
})()`;

/** A question: the source of a function body that returns a value, or a promise of one; \`given\` is what it is asked about. */
const asked = (body: string): string => `(async (givenText) => {
  const { show, thrown } = ${SHOW};
  const given = JSON.parse(givenText);
  try {
    return show(await (async () => {${body}\n})());
  } catch (error) {
    return thrown(error);
  }
})`;

type Ask = (given: string) => Promise<string>;

export interface Bare {
  readonly context: Context;
  /** What the last expression of `source` is, in there. */
  evaluate(source: string): unknown;
  /** The same question, answered in there and by Node, is the same. */
  sameAsNode(body: string, given?: unknown): Promise<void>;
  /** Both answers, for whoever compares them differently. */
  answers(body: string, given?: unknown): Promise<{ readonly here: string; readonly node: string }>;
}

let programs: ReturnType<typeof buildPrograms> | undefined;

/** With these capabilities and what they need; all of them when none is named. `before` runs before they are installed. */
export async function bare(names: readonly string[] = WEB_APIS.map(({ name }) => name), before = ""): Promise<Bare> {
  programs ??= buildPrograms();
  const { webCode } = await programs;
  const context = createContext({});
  for (const name of FOREIGN) runInContext(`delete globalThis.${name}`, context);
  runInContext(before, context);
  const beside = {};
  const globals = WEB_APIS.filter(({ name }) => names.includes(name)).flatMap(({ globals }) => globals);
  for (const name of webApisOf(globals.join(" "))) {
    const install = runInContext(
      `(function (host) { "use strict"; ${await webCode(name)}\napi.install(host); })`,
      context,
    ) as (host: object) => void;
    install({
      global: (global: string, value: unknown) =>
        Object.defineProperty(runInContext("globalThis", context) as object, global, {
          value,
          writable: true,
          configurable: true,
        }),
      now: () => performance.timeOrigin + performance.now(),
      seed: crypto.getRandomValues(new Uint8Array(32)),
      beside,
      ask: () => {
        throw new Error("nobody is asked here");
      },
    });
  }
  // Compiling is most of the time: a question is compiled once and asked often.
  const compiled = new Map<string, { readonly here: Ask; readonly node: Ask }>();
  const answers = async (body: string, given: unknown = null): Promise<{ here: string; node: string }> => {
    let ask = compiled.get(body);
    if (ask === undefined) {
      const source = asked(body);
      ask = { here: runInContext(source, context) as Ask, node: runInThisContext(source) as Ask };
      compiled.set(body, ask);
    }
    const text = JSON.stringify(given);
    return { here: await ask.here(text), node: await ask.node(text) };
  };
  return {
    context,
    evaluate: (source) => runInContext(source, context) as unknown,
    answers,
    sameAsNode: async (body, given) => {
      const { here, node } = await answers(body, given);
      // Two sides that miss the same thing are no agreement.
      expect(node).not.toContain("ReferenceError");
      expect(`${body}\n${JSON.stringify(given)}\n${here}`).toBe(`${body}\n${JSON.stringify(given)}\n${node}`);
    },
  };
}

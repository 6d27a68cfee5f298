/**
 * What JSON makes nothing of. A Response, a Map or a promise goes out as `{}`, and nobody is told that all of it was lost.
 * Looked at only where the text is that of an empty object, so that what has something in it costs nothing.
 */
import { Refusal } from "./failure.ts";
import { getPrototypeOf } from "./primordials.ts";

const PLAIN = Object.prototype;
const KIND_CHARS_MAX = 60;

/** Throws a Refusal when `text`, the JSON of `value`, is that of an empty object, and `value` is something else. */
export function refuseLoss(value: unknown, text: string, what: string, code: string): void {
  if (text !== "{}") return;
  let kind: unknown;
  try {
    const prototype: unknown = getPrototypeOf(value);
    if (prototype === PLAIN || prototype === null) return;
    if (typeof (value as { readonly toJSON?: unknown }).toJSON === "function") return;
    kind = (prototype as { readonly constructor?: { readonly name?: unknown } }).constructor?.name;
  } catch {
    return; // A proxy that does not say what it is of.
  }
  const name = typeof kind === "string" && kind.length <= KIND_CHARS_MAX ? kind : "";
  const ofClass = name === "" ? "of a class" : `of class ${name}`;
  throw new Refusal(code, `${what} is ${ofClass}, of which JSON makes {} and no more: ${hintFor(name)}`);
}

/** A class may call itself what it likes: the hint then misses, and nothing else. */
function hintFor(name: string): string {
  switch (name) {
    case "Response":
    case "Request":
      return "give its content, such as `await response.json()`";
    case "Promise":
      return "await it";
    case "Map":
    case "Headers":
    case "URLSearchParams":
      return "give `Object.fromEntries(…)` of it";
    case "Set":
      return "give `[...set]`";
    case "ArrayBuffer":
      return "give `new Uint8Array(…)` of it";
    case "Error":
      return "throw it, or give its message";
    default:
      return "give a plain object with what is to be known of it, or the class a toJSON()";
  }
}

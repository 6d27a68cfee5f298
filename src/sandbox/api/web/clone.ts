/**
 * structuredClone. Source: https://html.spec.whatwg.org/#structured-cloning
 *
 * One walk that copies as it goes; what has been met is in `met`, so that cycles stay cycles. A transferred buffer is
 * copied like any other, and taken from its owner only when all else has gone well. What script cannot tell: a Proxy of
 * an object from an object, and a view that follows its buffer's length from one of that very length.
 */
import { isArrayBuffer } from "./bytes.ts";
import { expose } from "./expose.ts";
import type { WebHost } from "./host.ts";
import { textOf } from "./text-of.ts";
import { exception } from "./thrown.ts";

type Met = Map<object, object>;
type Property = (this: unknown) => unknown;

/** A getter of a built-in prototype: it throws on what is not of its kind, which no handler can fake. */
function getter(prototype: object, name: PropertyKey): Property {
  return Object.getOwnPropertyDescriptor(prototype, name)?.get as Property;
}

const regExpSource = getter(RegExp.prototype, "source");
const mapSize = getter(Map.prototype, "size");
const setSize = getter(Set.prototype, "size");
const dataViewLength = getter(DataView.prototype, "byteLength");
const typedArrayName = getter(Object.getPrototypeOf(Uint8Array.prototype) as object, Symbol.toStringTag);

function isOf(kind: Property, value: object): boolean {
  try {
    kind.call(value);
    return true;
  } catch {
    return false;
  }
}

const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError } as const;
const UNCLONABLE_TAG = /^\[object (?:(?:Async)?Generator|Arguments|[\w ]*Iterator|Iterator Helper|Promise|Intl\..*)\]$/;

function copyOf(value: unknown, met: Met): unknown {
  if (typeof value === "symbol" || typeof value === "function") throw unclonable(value);
  if (typeof value !== "object" || value === null) return value;
  return met.get(value) ?? copyOfObject(value, met);
}

function copyOfObject(value: object, met: Met): object {
  if (Array.isArray(value)) {
    const copy: unknown[] = [];
    copy.length = value.length;
    return withProperties(value, keep(value, copy, met), met);
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  const plain = prototype === Object.prototype || prototype === null;
  if (plain && tagOf(value) === "[object Object]") return withProperties(value, keep(value, {}, met), met);
  const whole = copyOfWhole(value);
  if (whole !== undefined) return keep(value, whole, met);
  if (ArrayBuffer.isView(value)) return copyOfView(value, met);
  if (isOf(mapSize, value)) return copyOfMap(value as Map<unknown, unknown>, met);
  if (isOf(setSize, value)) return copyOfSet(value as Set<unknown>, met);
  if (isError(value)) return copyOfError(value, met);
  if (isUnclonable(value)) throw unclonable(value);
  return withProperties(value, keep(value, {}, met), met);
}

function keep<Copy extends object>(value: object, copy: Copy, met: Met): Copy {
  met.set(value, copy);
  return copy;
}

function withProperties(value: object, copy: object, met: Met): object {
  for (const name of Object.keys(value)) {
    // A getter may have taken a later one away.
    if (!Object.hasOwn(value, name)) continue;
    const property = copyOf((value as Record<string, unknown>)[name], met);
    if (name === "__proto__") {
      Object.defineProperty(copy, name, { value: property, writable: true, enumerable: true, configurable: true });
    } else {
      (copy as Record<string, unknown>)[name] = property;
    }
  }
  return copy;
}

/** Copies of what has nothing else in it; undefined when it is none of these. */
function copyOfWhole(value: object): object | undefined {
  if (isOf(Date.prototype.getTime, value)) return new Date(Date.prototype.getTime.call(value));
  if (isOf(Boolean.prototype.valueOf, value)) return Object(Boolean.prototype.valueOf.call(value)) as object;
  if (isOf(Number.prototype.valueOf, value)) return Object(Number.prototype.valueOf.call(value)) as object;
  if (isOf(String.prototype.valueOf, value)) return Object(String.prototype.valueOf.call(value)) as object;
  if (isOf(BigInt.prototype.valueOf, value)) return Object(BigInt.prototype.valueOf.call(value)) as object;
  if (isOf(Symbol.prototype.valueOf, value)) throw unclonable(value);
  if (value !== RegExp.prototype && isOf(regExpSource, value)) {
    return new RegExp(regExpSource.call(value) as string, (value as RegExp).flags);
  }
  if (isArrayBuffer(value)) return copyOfBuffer(value);
  if (value instanceof globalThis.DOMException) return new globalThis.DOMException(value.message, value.name);
  return undefined;
}

function copyOfBuffer(buffer: ArrayBuffer): ArrayBuffer {
  if (buffer.detached) throw exception("DataCloneError", "An ArrayBuffer is detached and could not be cloned.");
  if (!buffer.resizable) return ArrayBuffer.prototype.slice.call(buffer, 0);
  const copy = new ArrayBuffer(buffer.byteLength, { maxByteLength: buffer.maxByteLength });
  new Uint8Array(copy).set(new Uint8Array(buffer));
  return copy;
}

type ViewOf = new (buffer: object, byteOffset: number, length: number) => object;

function copyOfView(view: ArrayBufferView, met: Met): object {
  const name = typedArrayName.call(view) as string | undefined;
  if (name === undefined && !isOf(dataViewLength, view)) throw unclonable(view);
  const buffer = copyOf(view.buffer, met) as object;
  if (name === undefined) return keep(view, new DataView(buffer as ArrayBuffer, view.byteOffset, view.byteLength), met);
  const View = (globalThis as unknown as Record<string, ViewOf>)[name] as ViewOf;
  return keep(view, new View(buffer, view.byteOffset, (view as Uint8Array).length), met);
}

function copyOfMap(map: Map<unknown, unknown>, met: Met): object {
  const copy = keep(map, new Map<unknown, unknown>(), met);
  for (const [key, value] of [...Map.prototype.entries.call(map)]) copy.set(copyOf(key, met), copyOf(value, met));
  return copy;
}

function copyOfSet(set: Set<unknown>, met: Met): object {
  const copy = keep(set, new Set<unknown>(), met);
  for (const value of [...Set.prototype.values.call(set)]) copy.add(copyOf(value, met));
  return copy;
}

function isError(value: object): value is Error {
  const { isError: known } = Error as { readonly isError?: (value: unknown) => boolean };
  return known === undefined ? tagOf(value) === "[object Error]" : known(value);
}

/** Of an error's properties there are the message, the cause and the stack, as in V8. */
function copyOfError(error: Error, met: Met): object {
  const name = textOf(error.name);
  const Constructor = Object.hasOwn(ERRORS, name) ? ERRORS[name as keyof typeof ERRORS] : Error;
  const copy = keep(error, new Constructor(), met);
  const message = Object.getOwnPropertyDescriptor(error, "message");
  if (message !== undefined && "value" in message) hidden(copy, "message", textOf(message.value));
  const cause = Object.getOwnPropertyDescriptor(error, "cause");
  if (cause !== undefined && "value" in cause) hidden(copy, "cause", copyOf(cause.value, met));
  const { stack } = error;
  if (typeof stack === "string") hidden(copy, "stack", stack);
  return copy;
}

function hidden(on: object, name: string, value: unknown): void {
  Object.defineProperty(on, name, { value, writable: true, configurable: true });
}

function tagOf(value: object): string {
  return Object.prototype.toString.call(value);
}

/** What has insides that no copy could have. */
function isUnclonable(value: object): boolean {
  return (
    isOf(function (this: unknown) {
      WeakMap.prototype.has.call(this as WeakMap<object, unknown>, {});
    }, value) ||
    isOf(function (this: unknown) {
      WeakSet.prototype.has.call(this as WeakSet<object>, {});
    }, value) ||
    isOf(WeakRef.prototype.deref, value) ||
    (!Object.hasOwn(value, Symbol.toStringTag) && UNCLONABLE_TAG.test(tagOf(value)))
  );
}

function unclonable(value: unknown): Error {
  const shown = typeof value === "object" ? "An object of this kind" : `A ${typeof value}`;
  return exception("DataCloneError", `${shown} could not be cloned.`);
}

function structuredClone(...given: readonly unknown[]): unknown {
  if (given.length === 0) throw new TypeError("structuredClone() needs a value");
  const { transfer = [] } = (given[1] ?? {}) as { readonly transfer?: Iterable<unknown> };
  const buffers = new Set<ArrayBuffer>();
  for (const each of transfer) {
    if (!isArrayBuffer(each)) throw exception("DataCloneError", "Found something in `transfer` that is no ArrayBuffer");
    if (each.detached) throw exception("DataCloneError", "An ArrayBuffer in `transfer` is detached");
    if (buffers.has(each)) throw exception("DataCloneError", "An ArrayBuffer is in `transfer` twice");
    buffers.add(each);
  }
  const copy = copyOf(given[0], new Map());
  for (const buffer of buffers) ArrayBuffer.prototype.transfer.call(buffer, 0);
  return copy;
}

export function install(host: WebHost): void {
  expose(host, { structuredClone });
}

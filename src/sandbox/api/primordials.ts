/**
 * The built-ins as they were before any code of the user ran. A handler may replace `JSON.stringify` or patch
 * `Array.prototype` for its own purposes; what carries its results must not notice.
 */
const { bind, call } = Function.prototype;
const OwnPromise = Promise;

/** `uncurry(String.prototype.slice)("abc", 1)`: a method as a function, out of reach of later patches. */
const uncurry = bind.bind(call) as <This, Args extends unknown[], Result>(
  method: (this: This, ...args: Args) => Result,
) => (self: This, ...args: Args) => Result;

export const { parse: jsonParse, stringify: jsonStringify } = JSON;
export const { freeze, getPrototypeOf, setPrototypeOf, defineProperty, hasOwn, keys } = Object;
/** Without a prototype, so that no setter or getter that the user put on one is met when it is filled or read. */
export const bare = <Value extends object>(value: Value): Value => setPrototypeOf(value, null) as Value;
export const { isArray } = Array;
export const { now } = Date;
export const { apply, construct } = Reflect;
export const { floor, imul } = Math;
export const { isView } = ArrayBuffer;
export const TextOf = String;
export const Bytes = Uint8Array;
export const Table = Map;
export const Time = Date;
export const Failing = Error;
export const afterwards = uncurry(Promise.prototype.then);
export const resolved = Promise.resolve.bind(Promise) as (value: unknown) => Promise<unknown>;
export const later = <Value>(
  run: (resolve: (value: Value) => void, reject: (reason: unknown) => void) => void,
): Promise<Value> => new OwnPromise(run);
export const decodeUri = decodeURIComponent;
export const toPercent = escape;
export const fromCharCode = String.fromCharCode;

export const charCodeAt = uncurry(String.prototype.charCodeAt);
export const substring = uncurry(String.prototype.substring);
export const join = uncurry(Array.prototype.join);
export const exec = uncurry(RegExp.prototype.exec);
export const isoTime = uncurry(Date.prototype.toISOString);
export const dateText = uncurry(Date.prototype.toString);
export const inBase = uncurry(Number.prototype.toString);
export const mapGet = uncurry(Map.prototype.get) as <K, V>(map: Map<K, V>, key: K) => V | undefined;
export const mapSet = uncurry(Map.prototype.set) as <K, V>(map: Map<K, V>, key: K, value: V) => void;
export const mapDelete = uncurry(Map.prototype.delete) as <K>(map: Map<K, unknown>, key: K) => boolean;
export const mapClear = uncurry(Map.prototype.clear);
const sizeGetter = Object.getOwnPropertyDescriptor(Map.prototype, "size")?.get as (this: unknown) => number;
export const mapSize = uncurry(sizeGetter) as (map: Map<unknown, unknown>) => number;
export const weakGet = uncurry(WeakMap.prototype.get) as <K extends object, V>(
  map: WeakMap<K, V>,
  key: K,
) => V | undefined;
export const weakSet = uncurry(WeakMap.prototype.set) as <K extends object, V>(
  map: WeakMap<K, V>,
  key: K,
  value: V,
) => void;

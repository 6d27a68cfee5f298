/** Headers. Source: https://fetch.spec.whatwg.org/#headers-class */
import { textOf } from "./text-of.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NO_VALUE = /[\0\r\n]|[^\0-\xff]/;
const AROUND_VALUE = /^[\t\r\n ]+|[\t\r\n ]+$/g;

export type HeadersGiven = unknown;

/** Lets nothing change these headers any more. */
export let makeImmutable: (headers: Headers) => void;

export class Headers {
  /** By lower-case name. Only set-cookie keeps its values apart; those of others are one text with commas. */
  readonly #values = new Map<string, string[]>();
  #immutable = false;
  #sorted: readonly (readonly [string, string])[] | undefined;

  static {
    makeImmutable = (headers) => {
      headers.#immutable = true;
    };
  }

  /** `given`: another Headers, pairs, or an object. */
  constructor(given?: HeadersGiven) {
    if (given === undefined) return;
    if ((typeof given !== "object" && typeof given !== "function") || given === null) {
      throw new TypeError("Headers are made of an object or of pairs");
    }
    if (Symbol.iterator in given) {
      for (const pair of given as Iterable<Iterable<unknown>>) {
        const both = typeof pair === "object" && pair !== null ? [...pair] : [];
        if (both.length !== 2) throw new TypeError("Each header is a pair of a name and a value");
        this.append(both[0], both[1]);
      }
    } else {
      for (const name of Reflect.ownKeys(given)) {
        if (!Object.prototype.propertyIsEnumerable.call(given, name)) continue;
        if (typeof name === "symbol") throw new TypeError("The name of a header is no symbol");
        this.append(name, (given as Record<string, unknown>)[name]);
      }
    }
  }

  append(...given: readonly unknown[]): void {
    const [name, value] = this.#change("append", 2, given);
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, [value]);
    else values.push(value);
  }

  set(...given: readonly unknown[]): void {
    const [name, value] = this.#change("set", 2, given);
    this.#values.set(name, [value]);
  }

  delete(...given: readonly unknown[]): void {
    this.#values.delete(this.#change("delete", 1, given)[0]);
  }

  get(...given: readonly unknown[]): string | null {
    return this.#values.get(nameOf("get", given))?.join(", ") ?? null;
  }

  has(...given: readonly unknown[]): boolean {
    return this.#values.has(nameOf("has", given));
  }

  getSetCookie(): string[] {
    return [...(this.#values.get("set-cookie") ?? [])];
  }

  forEach(callback: unknown, self?: unknown): void {
    if (typeof callback !== "function") throw new TypeError("forEach() takes a function");
    for (const [name, value] of this) callback.call(self, value, name, this);
  }

  *entries(): Generator<[string, string], void> {
    // Asked for anew at each step: what changes on the way is seen.
    for (let at = 0; ; at++) {
      const pair = this.#pairs()[at];
      if (pair === undefined) return;
      yield [pair[0], pair[1]];
    }
  }

  *keys(): Generator<string, void> {
    for (const [name] of this) yield name;
  }

  *values(): Generator<string, void> {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator](): Generator<[string, string], void> {
    return this.entries();
  }

  #pairs(): readonly (readonly [string, string])[] {
    if (this.#sorted === undefined) {
      const names = [...this.#values.keys()].sort();
      this.#sorted = names.flatMap((name): (readonly [string, string])[] => {
        const values = this.#values.get(name) ?? [];
        return name === "set-cookie" ? values.map((value) => [name, value]) : [[name, values.join(", ")]];
      });
    }
    return this.#sorted;
  }

  /** Checks what a change was given, in the order of the standard: first the texts, then whether it may be. */
  #change(method: string, count: 1 | 2, given: readonly unknown[]): [string, string] {
    const name = nameOf(method, given, count);
    const value = count === 2 ? textOf(given[1]).replace(AROUND_VALUE, "") : "";
    if (NO_VALUE.test(value)) throw new TypeError(`The value of "${name}" cannot be in a header`);
    if (this.#immutable) throw new TypeError("These headers cannot be changed");
    this.#sorted = undefined;
    return [name, value];
  }
}

function nameOf(method: string, given: readonly unknown[], count = 1): string {
  if (given.length < count) throw new TypeError(`${method}() needs ${count === 1 ? "a name" : "a name and a value"}`);
  const name = textOf(given[0]);
  if (!TOKEN.test(name)) throw new TypeError(`"${name}" is no name of a header`);
  return name.toLowerCase();
}

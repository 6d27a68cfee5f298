/**
 * Calls that named themselves, so that their repeats are known: a row each, written in the commit that has the event. All
 * of them are in memory too; after a day they are forgotten, and beyond `max` the oldest of whoever has the most: the first
 * four bytes of a key say who that is. Who calls one webhook without end has no others' calls forgotten.
 *
 *     seal, u48 number of the event, u48 time (milliseconds since 1970), u32 content
 */
import type { Group } from "./group.ts";
import { keys } from "./keys.ts";
import { isSealed, seal, SEAL_BYTES } from "./seal.ts";
import { CLOCK_UNSET_BEFORE_MS } from "../time.ts";

export interface Repeated {
  readonly seq: number;
  readonly timeMs: number;
  /** Tells what was asked from what else was asked under the same name. */
  readonly content: number;
}

const ROW_BYTES = SEAL_BYTES + 16;
/** Of a key, which has 16. */
const CALLER_BYTES = 4;
const AGE_MAX_MS = 24 * 3_600_000;

/** Calls of one caller by their keys in hex, oldest first. */
type Calls = Map<string, Repeated>;

export class Repeats {
  readonly #max: number;
  /** By the start of the key in hex. */
  readonly #callers = new Map<string, Calls>();
  count = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** At start, in the order of keys. False when the row is damaged. */
  found(key: Buffer, row: Buffer): boolean {
    if (!isSealed(key, row) || row.length !== ROW_BYTES) return false;
    this.#set(keys.repeatOf(key), {
      seq: row.readUIntBE(SEAL_BYTES, 6),
      timeMs: row.readUIntBE(SEAL_BYTES + 6, 6),
      content: row.readUInt32BE(SEAL_BYTES + 12),
    });
    return true;
  }

  /** At start, when all have been found. */
  sort(): void {
    for (const [caller, calls] of this.#callers) {
      this.#callers.set(caller, new Map([...calls].sort(([, a], [, b]) => a.seq - b.seq)));
    }
  }

  known(key: Buffer, nowMs: number): Repeated | undefined {
    const known = this.#callers.get(callerOf(key))?.get(key.toString("hex"));
    return known === undefined || isOld(known, nowMs) ? undefined : known;
  }

  stage(group: Group, key: Buffer, repeated: Repeated): void {
    const caller = callerOf(key);
    this.#forget(caller, key.toString("hex"));
    for (const [name, known] of this.#callers.get(caller) ?? []) {
      if (!isOld(known, repeated.timeMs)) break;
      this.#drop(group, caller, name);
    }
    while (this.count >= this.#max) {
      const most = this.#most();
      this.#drop(group, most, this.#callers.get(most)?.keys().next().value ?? "");
    }
    const row = Buffer.alloc(ROW_BYTES);
    row.writeUIntBE(repeated.seq, SEAL_BYTES, 6);
    row.writeUIntBE(repeated.timeMs, SEAL_BYTES + 6, 6);
    row.writeUInt32BE(repeated.content, SEAL_BYTES + 12);
    const at = keys.repeat(key);
    group.put(at, seal(at, row));
    this.#set(key, repeated);
  }

  /** Who has the most, and of several the one with the oldest. */
  #most(): string {
    let [most, size, oldest] = ["", 0, Infinity];
    for (const [caller, calls] of this.#callers) {
      if (calls.size < size) continue;
      const [first] = calls.values();
      const seq = first?.seq ?? Infinity;
      if (calls.size > size || seq < oldest) [most, size, oldest] = [caller, calls.size, seq];
    }
    return most;
  }

  #set(key: Buffer, repeated: Repeated): void {
    const caller = callerOf(key);
    const calls = this.#callers.get(caller) ?? new Map<string, Repeated>();
    this.#callers.set(caller, calls);
    const { size } = calls;
    calls.set(key.toString("hex"), repeated);
    this.count += calls.size - size;
  }

  #drop(group: Group, caller: string, name: string): void {
    this.#forget(caller, name);
    group.del(keys.repeat(Buffer.from(name, "hex")));
  }

  #forget(caller: string, name: string): void {
    const calls = this.#callers.get(caller);
    if (calls?.delete(name) !== true) return;
    this.count--;
    if (calls.size === 0) this.#callers.delete(caller);
  }
}

function callerOf(key: Buffer): string {
  return key.toString("hex", 0, CALLER_BYTES);
}

/** Also when the clock has gone back so far; but not where it was not set, then or now. */
function isOld({ timeMs }: Repeated, nowMs: number): boolean {
  return Math.min(timeMs, nowMs) >= CLOCK_UNSET_BEFORE_MS && Math.abs(nowMs - timeMs) > AGE_MAX_MS;
}

/**
 * Calls that named themselves, so that their repeats are known: a row each, written in the commit that has the event. All
 * of them are in memory too; beyond `max`, and after a day, the oldest are forgotten.
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
const AGE_MAX_MS = 24 * 3_600_000;

export class Repeats {
  readonly #max: number;
  /** By the key in hex, oldest first. */
  readonly #known = new Map<string, Repeated>();

  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return this.#known.size;
  }

  /** At start, in the order of keys. False when the row is damaged. */
  found(key: Buffer, row: Buffer): boolean {
    if (!isSealed(key, row) || row.length !== ROW_BYTES) return false;
    this.#known.set(keys.repeatOf(key).toString("hex"), {
      seq: row.readUIntBE(SEAL_BYTES, 6),
      timeMs: row.readUIntBE(SEAL_BYTES + 6, 6),
      content: row.readUInt32BE(SEAL_BYTES + 12),
    });
    return true;
  }

  /** At start, when all have been found. */
  sort(): void {
    const sorted = [...this.#known].sort(([, a], [, b]) => a.seq - b.seq);
    this.#known.clear();
    for (const [name, repeated] of sorted) this.#known.set(name, repeated);
  }

  known(key: Buffer, nowMs: number): Repeated | undefined {
    const known = this.#known.get(key.toString("hex"));
    return known === undefined || isOld(known, nowMs) ? undefined : known;
  }

  stage(group: Group, key: Buffer, repeated: Repeated): void {
    const name = key.toString("hex");
    this.#known.delete(name);
    for (const [oldest, known] of this.#known) {
      if (this.#known.size < this.#max && !isOld(known, repeated.timeMs)) break;
      this.#known.delete(oldest);
      group.del(keys.repeat(Buffer.from(oldest, "hex")));
    }
    const row = Buffer.alloc(ROW_BYTES);
    row.writeUIntBE(repeated.seq, SEAL_BYTES, 6);
    row.writeUIntBE(repeated.timeMs, SEAL_BYTES + 6, 6);
    row.writeUInt32BE(repeated.content, SEAL_BYTES + 12);
    const at = keys.repeat(key);
    group.put(at, seal(at, row));
    this.#known.set(name, repeated);
  }
}

/** Also when the clock has gone back so far; but not where it was not set, then or now. */
function isOld({ timeMs }: Repeated, nowMs: number): boolean {
  return Math.min(timeMs, nowMs) >= CLOCK_UNSET_BEFORE_MS && Math.abs(nowMs - timeMs) > AGE_MAX_MS;
}

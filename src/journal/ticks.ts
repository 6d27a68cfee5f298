/**
 * Up to which instant each handler's schedule has ticked: a row a handler, written in the commit that has the tick's
 * event. All of them are in memory too; there are at most as many as handlers.
 *
 *     seal, u48 instant (milliseconds since 1970), u32 which schedule, u48 latest instant
 *
 * The latest instant is another one where the clock was set back so far that the schedule began anew. Rows of before there
 * was one end without it.
 */
import type { Group } from "./group.ts";
import { keys } from "./keys.ts";
import { isSealed, seal, SEAL_BYTES } from "./seal.ts";

export interface TickMark {
  readonly instantMs: number;
  readonly plan: number;
}

export interface Ticked extends TickMark {
  /** The latest instant of this schedule up to which it has ever ticked. */
  readonly latestMs: number;
}

const SHORT_BYTES = SEAL_BYTES + 10;
const ROW_BYTES = SHORT_BYTES + 6;

export class Ticks {
  readonly #marks = new Map<number, Ticked>();

  /** At start. False when the row is damaged. */
  found(key: Buffer, row: Buffer): boolean {
    if (!isSealed(key, row) || (row.length !== SHORT_BYTES && row.length !== ROW_BYTES)) return false;
    const instantMs = row.readUIntBE(SEAL_BYTES, 6);
    const latestMs = row.length === SHORT_BYTES ? instantMs : row.readUIntBE(SHORT_BYTES, 6);
    this.#marks.set(keys.tickOf(key), { instantMs, plan: row.readUInt32BE(SEAL_BYTES + 6), latestMs });
    return true;
  }

  last(handler: number): Ticked | undefined {
    return this.#marks.get(handler);
  }

  stage(group: Group, handler: number, mark: TickMark): void {
    const key = keys.tick(handler);
    const before = this.#marks.get(handler);
    const latestMs = before?.plan === mark.plan ? Math.max(before.latestMs, mark.instantMs) : mark.instantMs;
    const row = Buffer.alloc(ROW_BYTES);
    row.writeUIntBE(mark.instantMs, SEAL_BYTES, 6);
    row.writeUInt32BE(mark.plan, SEAL_BYTES + 6);
    row.writeUIntBE(latestMs, SHORT_BYTES, 6);
    group.put(key, seal(key, row));
    this.#marks.set(handler, { ...mark, latestMs });
  }

  unstage(group: Group, handler: number): boolean {
    if (!this.#marks.delete(handler)) return false;
    group.del(keys.tick(handler));
    return true;
  }
}

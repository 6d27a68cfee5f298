/**
 * Up to which instant each handler's schedule has ticked: a row a handler, written in the commit that has the tick's
 * event. All of them are in memory too; there are at most as many as handlers.
 *
 *     seal, u48 instant (milliseconds since 1970), u32 which schedule
 */
import type { Group } from "./group.ts";
import { keys } from "./keys.ts";
import { isSealed, seal, SEAL_BYTES } from "./seal.ts";

export interface TickMark {
  readonly instantMs: number;
  readonly plan: number;
}

export class Ticks {
  readonly #marks = new Map<number, TickMark>();

  /** At start. False when the row is damaged. */
  found(key: Buffer, row: Buffer): boolean {
    if (!isSealed(key, row) || row.length !== SEAL_BYTES + 10) return false;
    this.#marks.set(keys.tickOf(key), {
      instantMs: row.readUIntBE(SEAL_BYTES, 6),
      plan: row.readUInt32BE(SEAL_BYTES + 6),
    });
    return true;
  }

  last(handler: number): TickMark | undefined {
    return this.#marks.get(handler);
  }

  stage(group: Group, handler: number, mark: TickMark): void {
    const key = keys.tick(handler);
    const row = Buffer.alloc(SEAL_BYTES + 10);
    row.writeUIntBE(mark.instantMs, SEAL_BYTES, 6);
    row.writeUInt32BE(mark.plan, SEAL_BYTES + 6);
    group.put(key, seal(key, row));
    this.#marks.set(handler, mark);
  }

  unstage(group: Group, handler: number): boolean {
    if (!this.#marks.delete(handler)) return false;
    group.del(keys.tick(handler));
    return true;
  }
}

/**
 * Reading a log: a sequence of pages with contiguous sequence numbers. Nothing unsound passes: a page whose checksum or
 * header does not fit its key is left out and reported, and so is every number that no page has.
 */
import type { Damage } from "./damage.ts";
import type { Disk } from "./disk.ts";
import { messageOf } from "../fault.ts";
import { keys } from "./keys.ts";
import { page } from "./page.ts";
import type { Page } from "./page.ts";

const CHUNK_BYTES = 512 * 1024;
const CHUNK_PAGES = 64;

/** The log of events has number 0; the outbox of uplink `n` has number `n`. */
export const EVENTS = 0;

export class LogReader {
  readonly #disk: Disk;
  readonly #damage: Damage;
  readonly #nameOf: (log: number) => string;
  readonly #tailOf: (log: number) => number;
  /** `tailOf` says below which number records have been deleted on purpose. */
  constructor(disk: Disk, damage: Damage, nameOf: (log: number) => string, tailOf: (log: number) => number) {
    this.#disk = disk;
    this.#damage = damage;
    this.#nameOf = nameOf;
    this.#tailOf = tailOf;
  }

  /**
   * Hands every sound page with records in [from, until) to `visit`, in order, until that returns false. `until` is at
   * most the number of the next record to be committed.
   */
  async read(log: number, from: number, until: number, visit: (page: Page) => boolean): Promise<void> {
    if (from >= until) return;
    const where = this.#nameOf(log);
    let expected = from;
    // The key of an unsound page may lie as well: only what stands between its sound neighbours is known to be lost.
    let unsound: Buffer | undefined;
    const gap = (to: number): void => {
      const start = Math.max(expected, this.#tailOf(log));
      const what = unsound === undefined ? "records are missing" : "a page is damaged";
      if (start < to) this.#damage.report({ where, from: start, to: to - 1, what }, unsound);
      unsound = undefined;
    };
    let stopped = false;
    const start = await this.#pageAt(log, from);
    const { gte } = keys.pagesFrom(log, start);
    const { lt } = keys.pagesBefore(log, until);
    const walk = { gte, lt, highWaterMarkBytes: CHUNK_BYTES, fillCache: false };
    await this.#disk.walk(
      walk,
      (row, bytes) => {
        const key = keys.pageKey(row);
        if (key === undefined) return true;
        const end = key.first + key.count;
        if (end <= expected) return true;
        if (!page.isSound(key, bytes)) {
          unsound = bytes;
          return true;
        }
        if (key.first > expected) gap(key.first);
        expected = end;
        stopped = !visit({ ...key, page: bytes });
        return !stopped;
      },
      (error) => this.#damage.report({ where, from: expected, to: until - 1, what: messageOf(error) }),
      CHUNK_PAGES,
    );
    if (!stopped && expected < until) gap(until);
  }

  /** First number of the page that holds record `seq`, or `seq` when no page does. */
  async #pageAt(log: number, seq: number): Promise<number> {
    const range = keys.pagesBefore(log, seq + 1);
    const before = await this.#disk
      .reading(async (store) => {
        const rows = store.keys({ ...range, reverse: true, limit: 1 });
        try {
          return await rows.nextv(1);
        } finally {
          await rows.close();
        }
      })
      .catch(() => []);
    const key = before[0] === undefined ? undefined : keys.pageKey(before[0]);
    return key === undefined || key.first + key.count <= seq ? seq : key.first;
  }
}

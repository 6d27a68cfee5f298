/**
 * Reading a log: a sequence of pages with contiguous sequence numbers. Nothing unsound passes: a page whose checksum or
 * header does not fit its key is left out and reported, and so is every number that no page has. That no page has it is
 * believed only when the store has read the very place without an error (see Disk.walk).
 *
 * Reading goes by chunks. Feeds share them: when hundreds of handlers work off the same backlog, each chunk is read and
 * checked once for all that pass by while it is in the cache.
 */
import type { Damage } from "./damage.ts";
import type { Disk } from "./disk.ts";
import { messageOf } from "../fault.ts";
import { keys } from "./keys.ts";
import { page } from "./page.ts";
import type { Page } from "./page.ts";
import { isDamage } from "../store-error.ts";

const CHUNK_BYTES = 512 * 1024;
const CHUNK_PAGES = 64;
/** Pages kept for other readers, and what each takes besides its bytes: those of one event are smaller than that. */
const SHARED_BYTES_MAX = 16 * 1024 * 1024;
const PAGE_OVERHEAD_BYTES = 512;

/** The log of events has number 0; the outbox of uplink `n` has number `n`. */
export const EVENTS = 0;

interface Chunk {
  readonly pages: readonly Page[];
  /** Numbers below this one are in `pages`, or lost. It never lies beyond what the chunk was asked for or has read. */
  readonly next: number;
}

export class LogReader {
  readonly #disk: Disk;
  readonly #damage: Damage;
  readonly #nameOf: (log: number) => string;
  readonly #tailOf: (log: number) => number;
  /** Pages of the log of events by their first number, oldest use first. */
  readonly #shared = new Map<number, Page>();
  #sharedBytes = 0;
  /** Chunks being read, by log and first number. */
  readonly #reading = new Map<string, Promise<Chunk>>();

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
    await this.#read(from, until, visit, (start) => this.#chunk(log, start, until));
  }

  /** The same, for feeds: many of them read the same pages at about the same time. */
  async readShared(log: number, from: number, until: number, visit: (page: Page) => boolean): Promise<void> {
    if (log !== EVENTS) return this.read(log, from, until, visit);
    let at = Math.max(from, this.#tailOf(log));
    for (let known = this.#shared.get(at); known !== undefined && at < until; known = this.#shared.get(at)) {
      at = known.first + known.count;
      if (!visit(known)) return;
    }
    await this.#read(at, until, visit, (start) => this.#sharedChunk(start, until));
  }

  async #read(
    from: number,
    until: number,
    visit: (page: Page) => boolean,
    chunkAt: (start: number) => Promise<Chunk>,
  ): Promise<void> {
    let at = from;
    while (at < until) {
      const chunk = await chunkAt(at);
      for (const read of chunk.pages) {
        if (read.first >= until) return;
        if (read.first + read.count <= at) continue;
        at = read.first + read.count;
        if (!visit(read)) return;
      }
      // A chunk that somebody else asked for may end before what has been committed since.
      at = Math.max(at, chunk.next);
    }
  }

  #sharedChunk(start: number, until: number): Promise<Chunk> {
    const name = String(start);
    const known = this.#reading.get(name);
    if (known !== undefined) return known;
    const reading = this.#chunk(EVENTS, start, until)
      .then((chunk) => {
        for (const read of chunk.pages) this.#keep(read);
        return chunk;
      })
      .finally(() => this.#reading.delete(name));
    this.#reading.set(name, reading);
    return reading;
  }

  #keep(read: Page): void {
    if (this.#shared.has(read.first)) return;
    this.#shared.set(read.first, read);
    this.#sharedBytes += read.bytes + PAGE_OVERHEAD_BYTES;
    for (const [first, oldest] of this.#shared) {
      if (this.#sharedBytes <= SHARED_BYTES_MAX) break;
      this.#shared.delete(first);
      this.#sharedBytes -= oldest.bytes + PAGE_OVERHEAD_BYTES;
    }
  }

  /** The next sound pages, from the one that holds `from` on, as far as the first hole. */
  async #chunk(log: number, from: number, until: number): Promise<Chunk> {
    const pages: Page[] = [];
    let bytes = 0;
    let expected = from;
    // Where the next sound page begins, or what is asked for ends.
    let end = until;
    // The key of an unsound page may lie as well: only what stands between its sound neighbours is known to be lost.
    let unsound: Buffer | undefined;
    const start = await this.#pageAt(log, from);
    await this.#disk.skim(
      { ...keys.pagesFrom(log, start), highWaterMarkBytes: CHUNK_BYTES, fillCache: false },
      (row, value) => {
        const key = keys.pageKey(row);
        if (key === undefined || key.first + key.count <= expected) return true;
        if (!page.isSound(key, value)) {
          unsound = value;
          return true;
        }
        if (key.first > expected) {
          end = key.first;
          return false;
        }
        unsound = undefined;
        expected = key.first + key.count;
        pages.push({ ...key, page: value });
        bytes += value.length;
        if (bytes < CHUNK_BYTES) return true;
        end = expected;
        return false;
      },
      (error) => {
        this.#damage.report({ where: this.#nameOf(log), from: expected, to: expected, what: messageOf(error) });
      },
      CHUNK_PAGES,
    );
    const missing = Math.max(expected, this.#tailOf(log));
    if (missing < end) {
      if (!(await this.#isVacant(log, missing, end))) return { pages, next: expected };
      this.#gap(log, missing, end, unsound);
    }
    return { pages, next: Math.max(expected, end) };
  }

  /** Whether no sound page has records in [from, to). */
  async #isVacant(log: number, from: number, to: number): Promise<boolean> {
    let vacant = true;
    const { gte } = keys.pagesFrom(log, await this.#pageAt(log, from));
    const { gte: lt } = keys.pagesFrom(log, to);
    await this.#disk.walk(
      { gte, lt, fillCache: false },
      (row, value) => {
        const key = keys.pageKey(row);
        vacant = key === undefined || key.first + key.count <= from || !page.isSound(key, value);
        return vacant;
      },
      () => undefined,
      CHUNK_PAGES,
    );
    return vacant;
  }

  #gap(log: number, from: number, to: number, unsound: Buffer | undefined): void {
    const what = unsound === undefined ? "records are missing" : "a page is damaged";
    const start = Math.max(from, this.#tailOf(log));
    if (start < to) this.#damage.report({ where: this.#nameOf(log), from: start, to: to - 1, what }, unsound);
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
      .catch((error: unknown) => {
        if (isDamage(error)) return [];
        throw error;
      });
    const key = before[0] === undefined ? undefined : keys.pageKey(before[0]);
    return key === undefined || key.first + key.count <= seq ? seq : key.first;
  }
}

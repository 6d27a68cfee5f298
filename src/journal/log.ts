/**
 * Reading a log: a sequence of pages with contiguous sequence numbers. Nothing unsound passes: a page whose checksum or
 * header does not fit its key is left out and reported, and so is every number that no page has.
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

const CHUNK_BYTES = 512 * 1024;
const CHUNK_PAGES = 64;
/** Pages kept for other readers. */
const SHARED_BYTES_MAX = 16 * 1024 * 1024;

/** The log of events has number 0; the outbox of uplink `n` has number `n`. */
export const EVENTS = 0;

interface Chunk {
  readonly pages: readonly Page[];
  /** There was nothing more on disk. */
  readonly ended: boolean;
  /** An unsound page behind the last sound one. */
  readonly unsound: Buffer | undefined;
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
    await this.#read(log, from, until, visit, (start) => this.#chunk(log, start));
  }

  /** The same, for feeds: many of them read the same pages at about the same time. */
  async readShared(log: number, from: number, until: number, visit: (page: Page) => boolean): Promise<void> {
    if (log !== EVENTS) return this.read(log, from, until, visit);
    let at = Math.max(from, this.#tailOf(log));
    for (let known = this.#shared.get(at); known !== undefined && at < until; known = this.#shared.get(at)) {
      at = known.first + known.count;
      if (!visit(known)) return;
    }
    await this.#read(log, at, until, visit, (start) => this.#sharedChunk(start));
  }

  async #read(
    log: number,
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
      if (!chunk.ended) continue;
      this.#gap(log, at, until, chunk.unsound);
      return;
    }
  }

  #sharedChunk(start: number): Promise<Chunk> {
    const name = String(start);
    const known = this.#reading.get(name);
    if (known !== undefined) return known;
    const reading = this.#chunk(EVENTS, start)
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
    this.#sharedBytes += read.bytes;
    for (const [first, oldest] of this.#shared) {
      if (this.#sharedBytes <= SHARED_BYTES_MAX) break;
      this.#shared.delete(first);
      this.#sharedBytes -= oldest.bytes;
    }
  }

  /** The next sound pages, from the one that holds `from` on. */
  async #chunk(log: number, from: number): Promise<Chunk> {
    const pages: Page[] = [];
    let bytes = 0;
    let ended = true;
    let expected = from;
    // The key of an unsound page may lie as well: only what stands between its sound neighbours is known to be lost.
    let unsound: Buffer | undefined;
    const start = await this.#pageAt(log, from);
    await this.#disk.walk(
      { ...keys.pagesFrom(log, start), highWaterMarkBytes: CHUNK_BYTES, fillCache: false },
      (row, value) => {
        const key = keys.pageKey(row);
        if (key === undefined || key.first + key.count <= expected) return true;
        if (!page.isSound(key, value)) {
          unsound = value;
          return true;
        }
        if (key.first > expected) {
          this.#gap(log, expected, key.first, unsound);
        }
        unsound = undefined;
        expected = key.first + key.count;
        pages.push({ ...key, page: value });
        bytes += value.length;
        ended = bytes < CHUNK_BYTES;
        return ended;
      },
      (error) => {
        this.#damage.report({ where: this.#nameOf(log), from: expected, to: expected, what: messageOf(error) });
      },
      CHUNK_PAGES,
    );
    return { pages, ended, unsound };
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
      .catch(() => []);
    const key = before[0] === undefined ? undefined : keys.pageKey(before[0]);
    return key === undefined || key.first + key.count <= seq ? seq : key.first;
  }
}

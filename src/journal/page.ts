/**
 * Pages: records packed into one row of the store, with contiguous sequence numbers. A row costs LevelDB about 4 µs
 * whatever its size, so rows are what a busy journal must save.
 *
 * Layout, big endian. The checksum covers everything behind it:
 *
 *     0  u32  CRC-32                        14  u16  records
 *     4  u8   format (1)                    16  u48  time, milliseconds since 1970
 *     5  u8   0                             22  u32  offset of the index
 *     6  u16  log                           26  u16  handlers in the index
 *     8  u48  sequence number of the first  28  u32  bytes of the whole page
 *    32  records, each beginning with its length as u32
 *        index, for events: per handler  u16 id, u16 tasks, u48 ordinal of the first of them,
 *                                        per task  u16 position in the page, u32 offset
 *
 * A handler counts its tasks (the *ordinal*), and the index carries that count: two pages of which the second starts
 * higher than the first ended tell exactly how many tasks of the handler were lost between them.
 */
import { crc32 } from "node:zlib";
import type { PageKey } from "./keys.ts";

export const PAGE_BYTES_MAX = 64 * 1024;
export const PAGE_RECORDS_MAX = 256;
export const PAGE_HEADER_BYTES = 32;
const FORMAT = 1;
const ENTRY_BYTES = 10;
const PLACE_BYTES = 6;

/** A handler's part of a page: where its tasks lie. */
export interface Slice {
  /** The bytes that `places` points into. */
  readonly page: Buffer;
  /** Sequence number of the page's first record. */
  readonly first: number;
  readonly count: number;
  /** Ordinal of the first task. */
  readonly ordinal: number;
  /** Offset in `page` of the tasks' places. */
  readonly places: number;
  /** This part's share of the page's bytes. */
  readonly bytes: number;
}

/** Handlers count into the page that is being filled through this. */
export interface Counted {
  readonly id: number;
  /** Tasks so far: the ordinal of the next. */
  ordinals: number;
  /** Where its tasks in the open page lie: position, offset, position, offset, … */
  readonly places: number[];
}

/** A finished page: its key's content and its bytes. */
export interface Page extends PageKey {
  readonly page: Buffer;
}

/** The page being filled, in a scratch buffer that is used again for the next. */
export class PageWriter {
  readonly log: number;
  #into = Buffer.allocUnsafeSlow(1024);
  #at = PAGE_HEADER_BYTES;
  #count = 0;
  #first = 0;
  #timeMs = 0;
  readonly #counted: Counted[] = [];
  #indexBytes = 0;

  constructor(log: number) {
    this.log = log;
  }

  get count(): number {
    return this.#count;
  }

  /** Whether a record of at most `bytes` with `tasks` tasks still belongs into this page. */
  takes(bytes: number, tasks: number): boolean {
    if (this.#count === 0) return true;
    const total = this.#at + bytes + this.#indexBytes + tasks * (ENTRY_BYTES + PLACE_BYTES);
    return this.#count < PAGE_RECORDS_MAX && total <= PAGE_BYTES_MAX;
  }

  /** Room for a record of at most `bytes`; the record starts at {@link at}. Call {@link wrote} when it is there. */
  room(bytes: number, seq: number, timeMs: number): Buffer {
    if (this.#count === 0) {
      this.#first = seq;
      this.#timeMs = timeMs;
    }
    const needed = this.#at + bytes;
    if (needed > this.#into.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(PAGE_BYTES_MAX, this.#into.length * 4)));
      this.#into.copy(grown, 0, 0, this.#at);
      this.#into = grown;
    }
    return this.#into;
  }

  get at(): number {
    return this.#at;
  }

  /** The record just written is a task of `handler`. Call before {@link wrote}. */
  countTask(handler: Counted): void {
    if (handler.places.length === 0) {
      this.#counted.push(handler);
      this.#indexBytes += ENTRY_BYTES;
    }
    handler.places.push(this.#count, this.#at);
    handler.ordinals++;
    this.#indexBytes += PLACE_BYTES;
  }

  wrote(end: number): void {
    this.#at = end;
    this.#count++;
  }

  /** The page's bytes, exactly as long as they are; the writer is empty again. */
  finish(): Page {
    const bytes = this.#at + this.#indexBytes;
    // Of its own: it may wait long in a window, which counts its bytes.
    const page = Buffer.allocUnsafeSlow(bytes);
    page.set(this.#into.subarray(PAGE_HEADER_BYTES, this.#at), PAGE_HEADER_BYTES);
    page[4] = FORMAT;
    page[5] = 0;
    page.writeUInt16BE(this.log, 6);
    page.writeUIntBE(this.#first, 8, 6);
    page.writeUInt16BE(this.#count, 14);
    page.writeUIntBE(this.#timeMs, 16, 6);
    page.writeUInt32BE(this.#at, 22);
    page.writeUInt16BE(this.#counted.length, 26);
    page.writeUInt32BE(bytes, 28);
    this.#writeIndex(page);
    page.writeUInt32BE(crc32(page.subarray(4)), 0);
    const finished = {
      log: this.log,
      first: this.#first,
      count: this.#count,
      bytes,
      timeMs: this.#timeMs,
      page,
    };
    this.#at = PAGE_HEADER_BYTES;
    this.#count = 0;
    this.#counted.length = 0;
    this.#indexBytes = 0;
    // One large record must not hold its memory for ever.
    if (this.#into.length > PAGE_BYTES_MAX) this.#into = Buffer.allocUnsafeSlow(1024);
    return finished;
  }

  #writeIndex(page: Buffer): void {
    let at = this.#at;
    for (const handler of this.#counted) {
      const { places } = handler;
      const tasks = places.length / 2;
      at = page.writeUInt16BE(handler.id, at);
      at = page.writeUInt16BE(tasks, at);
      at = page.writeUIntBE(handler.ordinals - tasks, at, 6);
      for (let i = 0; i < places.length; i += 2) {
        at = page.writeUInt16BE(places[i] as number, at);
        at = page.writeUInt32BE(places[i + 1] as number, at);
      }
      places.length = 0;
    }
  }
}

export const page = {
  /** Whether `bytes` is the page that `key` promises, whole and unharmed. */
  isSound(key: PageKey, bytes: Buffer): boolean {
    return (
      bytes.length === key.bytes &&
      bytes.length >= PAGE_HEADER_BYTES &&
      bytes.readUInt32BE(0) === crc32(bytes.subarray(4)) &&
      bytes[4] === FORMAT &&
      bytes.readUInt16BE(6) === key.log &&
      bytes.readUIntBE(8, 6) === key.first &&
      bytes.readUInt16BE(14) === key.count &&
      bytes.readUInt32BE(28) === key.bytes
    );
  },
  /** The page again, of its bytes. */
  of: (bytes: Buffer): Page => ({
    log: bytes.readUInt16BE(6),
    first: bytes.readUIntBE(8, 6),
    count: bytes.readUInt16BE(14),
    bytes: bytes.length,
    timeMs: bytes.readUIntBE(16, 6),
    page: bytes,
  }),

  /** Walks the index: `visit` gets each handler's part. */
  slices(first: number, bytes: Buffer, visit: (handler: number, slice: Slice) => void): void {
    let at = bytes.readUInt32BE(22);
    for (let left = bytes.readUInt16BE(26); left > 0; left--) {
      const count = bytes.readUInt16BE(at + 2);
      const places = at + ENTRY_BYTES;
      visit(bytes.readUInt16BE(at), sliceAt(first, bytes, at, count));
      at = places + count * PLACE_BYTES;
    }
  },

  sliceOf(first: number, bytes: Buffer, handler: number): Slice | undefined {
    let at = bytes.readUInt32BE(22);
    for (let left = bytes.readUInt16BE(26); left > 0; left--) {
      const count = bytes.readUInt16BE(at + 2);
      const places = at + ENTRY_BYTES;
      if (bytes.readUInt16BE(at) === handler) {
        return sliceAt(first, bytes, at, count);
      }
      at = places + count * PLACE_BYTES;
    }
    return undefined;
  },

  /** Sequence number and offset of the `i`-th task of a slice. */
  seq: (slice: Slice, i: number): number => slice.first + slice.page.readUInt16BE(slice.places + i * PLACE_BYTES),
  offset: (slice: Slice, i: number): number => slice.page.readUInt32BE(slice.places + i * PLACE_BYTES + 2),

  /** A copy of the slice that holds its own records only, for a handler that wants little of a large page. */
  extract(slice: Slice): Slice {
    let bytes = slice.count * PLACE_BYTES;
    for (let i = 0; i < slice.count; i++) bytes += slice.page.readUInt32BE(page.offset(slice, i));
    const copy = Buffer.allocUnsafeSlow(bytes);
    let at = slice.count * PLACE_BYTES;
    for (let i = 0; i < slice.count; i++) {
      const from = page.offset(slice, i);
      copy.writeUInt16BE(slice.page.readUInt16BE(slice.places + i * PLACE_BYTES), i * PLACE_BYTES);
      copy.writeUInt32BE(at, i * PLACE_BYTES + 2);
      at += slice.page.copy(copy, at, from, from + slice.page.readUInt32BE(from));
    }
    return { page: copy, first: slice.first, count: slice.count, ordinal: slice.ordinal, places: 0, bytes };
  },
} as const;

function sliceAt(first: number, bytes: Buffer, at: number, count: number): Slice {
  const ordinal = bytes.readUIntBE(at + 4, 6);
  const share = Math.ceil((bytes.length * count) / bytes.readUInt16BE(14));
  return { page: bytes, first, count, ordinal, places: at + ENTRY_BYTES, bytes: share };
}

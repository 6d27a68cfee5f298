/**
 * One damaged table, mended: the same rows in a table of the same size, without those that cannot be read. Blocks stay
 * where they are, so most of the file stays as it is.
 *
 * - A single flipped bit in a block of rows shows in its checksum, and is put back: nothing is lost.
 * - Of any other damaged block the rows are kept that can be made out. Those whose own checksums are wrong are kept as
 *   well, where they are in order: they are found out by whoever reads them, and an older row does not show in their place.
 *   The range of the block is lost all the same: what else was in it, overwritten it or deleted, nobody knows.
 * - A damaged index is made anew of the blocks, which lie one behind the other from the start of the file.
 * - A damaged filter is left out. It only saves time.
 */
import {
  blockAt,
  blockOf,
  crc32c,
  crcOver,
  endOfRows,
  footerOf,
  FOOTER_BYTES,
  handleBytes,
  handleOf,
  isSound,
  rowAt,
  rowsOf,
  TRAILER_BYTES,
  unmasked,
  writeBlock,
  writeFooter,
} from "../level-table.ts";
import type { Handle, Row } from "../level-table.ts";
import type { LiveTable } from "./manifest.ts";

/** Keys, both ends included. */
export interface Lost {
  readonly from: Buffer;
  readonly to: Buffer;
}

export interface Mended {
  readonly bytes: Buffer;
  readonly lost: readonly Lost[];
}

/** Whether a row's own checksum bears it out; and when not, whether it is of any use: as a sign, in the place of an older one. */
export type Verdict = "sound" | "damaged" | "useless";
export type Judge = (key: Buffer, value: Buffer) => Verdict;

/** A block of rows, and the key under which the index has it: not below its last, with the store's own 8 bytes. */
interface Part {
  readonly handle: Handle;
  readonly key: Buffer;
}

/** What is known of the table on the way. */
interface Draft {
  readonly bytes: Buffer;
  readonly table: LiveTable;
  readonly judge: Judge;
  readonly parts: Part[];
  readonly lost: Lost[];
}

const STAMP_BYTES = 8;
const DELETED = 0;
const PUT = 1;
/** Rows of which the first shares nothing with the one before. LevelDB's own figures. */
const ROWS_EVERY = 16;
const INDEX_EVERY = 1;

export function mend(file: Buffer, table: LiveTable, judge: Judge): Mended {
  const bytes = Buffer.alloc(table.bytes);
  file.copy(bytes);
  const draft: Draft = { bytes, table, judge, parts: [], lost: [] };
  const footer = footerOf(bytes);
  const index = footer !== undefined && isSound(bytes, footer.index) ? rowsOf(blockAt(bytes, footer.index)) : undefined;
  if (footer === undefined || index === undefined) {
    walkBlocks(draft);
    finish(draft, undefined);
    return draft;
  }
  const before = index.map(({ key, value }) => ({ key, handle: handleOf(value) }));
  for (const part of before) take(draft, part);
  const filter = isSound(bytes, footer.meta) ? rowsOf(blockAt(bytes, footer.meta))?.[0] : undefined;
  finish(draft, filter !== undefined && isSound(bytes, handleOf(filter.value)) ? filter : undefined);
  return draft;
}

/** A block that the index has. */
function take(draft: Draft, part: Part): void {
  const { bytes, parts, lost, table } = draft;
  if (isSound(bytes, part.handle) || setRight(draft, part.handle)) {
    parts.push(part);
    return;
  }
  const block = blockAt(bytes, part.handle);
  const end = endOfRows(block);
  const starts: number[] = [];
  for (let at = end ?? block.length; at < block.length - 4; at += 4) starts.push(block.readUInt32LE(at));
  const after = parts.at(-1)?.key;
  salvage(draft, part.handle, part.key, starts);
  lost.push({ from: userKey(after ?? table.smallest), to: userKey(least(part.key, table.largest)) });
}

/** Without an index: block by block, as far as their checksums lead. */
function walkBlocks(draft: Draft): void {
  const { bytes, parts, lost, table } = draft;
  const end = bytes.length - FOOTER_BYTES;
  let at = 0;
  for (;;) {
    const handle = { offset: at, size: sizeOfBlock(bytes, at, end) };
    if (handle.size < 0) break;
    const rows = rowsOf(blockAt(bytes, handle));
    const last = rows?.at(-1);
    // Behind the rows comes the filter.
    if (last === undefined || !isInOrder(rows)) break;
    parts.push({ handle, key: last.key });
    at += handle.size + TRAILER_BYTES;
  }
  const after = parts.at(-1)?.key;
  if (after !== undefined && after.equals(table.largest)) return;
  salvage(draft, { offset: at, size: Math.max(0, end - at) }, table.largest, []);
  lost.push({ from: userKey(after ?? table.smallest), to: userKey(table.largest) });
}

/** Bytes of the block that begins at `at`, -1 when none does whose checksum is right. */
function sizeOfBlock(bytes: Buffer, at: number, end: number): number {
  let crc = -1;
  for (let i = at; i + TRAILER_BYTES <= end; i++) {
    const byte = bytes[i] as number;
    crc = crcOver(crc, byte);
    if (byte === 0 && i > at && unmasked(bytes.readUInt32LE(i + 1)) === ~crc >>> 0) return i - at;
  }
  return -1;
}

/** Puts a single flipped bit back, in the block or in its checksum. What it makes of it must be rows, all of them sound. */
function setRight({ bytes, judge }: Draft, handle: Handle): boolean {
  const end = handle.offset + handle.size + 1;
  if (end + 4 > bytes.length) return false;
  const flip = flippedBit(bytes.subarray(handle.offset, end), bytes.readUInt32LE(end));
  if (flip === undefined) return false;
  const at = handle.offset + flip.at;
  const was = bytes[at] as number;
  bytes[at] = was ^ flip.bit;
  if (areRows(rowsOf(blockAt(bytes, handle)), judge)) return true;
  bytes[at] = was;
  return false;
}

/** Which bit it is that makes `stored` the checksum of `block`, or of which the same is true in `stored`, behind it. */
function flippedBit(block: Buffer, stored: number): { readonly at: number; readonly bit: number } | undefined {
  const crc = crc32c(block);
  for (let bit = 0; bit < 32; bit++) {
    if (unmasked((stored ^ (1 << bit)) >>> 0) === crc) return { at: block.length + (bit >>> 3), bit: 1 << (bit & 7) };
  }
  const off = (crc ^ unmasked(stored)) | 0;
  // What a bit makes of the checksum depends on how far from the end it is, and on nothing else.
  const traces = Array.from({ length: 8 }, (_, bit) => crcOver(0, 1 << bit));
  for (let at = block.length - 1; at >= 0; at--) {
    for (let bit = 0; bit < 8; bit++) {
      if (traces[bit] === off) return { at, bit: 1 << bit };
      traces[bit] = crcOver(traces[bit] as number, 0);
    }
  }
  return undefined;
}

/** Writes what can be made out of a damaged block in its place. `starts`: where rows share nothing, as far as is known. */
function salvage({ bytes, parts, judge }: Draft, handle: Handle, upTo: Buffer, starts: readonly number[]): void {
  const block = Buffer.from(blockAt(bytes, handle));
  const after = parts.at(-1)?.key;
  const rows: { readonly key: Buffer; readonly value: Buffer; readonly isSound: boolean }[] = [];
  let before: Buffer = Buffer.alloc(0);
  for (let at = 0; at < block.length;) {
    const next = starts.find((start) => start > at) ?? block.length;
    const read = rowAt(block, at, block.length, before);
    const isOne: boolean = read !== undefined && isStoreRow(read.row);
    const verdict = isOne && read !== undefined ? judgeRow(read.row, judge) : "useless";
    const isBorneOut = verdict === "sound";
    if (read === undefined || !isOne || (!isBorneOut && read.end > next)) {
      at = next;
      before = Buffer.alloc(0);
      continue;
    }
    at = read.end;
    const { key, value } = read.row;
    before = key;
    if (verdict === "useless") continue;
    if (compare(key, upTo) > 0 || (after !== undefined && compare(key, after) <= 0)) continue;
    // What is known to be right decides about the order.
    const isAhead = (row: Row | undefined): boolean => row !== undefined && compare(row.key, key) >= 0;
    while (isBorneOut && rows.at(-1)?.isSound === false && isAhead(rows.at(-1))) rows.pop();
    if (!isAhead(rows.at(-1))) rows.push({ key, value, isSound: isBorneOut });
  }
  let rewritten = blockOf(rows, ROWS_EVERY);
  while (rows.length > 0 && rewritten.length + TRAILER_BYTES > handle.size) {
    rows.pop();
    rewritten = blockOf(rows, ROWS_EVERY);
  }
  const end = rows.at(-1);
  if (end !== undefined) parts.push({ handle: writeBlock(bytes, handle.offset, rewritten), key: end.key });
}

/** Metaindex, index and footer behind the blocks; and the filter, when there is one. */
function finish(draft: Draft, filter: Row | undefined): void {
  const { bytes, parts, lost, table } = draft;
  const end = bytes.length - FOOTER_BYTES;
  for (let kept = filter; ; kept = undefined) {
    const lastPart = kept === undefined ? parts.at(-1)?.handle : handleOf(kept.value);
    const at = lastPart === undefined ? 0 : lastPart.offset + lastPart.size + TRAILER_BYTES;
    const meta = blockOf(kept === undefined ? [] : [kept], INDEX_EVERY);
    const index = blockOf(
      parts.map(({ key, handle }) => ({ key, value: handleBytes(handle) })),
      INDEX_EVERY,
    );
    if (at + meta.length + index.length + 2 * TRAILER_BYTES <= end || parts.length === 0) {
      const metaHandle = writeBlock(bytes, at, meta);
      writeFooter(bytes, metaHandle, writeBlock(bytes, at + meta.length + TRAILER_BYTES, index));
      return;
    }
    if (kept !== undefined) continue;
    // Keys that the index had shortened can be too long for its place.
    const dropped = parts.pop();
    const before = parts.at(-1);
    if (dropped !== undefined) {
      lost.push({ from: userKey(before?.key ?? table.smallest), to: userKey(least(dropped.key, table.largest)) });
    }
  }
}

/** A deletion has no checksum of its own to speak for it. */
function judgeRow({ key, value }: Row, judge: Judge): Verdict {
  return isDeletion(key) ? "damaged" : judge(userKey(key), value);
}

function areRows(rows: readonly Row[] | undefined, judge: Judge): boolean {
  return isInOrder(rows) && rows.every((row) => isDeletion(row.key) || judgeRow(row, judge) === "sound");
}

function isInOrder(rows: readonly Row[] | undefined): rows is readonly Row[] {
  if (rows === undefined) return false;
  return rows.every(({ key }, i) => {
    const before = rows[i - 1];
    return isStoreKey(key) && (before === undefined || compare(before.key, key) < 0);
  });
}

function isStoreRow({ key, value }: Row): boolean {
  return isStoreKey(key) && (!isDeletion(key) || value.length === 0);
}

function isStoreKey(key: Buffer): boolean {
  return key.length > STAMP_BYTES && (key[key.length - STAMP_BYTES] as number) <= PUT;
}

function isDeletion(key: Buffer): boolean {
  return key[key.length - STAMP_BYTES] === DELETED;
}

function userKey(key: Buffer): Buffer {
  return Buffer.from(key.subarray(0, key.length - STAMP_BYTES));
}

/** In the store's order: of the same key, the newest row comes first. */
function compare(a: Buffer, b: Buffer): number {
  const order = a.subarray(0, a.length - STAMP_BYTES).compare(b.subarray(0, b.length - STAMP_BYTES));
  if (order !== 0) return order;
  const [stampA, stampB] = [a.readBigUInt64LE(a.length - STAMP_BYTES), b.readBigUInt64LE(b.length - STAMP_BYTES)];
  return stampA > stampB ? -1 : stampA < stampB ? 1 : 0;
}

function least(a: Buffer, b: Buffer): Buffer {
  return compare(a, b) < 0 ? a : b;
}

/**
 * Leaf: LevelDB's tables as they stand on disk, for whoever has a database of it. LevelDB does not check what it reads, and
 * some damage ends the process (an assertion, where keys turn out not to be in order); so tables are looked at before.
 *
 * Layout: blocks, each followed by a byte for its compression and a masked CRC32C of both: rows, the filter, the metaindex
 * (which says where the filter is), the index. Then a footer of 48 bytes with the handles (offset and size as varints) of
 * metaindex and index, and a magic number. In a block, a row is three varints (how much of its key it shares with the one
 * before, the rest of its key, its value) and both texts; behind the rows are the offsets of those that share nothing, and
 * their count. The index has a row for each block of rows, with its handle, under a key that is not below its last one.
 */
export const FOOTER_BYTES = 48;
export const TRAILER_BYTES = 5;
const MAGIC = Buffer.from("57fb808b247547db", "hex");
const MASK_DELTA = 0xa282ead8;
const POLYNOMIAL = 0x82f63b78;
const U32_BYTES = 4;
/** What LevelDB puts behind each key. */
const STAMP_BYTES = 8;

export interface Handle {
  readonly offset: number;
  readonly size: number;
}

export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** "rows": rows can be read from end to end, as far as they are sound. "index": LevelDB must not be let into it. */
export type TableDamage = "none" | "rows" | "index";

/** A table without a sound footer is LevelDB's own to refuse, and it does. */
export function damageOf(file: Buffer): TableDamage {
  const footer = footerOf(file);
  if (footer === undefined) return "none";
  if (!isSound(file, footer.meta) || !isSound(file, footer.index)) return "index";
  const isCompressed = file[footer.index.offset + footer.index.size] !== 0;
  if (isCompressed) return "none"; // What it says cannot be read here; ours are not.
  const index = rowsOf(blockAt(file, footer.index));
  const filters = rowsOf(blockAt(file, footer.meta));
  if (index === undefined || filters === undefined) return "index";
  // A filter that is wrong hides rows from those who look for them by their keys.
  return [...index, ...filters].every(({ value }) => isSound(file, handleOf(value))) ? "none" : "rows";
}

/**
 * For a table with damage in rows: LevelDB ends the process over a key that is too short to be one of its own. Blocks with
 * such keys are taken out of the index, in place, so that it never gets to them. False when there are none.
 */
export function closeOff(file: Buffer): boolean {
  const footer = footerOf(file);
  const index = footer === undefined ? undefined : rowsOf(blockAt(file, footer.index));
  if (footer === undefined || index === undefined) return false;
  const open = index.map(({ value }) => handleOf(value)).map((at) => isSound(file, at) || mayBeRead(blockAt(file, at)));
  if (!open.includes(false)) return false;
  const left = blockOf(
    index.filter((_, i) => open[i]),
    1,
  );
  writeFooter(file, footer.meta, writeBlock(file, footer.index.offset, left));
  return true;
}

/** LevelDB begins at the first row, or at any that an offset says shares nothing. Rows that are none it refuses itself. */
function mayBeRead(block: Buffer): boolean {
  const end = endOfRows(block) ?? 0;
  const starts = [0];
  for (let at = end; at < block.length - U32_BYTES; at += U32_BYTES) starts.push(block.readUInt32LE(at));
  for (const start of starts) {
    let key: Buffer = block.subarray(0, 0);
    for (let at = start; at < end;) {
      const read = rowAt(block, at, end, key);
      if (read === undefined) break;
      ({ key } = read.row);
      if (key.length < STAMP_BYTES) return false;
      at = read.end;
    }
  }
  return true;
}

/** Undefined where there is none. */
export function footerOf(file: Buffer): { readonly meta: Handle; readonly index: Handle } | undefined {
  if (file.length < FOOTER_BYTES || !file.subarray(file.length - MAGIC.length).equals(MAGIC)) return undefined;
  const footer = new Varints(file, file.length - FOOTER_BYTES);
  const meta = { offset: footer.next(), size: footer.next() };
  return { meta, index: { offset: footer.next(), size: footer.next() } };
}

export function writeFooter(file: Buffer, meta: Handle, index: Handle): void {
  const at = file.length - FOOTER_BYTES;
  file.fill(0, at);
  Buffer.concat([handleBytes(meta), handleBytes(index)]).copy(file, at);
  MAGIC.copy(file, file.length - MAGIC.length);
}

export function blockAt(file: Buffer, { offset, size }: Handle): Buffer {
  return file.subarray(offset, offset + size);
}

/** Writes the block and what follows it. */
export function writeBlock(file: Buffer, offset: number, block: Buffer): Handle {
  const end = offset + block.copy(file, offset);
  file[end] = 0;
  file.writeUInt32LE(masked(crc32c(file.subarray(offset, end + 1))), end + 1);
  return { offset, size: block.length };
}

export function handleOf(value: Buffer): Handle {
  const varints = new Varints(value, 0);
  return { offset: varints.next(), size: varints.next() };
}

export function handleBytes({ offset, size }: Handle): Buffer {
  return Buffer.from([...varint(offset), ...varint(size)]);
}

/** Undefined when it is not put together as a block is. */
export function rowsOf(block: Buffer): Row[] | undefined {
  const end = endOfRows(block);
  if (end === undefined) return undefined;
  const rows: Row[] = [];
  let key: Buffer = block.subarray(0, 0);
  for (let at = 0; at < end;) {
    const read = rowAt(block, at, end, key);
    if (read === undefined) return undefined;
    ({ key } = read.row);
    rows.push(read.row);
    at = read.end;
  }
  return rows;
}

/** Where the rows of a block end and the offsets begin. */
export function endOfRows(block: Buffer): number | undefined {
  if (block.length < U32_BYTES) return undefined;
  const end = block.length - U32_BYTES * (1 + block.readUInt32LE(block.length - U32_BYTES));
  return end < 0 ? undefined : end;
}

/** The row at `at`, behind the one with `before` as its key. Undefined when no row can be there. */
export function rowAt(
  block: Buffer,
  at: number,
  end: number,
  before: Buffer,
): { readonly row: Row; readonly end: number } | undefined {
  const lengths = new Varints(block, at);
  const [shared, own, length] = [lengths.next(), lengths.next(), lengths.next()];
  const value = lengths.at + own;
  if (shared > before.length || value + length > end) return undefined;
  const key = Buffer.concat([before.subarray(0, shared), block.subarray(lengths.at, value)]);
  return { row: { key, value: block.subarray(value, value + length) }, end: value + length };
}

/** A block of `rows`, of which every `every`-th shares nothing with the one before. */
export function blockOf(rows: readonly Row[], every: number): Buffer {
  const parts: Buffer[] = [];
  const offsets: number[] = [];
  let at = 0;
  let before = Buffer.alloc(0);
  for (const [i, { key, value }] of rows.entries()) {
    let shared = 0;
    if (i % every === 0) offsets.push(at);
    else while (shared < before.length && shared < key.length && before[shared] === key[shared]) shared++;
    const lengths = Buffer.from([...varint(shared), ...varint(key.length - shared), ...varint(value.length)]);
    parts.push(lengths, key.subarray(shared), value);
    at += lengths.length + key.length - shared + value.length;
    before = Buffer.from(key);
  }
  if (offsets.length === 0) offsets.push(0);
  const tail = Buffer.alloc(U32_BYTES * (offsets.length + 1));
  for (const [i, offset] of [...offsets, offsets.length].entries()) tail.writeUInt32LE(offset, U32_BYTES * i);
  return Buffer.concat([...parts, tail]);
}

export class Varints {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  next(): number {
    let value = 0;
    // Sizes and file numbers have five bytes at the most; sequence numbers have more.
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = this.#bytes[this.at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  bytes.push(value);
  return bytes;
}

export function isSound(file: Buffer, { offset, size }: Handle): boolean {
  const end = offset + size + 1;
  if (end + TRAILER_BYTES - 1 > file.length) return false;
  return unmasked(file.readUInt32LE(end)) === crc32c(file.subarray(offset, end));
}

export function unmasked(stored: number): number {
  const rotated = (stored - MASK_DELTA) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

/** What a byte leaves of a remainder, with no, one, … seven zero bytes behind it: eight bytes are done at a time. */
const [R0, R1, R2, R3, R4, R5, R6, R7] = remainders();

function remainders() {
  const one = Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    return crc;
  });
  const further = (before: Int32Array): Int32Array => before.map((crc) => (one[crc & 0xff] as number) ^ (crc >>> 8));
  const two = further(one);
  const three = further(two);
  const four = further(three);
  const five = further(four);
  const six = further(five);
  const seven = further(six);
  return [one, two, three, four, five, six, seven, further(seven)] as const;
}

/** The CRC32C with one byte more, before its bits are turned around at the end. */
export function crcOver(crc: number, byte: number): number {
  return (R0[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
}

/** In the loop over all bytes of gigabytes of tables: 1.2 GB a second, three times what a byte at a time comes to. */
export function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    const first =
      crc ^
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24));
    crc =
      (R7[first & 0xff] as number) ^
      (R6[(first >>> 8) & 0xff] as number) ^
      (R5[(first >>> 16) & 0xff] as number) ^
      (R4[first >>> 24] as number) ^
      (R3[bytes[at + 4] as number] as number) ^
      (R2[bytes[at + 5] as number] as number) ^
      (R1[bytes[at + 6] as number] as number) ^
      (R0[bytes[at + 7] as number] as number);
  }
  for (; at < bytes.length; at++) crc = crcOver(crc, bytes[at] as number);
  return ~crc >>> 0;
}

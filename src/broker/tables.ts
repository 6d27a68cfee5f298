/**
 * LevelDB's tables, looked at before LevelDB does: it does not check what it reads, and some damage ends the process.
 * Layout: blocks, each followed by a byte for its compression and a masked CRC32C of both, then a footer of 48 bytes with
 * the handles (offset and size as varints) of the metaindex and the index, and a magic number. The index has an entry for
 * each block of rows: shared, own and value length as varints, the key's own part, and the block's handle.
 */
const FOOTER_BYTES = 48;
const MAGIC = Buffer.from("57fb808b247547db", "hex");
const TRAILER_BYTES = 5;
const MASK_DELTA = 0xa282ead8;
const POLYNOMIAL = 0x82f63b78;

const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** "rows": rows can be read from end to end, as far as they are sound. "index": LevelDB must not be let into it. */
export type TableDamage = "none" | "rows" | "index";

/** A table without a sound footer is LevelDB's own to refuse, and it does. */
export function damageOf(file: Buffer): TableDamage {
  if (file.length < FOOTER_BYTES || !file.subarray(file.length - MAGIC.length).equals(MAGIC)) return "none";
  const footer = new Varints(file, file.length - FOOTER_BYTES);
  const [metaOffset, metaSize, offset, size] = [footer.next(), footer.next(), footer.next(), footer.next()];
  if (!isSound(file, metaOffset, metaSize) || !isSound(file, offset, size)) return "index";
  const end = offset + size;
  const isCompressed = file[end] !== 0;
  if (isCompressed) return "none"; // What it says cannot be read here; ours are not.
  const entriesEnd = end - 4 * (1 + file.readUInt32LE(end - 4));
  const entries = new Varints(file, offset);
  while (entries.at < entriesEnd) {
    entries.next();
    const own = entries.next();
    entries.next();
    entries.at += own;
    if (!isSound(file, entries.next(), entries.next())) return "rows";
  }
  return "none";
}

class Varints {
  readonly #file: Buffer;
  at: number;

  constructor(file: Buffer, at: number) {
    this.#file = file;
    this.at = at;
  }

  next(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#file[this.at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  }
}

function isSound(file: Buffer, offset: number, size: number): boolean {
  const end = offset + size + 1;
  if (end + TRAILER_BYTES - 1 > file.length) return false;
  const rotated = (file.readUInt32LE(end) - MASK_DELTA) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0 === crc32c(file.subarray(offset, end));
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (REMAINDERS[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

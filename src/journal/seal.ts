/**
 * Small rows as they stand on disk: a checksum over key and content, then the content. The key is in the sum, so a row
 * that turns up under another key is as damaged as one with a flipped bit.
 */
import { crc32 } from "node:zlib";

export const SEAL_BYTES = 4;

/** Fills in the checksum of `row`, whose content starts at {@link SEAL_BYTES}. */
export function seal(key: Buffer, row: Buffer): Buffer {
  row.writeUInt32BE(crc32(row.subarray(SEAL_BYTES), crc32(key)), 0);
  return row;
}

/** Whether `row` is what was written under `key`. */
export function isSealed(key: Buffer, row: Buffer): boolean {
  return row.length >= SEAL_BYTES && row.readUInt32BE(0) === crc32(row.subarray(SEAL_BYTES), crc32(key));
}

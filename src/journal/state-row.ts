/**
 * A row of state on disk: the seal, then
 *
 *     0  u8   1: there is a head. JSON never begins with that byte, so rows of before there was one are told by it
 *     1  u48  when it was written, milliseconds since 1970
 *     7  u48  the version of the handler that wrote it, 0 when that is not known
 *    13       the state, JSON as UTF-8
 */
import { seal, SEAL_BYTES } from "./seal.ts";

export interface StateRow {
  readonly value: string;
  /** 0: not known. */
  readonly timeMs: number;
  /** 0: not known. */
  readonly version: number;
}

const HAS_HEAD = 1;
const HEAD_BYTES = 13;
/** What a row has besides its texts: in its key, and before its value. */
const ROW_BYTES = 3 + SEAL_BYTES + HEAD_BYTES;

export function stateRowBytes(key: string, value: string): number {
  return ROW_BYTES + Buffer.byteLength(key) + Buffer.byteLength(value);
}

/** At least as much, without a look at the texts. */
export function stateRowBytesMax(key: string, value: string): number {
  return ROW_BYTES + 3 * (key.length + value.length);
}

/** `rowAndKey`: what {@link stateRowBytes} says of it. */
export function writeStateRow(row: Buffer, { value, timeMs, version }: StateRow, rowAndKey: number): Buffer {
  const bytes = Buffer.allocUnsafe(rowAndKey - row.length);
  bytes[SEAL_BYTES] = HAS_HEAD;
  bytes.writeUIntBE(timeMs, SEAL_BYTES + 1, 6);
  bytes.writeUIntBE(version, SEAL_BYTES + 7, 6);
  bytes.utf8Write(value, SEAL_BYTES + HEAD_BYTES);
  return seal(row, bytes);
}

/** Of bytes whose seal was checked. */
export function readStateRow(bytes: Buffer): StateRow {
  if (bytes[SEAL_BYTES] !== HAS_HEAD) {
    return { value: bytes.utf8Slice(SEAL_BYTES, bytes.length), timeMs: 0, version: 0 };
  }
  return {
    value: bytes.utf8Slice(SEAL_BYTES + HEAD_BYTES, bytes.length),
    timeMs: bytes.readUIntBE(SEAL_BYTES + 1, 6),
    version: bytes.readUIntBE(SEAL_BYTES + 7, 6),
  };
}

/**
 * The store's manifest: which tables are alive, and from where to where each reaches. What else lies in the folder is a
 * table that was never finished, or one that LevelDB has not deleted yet; neither counts.
 *
 * A log of blocks of 32 KB, of records: masked CRC32C of the rest, u16 length, type (whole, first, middle, last), and a part
 * of an edit. An edit is a list of fields, each behind its number.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32c, unmasked, Varints } from "../level-table.ts";

export interface LiveTable {
  readonly number: number;
  readonly bytes: number;
  /** Keys of its first and last row, as the store has them: with 8 bytes of its own. */
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const RECORD = { whole: 1, first: 2, middle: 3, last: 4 } as const;
const FIELD = {
  comparator: 1,
  log: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deleted: 6,
  added: 7,
  previousLog: 9,
} as const;

/** Undefined when there is no manifest, or a damaged one: LevelDB refuses that by itself. */
export async function liveTables(folder: string): Promise<Map<number, LiveTable> | undefined> {
  let log: Buffer;
  try {
    const current = await readFile(join(folder, "CURRENT"), "utf8");
    log = await readFile(join(folder, current.trim()));
  } catch {
    return undefined;
  }
  const live = new Map<number, LiveTable>();
  for (const edit of editsOf(log)) if (edit === undefined || !apply(edit, live)) return undefined;
  return live;
}

/** Yields undefined where it is damaged. A record that is not finished at the end was being written. */
function* editsOf(log: Buffer): Generator<Buffer | undefined> {
  let parts: Buffer[] = [];
  for (let at = 0; at + HEADER_BYTES <= log.length;) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (left < HEADER_BYTES) {
      at += left;
      continue;
    }
    const length = log.readUInt16LE(at + 4);
    const type = log[at + 6];
    const end = at + HEADER_BYTES + length;
    if (end > log.length) return;
    if (unmasked(log.readUInt32LE(at)) !== crc32c(log.subarray(at + 6, end))) {
      yield undefined;
      return;
    }
    if (type === RECORD.whole || type === RECORD.first) parts = [];
    parts.push(log.subarray(at + HEADER_BYTES, end));
    if (type === RECORD.whole || type === RECORD.last) yield Buffer.concat(parts);
    at = end;
  }
}

function apply(edit: Buffer, live: Map<number, LiveTable>): boolean {
  const fields = new Varints(edit, 0);
  const text = (): Buffer => {
    const length = fields.next();
    const start = fields.at;
    fields.at += length;
    return edit.subarray(start, fields.at);
  };
  while (fields.at < edit.length) {
    switch (fields.next()) {
      case FIELD.comparator:
        text();
        break;
      case FIELD.log:
      case FIELD.nextFile:
      case FIELD.lastSequence:
      case FIELD.previousLog:
        fields.next();
        break;
      case FIELD.compactPointer:
        fields.next();
        text();
        break;
      case FIELD.deleted:
        fields.next();
        live.delete(fields.next());
        break;
      case FIELD.added: {
        fields.next();
        const [number, bytes] = [fields.next(), fields.next()];
        live.set(number, { number, bytes, smallest: text(), largest: text() });
        break;
      }
      default:
        return false;
    }
  }
  return fields.at === edit.length;
}

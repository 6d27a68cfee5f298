/**
 * The journal's key space. The first byte says which table a row is in; numbers are big endian, so that rows sort by
 * them. Small tables come first and pages last, so that no walk over the one passes through the other; the second copy
 * of the checkpoint lies behind the pages, so that one bad block cannot take both.
 */

const COMMIT = 0x10;
const CHECKPOINT = [0x11, 0x40] as const;
const PARKED = 0x20;
const DEAD = 0x21;
const STATE = 0x22;
const CLAIM = 0x23;
const TICK = 0x24;
const REPEAT = 0x25;
const RECORD = 0x26;
const REPLAY = 0x27;
const PAGE = 0x30;

/** Every key is below this one. */
const END = Buffer.of(0xff);

export interface Range {
  readonly gte: Buffer;
  readonly lt: Buffer;
}

/** What a page's key says of it, so that trimming and accounting never read the page itself. */
export interface PageKey {
  readonly log: number;
  readonly first: number;
  readonly count: number;
  readonly bytes: number;
  readonly timeMs: number;
}

const PAGE_KEY_BYTES = 21;

/** What the key of a row of records (records.ts) says of it. */
export interface RecordKey {
  readonly offset: number;
  readonly timeMs: number;
  readonly seqMax: number;
  readonly bytes: number;
}

const RECORD_KEY_BYTES = 23;

export const keys = {
  commit(number: number): Buffer {
    return tableAndNumber(COMMIT, number);
  },
  commits: (from: number): Range => ({ gte: tableAndNumber(COMMIT, from), lt: Buffer.of(COMMIT + 1) }),
  commitNumber: (key: Buffer): number => (key.length === 7 ? key.readUIntBE(1, 6) : -1),

  /** `kind` 0 is the journal's own row, 1 a handler's, 2 an uplink's. */
  checkpoint(copy: 0 | 1, kind: number, id: number): Buffer {
    return Buffer.of(CHECKPOINT[copy], kind, id >>> 8, id & 0xff);
  },
  checkpoints: (copy: 0 | 1): Range => table(CHECKPOINT[copy]),

  parked(handler: number, key: string, seq: number): Buffer {
    const length = Buffer.byteLength(key);
    const row = Buffer.allocUnsafe(11 + length);
    parkedPrefix(row, handler, key, length);
    row.writeUIntBE(seq, 5 + length, 6);
    return row;
  },
  parkedKey: (row: Buffer): { handler: number; key: string; seq: number } | undefined => {
    if (row.length < 11 || row.length !== 11 + row.readUInt16BE(3)) return undefined;
    return {
      handler: row.readUInt16BE(1),
      key: row.utf8Slice(5, row.length - 6),
      seq: row.readUIntBE(row.length - 6, 6),
    };
  },
  parkedOf(handler: number, key: string): Range {
    const length = Buffer.byteLength(key);
    const gte = Buffer.allocUnsafe(5 + length);
    parkedPrefix(gte, handler, key, length);
    return { gte, lt: Buffer.concat([gte, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)]) };
  },
  parkedOfHandler: (handler: number): Range => ofHandler(PARKED, handler),
  parkedAll: (): Range => table(PARKED),

  dead: (id: number): Buffer => tableAndNumber(DEAD, id),
  deadFrom: (id: number): Range => ({ gte: tableAndNumber(DEAD, id), lt: Buffer.of(DEAD + 1) }),
  deadId: (key: Buffer): number => (key.length === 7 ? key.readUIntBE(1, 6) : -1),

  state(handler: number, key: string): Buffer {
    const row = Buffer.allocUnsafe(3 + Buffer.byteLength(key));
    row[0] = STATE;
    row.writeUInt16BE(handler, 1);
    row.utf8Write(key, 3);
    return row;
  },
  states: (): Range => table(STATE),
  statesOf: (handler: number): Range => ofHandler(STATE, handler),
  stateOf: (row: Buffer): { handler: number; key: string } => ({
    handler: row.readUInt16BE(1),
    key: row.utf8Slice(3, row.length),
  }),

  claim(device: string, packetId: number): Buffer {
    const row = Buffer.allocUnsafe(3 + Buffer.byteLength(device));
    row[0] = CLAIM;
    row.writeUInt16BE(packetId, 1);
    row.utf8Write(device, 3);
    return row;
  },
  claims: (): Range => table(CLAIM),
  claimOf: (row: Buffer): { device: string; packetId: number } => ({
    device: row.utf8Slice(3, row.length),
    packetId: row.readUInt16BE(1),
  }),

  tick: (handler: number): Buffer => Buffer.of(TICK, handler >>> 8, handler & 0xff),
  ticks: (): Range => table(TICK),
  tickOf: (row: Buffer): number => row.readUInt16BE(1),

  /** `key` has 16 bytes. */
  repeat: (key: Buffer): Buffer => Buffer.concat([Buffer.of(REPEAT), key]),
  repeats: (): Range => table(REPEAT),
  repeatOf: (row: Buffer): Buffer => row.subarray(1),

  record({ offset, timeMs, seqMax, bytes }: RecordKey): Buffer {
    const row = Buffer.allocUnsafe(RECORD_KEY_BYTES);
    row[0] = RECORD;
    row.writeUIntBE(offset, 1, 6);
    row.writeUIntBE(timeMs, 7, 6);
    row.writeUIntBE(seqMax, 13, 6);
    row.writeUInt32BE(bytes, 19);
    return row;
  },
  recordKey: (row: Buffer): RecordKey | undefined =>
    row.length === RECORD_KEY_BYTES
      ? {
          offset: row.readUIntBE(1, 6),
          timeMs: row.readUIntBE(7, 6),
          seqMax: row.readUIntBE(13, 6),
          bytes: row.readUInt32BE(19),
        }
      : undefined,
  records: (): Range => table(RECORD),
  /** Rows whose offset is `from` or more. */
  recordsFrom: (from: number): Range => ({ gte: tableAndNumber(RECORD, from), lt: Buffer.of(RECORD + 1) }),
  /** Rows whose offset is less than `offset`. */
  recordsBefore: (offset: number): Range => ({ gte: Buffer.of(RECORD), lt: tableAndNumber(RECORD, offset) }),

  replay: (id: number): Buffer => tableAndNumber(REPLAY, id),
  replays: (): Range => table(REPLAY),
  replayId: (key: Buffer): number => (key.length === 7 ? key.readUIntBE(1, 6) : -1),

  page(page: PageKey): Buffer {
    const row = Buffer.allocUnsafe(PAGE_KEY_BYTES);
    row[0] = PAGE;
    row.writeUInt16BE(page.log, 1);
    row.writeUIntBE(page.first, 3, 6);
    row.writeUInt16BE(page.count, 9);
    row.writeUInt32BE(page.bytes, 11);
    row.writeUIntBE(page.timeMs, 15, 6);
    return row;
  },
  pageKey: (row: Buffer): PageKey | undefined =>
    row.length === PAGE_KEY_BYTES
      ? {
          log: row.readUInt16BE(1),
          first: row.readUIntBE(3, 6),
          count: row.readUInt16BE(9),
          bytes: row.readUInt32BE(11),
          timeMs: row.readUIntBE(15, 6),
        }
      : undefined,
  /** Pages of `log` whose first sequence number is `from` or more. */
  pagesFrom: (log: number, from: number): Range => ({ gte: pageStart(log, from), lt: pageStart(log + 1, 0) }),
  /** Pages of `log` whose first sequence number is less than `seq`. */
  pagesBefore: (log: number, seq: number): Range => ({ gte: pageStart(log, 0), lt: pageStart(log, seq) }),
  /** Everything but pages: what a repaired store must have merged before single rows are read. */
  smallRows: (): Range => ({ gte: Buffer.of(COMMIT), lt: Buffer.of(PAGE) }),
  isPage: (key: Buffer): boolean => key[0] === PAGE,
  everything: (): Range => ({ gte: Buffer.of(0), lt: END }),
} as const;

function table(letter: number): Range {
  return { gte: Buffer.of(letter), lt: Buffer.of(letter + 1) };
}

function ofHandler(letter: number, handler: number): Range {
  const gte = Buffer.of(letter, handler >>> 8, handler & 0xff);
  return { gte, lt: Buffer.concat([gte, Buffer.alloc(8, 0xff)]) };
}

function tableAndNumber(letter: number, number: number): Buffer {
  const row = Buffer.allocUnsafe(7);
  row[0] = letter;
  row.writeUIntBE(number, 1, 6);
  return row;
}

function pageStart(log: number, seq: number): Buffer {
  const row = Buffer.allocUnsafe(9);
  row[0] = PAGE;
  row.writeUInt16BE(log, 1);
  row.writeUIntBE(seq, 3, 6);
  return row;
}

function parkedPrefix(row: Buffer, handler: number, key: string, length: number): void {
  row[0] = PARKED;
  row.writeUInt16BE(handler, 1);
  row.writeUInt16BE(length, 3);
  row.utf8Write(key, 5);
}

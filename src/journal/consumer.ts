/**
 * Consumers: a handler reads the log of events, an uplink reads its own outbox. Each has columns of the ledger, its
 * progress, and what it has in hand. All of that is one small blob, which every commit that changes it carries in full
 * (see header.ts): what is counted and the count are on disk together, or neither is (G2, G4).
 */
import { ownBytes } from "../own-bytes.ts";
import { Progress } from "./progress.ts";
import type { Counted } from "./page.ts";

export const HANDLER = 1;
export const UPLINK = 2;
export type ConsumerKind = typeof HANDLER | typeof UPLINK;

/** The columns, in the order in which they stand on disk: append only. */
export const COLUMN = {
  /** Tasks accepted; outputs emitted. */
  arrived: 0,
  /** Tasks done; outputs delivered. */
  done: 1,
  /** Dead letters there are: of tasks, or rejected outputs. */
  dead: 2,
  expired: 3,
  /** Dropped because a size limit was reached under `drop-oldest`. */
  droppedFull: 4,
  /** Dropped because the record was damaged or missing. */
  droppedDamaged: 5,
  /** Dropped by a person, or by an uplink for its own reasons. */
  droppedAsked: 6,
  /** Dropped because there were more dead letters than are kept. */
  droppedDead: 7,
  /** Further tries; not part of the balance. */
  retried: 8,
} as const;
const COLUMNS = 9;

const FLAG_STATE = 1;
const SEQS_FIRST = 64;
/** As stateBytes: the rows have to be counted. */
const UNSURE = 0xffff_ffff_ffff;

export class Consumer implements Counted {
  readonly kind: ConsumerKind;
  readonly id: number;
  readonly name: string;
  readonly columns = new Float64Array(COLUMNS);
  /** Ordinal of the next task; of an uplink, the sequence number of the next entry. Staged ones are counted. */
  ordinals = 0;
  /** The same, of what is on disk. */
  committed = 0;
  progress = new Progress();
  /** Handlers: tasks with an ordinal of `taken` or more are in events numbered `nextSeq` or more. */
  nextSeq = 0;
  /** One past the highest ordinal handed out since start. */
  taken = 0;
  /** Uplinks: the first entry on disk, and the bytes of all pages. */
  tail = 0;
  bytes = 0;
  parked = 0;
  parkedBytes = 0;
  hasState = false;
  /** Handlers: bytes of the state's rows, keys and seals included. */
  stateBytes = 0;
  /** How many rows of state were overwritten whose size is not known yet: until it is, stateBytes is too high. */
  stateUnsure = 0;
  /** Handlers: state that was not written for so long is gone; undefined: it stays. Not on disk: it is a setting. */
  stateTtlMs: number | undefined;
  readonly places: number[] = [];
  /** Number of the group that carries it last. */
  group = -1;
  /** Changed since the last checkpoint. */
  unchecked = false;
  /** Monotonic: since when nobody has taken from it; undefined while a feed is open, or may still be at the start. */
  idleSinceMs: number | undefined;
  #seqs = new Float64Array(SEQS_FIRST);
  readonly #nameBytes: Buffer;

  constructor(kind: ConsumerKind, id: number, name: string) {
    this.kind = kind;
    this.id = id;
    this.name = name;
    this.#nameBytes = ownBytes(Buffer.from(name));
  }

  /** Tasks or entries in the log that are not settled, those in hand included; parked ones are not. */
  get waiting(): number {
    return this.ordinals - this.progress.base - this.progress.settledBeyond;
  }

  get isStateUnsure(): boolean {
    return this.stateUnsure > 0;
  }

  get dropped(): number {
    const { columns } = this;
    return (
      (columns[COLUMN.droppedFull] as number) +
      (columns[COLUMN.droppedDamaged] as number) +
      (columns[COLUMN.droppedAsked] as number) +
      (columns[COLUMN.droppedDead] as number)
    );
  }

  column(column: number): number {
    return this.columns[column] as number;
  }

  add(column: number, count: number): void {
    this.columns[column] = (this.columns[column] as number) + count;
  }

  /** Events (entries, of an uplink) below this number are not needed by it any more. */
  get baseSeq(): number {
    const { base } = this.progress;
    if (this.kind === UPLINK) return base;
    return base < this.taken ? (this.#seqs[base & (this.#seqs.length - 1)] as number) : this.nextSeq;
  }

  /** The task with this ordinal is handed out. Ordinals come in order, without a gap. */
  take(ordinal: number, seq: number): void {
    if (this.kind === UPLINK) {
      this.taken = ordinal + 1;
      return;
    }
    if (this.taken < this.progress.base) this.taken = this.progress.base;
    // What lies between was settled or lost; half a number is no event's, and keeps the ring sorted.
    while (this.taken < ordinal) this.#remember(this.taken++, seq - 0.5);
    this.#remember(ordinal, seq);
    this.taken = ordinal + 1;
    this.nextSeq = seq + 1;
  }

  /** The ordinal of the task of event `seq`, or -1 when it is not in hand. */
  ordinalOf(seq: number): number {
    if (this.kind === UPLINK) return seq < this.ordinals ? seq : -1;
    const mask = this.#seqs.length - 1;
    let low = this.progress.base;
    let high = this.taken;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#seqs[middle & mask] as number) < seq) low = middle + 1;
      else high = middle;
    }
    return low < this.taken && this.#seqs[low & mask] === seq ? low : -1;
  }

  /** Settles everything with an ordinal below `ordinal`, which lies before event `seq`; returns how many were not. */
  settleBelow(ordinal: number, seq: number): number {
    const settled = this.progress.settleBelow(ordinal);
    if (this.taken < ordinal) {
      this.taken = ordinal;
      if (this.nextSeq < seq) this.nextSeq = seq;
    }
    return settled;
  }

  /** Hands out again what is in hand: of a feed that closed. */
  rewind(): void {
    this.nextSeq = this.baseSeq;
    this.taken = this.progress.base;
  }

  #remember(ordinal: number, seq: number): void {
    const { base } = this.progress;
    if (ordinal - base >= this.#seqs.length) {
      const grown = new Float64Array(this.#seqs.length * 2);
      const mask = this.#seqs.length - 1;
      for (let at = base; at < ordinal; at++) grown[at & (grown.length - 1)] = this.#seqs[at & mask] as number;
      this.#seqs = grown;
    }
    this.#seqs[ordinal & (this.#seqs.length - 1)] = seq;
  }

  // --- on disk

  get writtenBytes(): number {
    return 72 + this.#nameBytes.length + 8 * COLUMNS + this.progress.writtenBytes;
  }

  write(into: Buffer, start: number, commit: number): number {
    let at = start + 4;
    at = into.writeUInt8(this.kind, at);
    at = into.writeUInt16BE(this.id, at);
    at = into.writeUIntBE(commit, at, 6);
    at = into.writeUInt16BE(this.#nameBytes.length, at);
    at += this.#nameBytes.copy(into, at);
    at = into.writeUInt8(COLUMNS, at);
    for (let i = 0; i < COLUMNS; i++) at = into.writeDoubleBE(this.columns[i] as number, at);
    at = into.writeUIntBE(this.ordinals, at, 6);
    at = into.writeUIntBE(Math.ceil(this.baseSeq), at, 6);
    at = into.writeUIntBE(this.tail, at, 6);
    at = into.writeUIntBE(this.bytes, at, 6);
    at = into.writeUIntBE(this.parked, at, 6);
    at = into.writeUIntBE(this.parkedBytes, at, 6);
    at = into.writeUInt8(this.hasState ? FLAG_STATE : 0, at);
    at = this.progress.write(into, at);
    at = into.writeUIntBE(this.isStateUnsure ? UNSURE : Math.max(0, this.stateBytes), at, 6);
    into.writeUInt32BE(at - start, start);
    return at;
  }

  /** The consumer of the blob at `start`, the commit that wrote it, and the offset behind it. */
  static read(from: Buffer, start: number): { consumer: Consumer; commit: number; at: number } {
    const end = start + from.readUInt32BE(start);
    const kind = from.readUInt8(start + 4) === UPLINK ? UPLINK : HANDLER;
    const commit = from.readUIntBE(start + 7, 6);
    let at = start + 15 + from.readUInt16BE(start + 13);
    const consumer = new Consumer(kind, from.readUInt16BE(start + 5), from.utf8Slice(start + 15, at));
    const columns = from.readUInt8(at++);
    for (let i = 0; i < columns; i++, at += 8) {
      if (i < COLUMNS) consumer.columns[i] = from.readDoubleBE(at);
    }
    consumer.ordinals = from.readUIntBE(at, 6);
    consumer.committed = consumer.ordinals;
    consumer.nextSeq = from.readUIntBE(at + 6, 6);
    consumer.tail = from.readUIntBE(at + 12, 6);
    consumer.bytes = from.readUIntBE(at + 18, 6);
    consumer.parked = from.readUIntBE(at + 24, 6);
    consumer.parkedBytes = from.readUIntBE(at + 30, 6);
    consumer.hasState = (from.readUInt8(at + 36) & FLAG_STATE) !== 0;
    const read = Progress.read(from, at + 37);
    consumer.progress = read.progress;
    // Those of before had no count.
    const stateBytes = read.at + 6 <= end ? from.readUIntBE(read.at, 6) : UNSURE;
    if (stateBytes === UNSURE) consumer.stateUnsure = 1;
    else consumer.stateBytes = stateBytes;
    consumer.taken = consumer.progress.base;
    return { consumer, commit, at: end };
  }
}

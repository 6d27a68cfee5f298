/**
 * What tasks came to (record.ts), kept for replays as long as their events are: rows of entries, each written in the commit
 * that settles its tasks (G2). Rows are placed by bytes: a row's *offset* is how many bytes of entries were written before
 * it, so what is kept is the difference of two keys, and a place in the middle of a row is a number too.
 *
 *     key    letter, u48 offset, u48 time (milliseconds since 1970), u48 highest number of an event, u32 bytes
 *     row    seal, entries
 *
 * They are for replays alone: a damaged row is reported and passed over, and nothing else depends on it. At a limit of their
 * own, and when the journal needs the room and has no settled event to give, the oldest go.
 */
import type { Failure, Output, Task } from "../task.ts";
import type { Consumer } from "./consumer.ts";
import type { Group } from "./group.ts";
import { keys } from "./keys.ts";
import type { RecordKey } from "./keys.ts";
import { recordBytesMax, writeRecord } from "./record.ts";
import type { Before } from "./record.ts";
import { seal, SEAL_BYTES } from "./seal.ts";
import type { States } from "./state.ts";

const ROW_BYTES_MAX = 64 * 1024;
/** Memory for rows that is kept for the next ones: a busy journal writes hundreds a second. */
const SPARE_MAX = 8;
const NO_OUTPUTS: readonly Output[] = [];
const NOT_IN_MEMORY: Before = { at: "unknown" };

export interface RecordLimits {
  /** 0: nothing is recorded. */
  readonly bytesMax: number;
}

export class Records {
  readonly bytesMax: number;
  readonly #states: States;
  readonly #now: () => number;
  #into = Buffer.allocUnsafeSlow(1024);
  readonly #spare: Buffer<ArrayBuffer>[] = [];
  #at = SEAL_BYTES;
  #seqMax = 0;
  /** Of the next row, and of the oldest that is kept. */
  next = 0;
  first = 0;
  /** Since start: entries, and rows that were let go of before their events. */
  entries = 0;
  droppedEarly = 0;

  constructor({ bytesMax }: RecordLimits, states: States, now: () => number) {
    this.bytesMax = bytesMax;
    this.#states = states;
    this.#now = now;
  }

  get bytes(): number {
    return this.next - this.first;
  }

  /** At start: the oldest and the newest row. */
  found(oldest: RecordKey, newest: RecordKey): void {
    this.first = oldest.offset;
    this.next = newest.offset + newest.bytes;
  }

  /** Stages what the task came to. Before its state is staged: that is what it was run with. */
  stage(
    group: Group,
    handler: Consumer,
    task: Task,
    came: {
      readonly startMs: number;
      readonly version: number;
      readonly after?: string | undefined;
      readonly outputs?: readonly Output[];
      readonly failure?: Failure;
    },
  ): void {
    if (this.bytesMax === 0 || came.startMs === 0) return;
    const before = this.#states.peek(handler, task.key, came.startMs) ?? NOT_IN_MEMORY;
    const { startMs, version, after, outputs = NO_OUTPUTS, failure } = came;
    const whole = { startMs, version, before, after, outputs, failure };
    const needed = this.#at + recordBytesMax(task, whole);
    if (needed > this.#into.length) {
      if (this.#at > SEAL_BYTES && needed > ROW_BYTES_MAX) this.cut(group);
      this.#grow(this.#at + needed);
    }
    const start = this.#at;
    this.#at = writeRecord(this.#into, start, task, whole);
    group.bytes += this.#at - start;
    group.dirty = true;
    if (task.seq > this.#seqMax) this.#seqMax = task.seq;
    this.entries++;
  }

  /** Puts what was staged into the group's batch. */
  cut(group: Group): void {
    const bytes = this.#at;
    if (bytes === SEAL_BYTES) return;
    const key = keys.record({ offset: this.next, timeMs: this.#now(), seqMax: this.#seqMax, bytes });
    const row = this.#into.subarray(0, bytes);
    group.operations.push({ type: "put", key, value: seal(key, row) });
    // Not a copy, and not new memory for each either: both are work, for the garbage collector most of all.
    group.lent.push(this.#into);
    this.#into = this.#spare.pop() ?? Buffer.allocUnsafeSlow(1024);
    this.next += bytes;
    this.#at = SEAL_BYTES;
    this.#seqMax = 0;
  }

  /** The group is on disk, and nobody looks at its rows any more. One large entry must not hold its memory for ever. */
  landed({ lent }: Group): void {
    for (const row of lent) {
      if (this.#spare.length < SPARE_MAX && row.length <= 2 * ROW_BYTES_MAX) this.#spare.push(row);
    }
  }

  #grow(needed: number): void {
    if (needed <= this.#into.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(ROW_BYTES_MAX, this.#into.length * 4)));
    this.#into.copy(grown, 0, 0, this.#at);
    this.#into = grown;
  }
}

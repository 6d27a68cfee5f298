/**
 * Feeds: the view that one consumer has of its log. What is in memory is a window; the rest stays on disk.
 *
 * A feed is *live* while it has seen all that is committed: each commit then offers it the pages with something of its
 * own. When the window is full it stops being live and forgets the offers; when the window has been drained by half it
 * reads on from disk, and is live again once it has read as far as the last commit. Ordinals are dense, so "as far as"
 * is one comparison, and a jump in them is a loss that is counted (F3).
 *
 * F1  Every task that is not settled is handed out, once per feed, in the order of its number.
 * F2  Nothing is handed out that is not on disk, nor anything that is settled.
 * F3  What the log has lost is settled as dropped at the moment when its turn would have come.
 * F4  Between the oldest task in hand and the next one lie at most `handMax` tasks: progress stays small.
 */
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import { isClosed } from "./disk.ts";
import type { LogReader } from "./log.ts";
import type { Page, Slice } from "./page.ts";

export interface FeedLimits {
  /** Tasks or entries in memory, and their bytes; at least one page is always held. */
  readonly tasksMax: number;
  readonly bytesMax: () => number;
  /** F4. */
  readonly handMax: number;
}

export interface FeedDoors {
  readonly reader: LogReader;
  readonly limits: FeedLimits;
  /** Number of the next record that a commit of this log will bring. */
  readonly head: () => number;
  /** Bytes that commits have brought to this log since start. */
  readonly position: () => number;
  /** The consumer's progress or columns have changed. */
  readonly touched: (consumer: Consumer) => void;
  /** Reading fails; it is tried again. */
  readonly failed: (error: unknown) => void;
  readonly closed: () => void;
}

const LOST = -1;
/** How far back the pages may reach that live feeds share. */
const SHARED_BYTES_MAX = 32 * 1024 * 1024;
/** A backlog that could not be read is tried again after so long. */
const REREAD_MS = 1000;

export abstract class Feed {
  protected readonly consumer: Consumer;
  protected readonly doors: FeedDoors;
  readonly #log: number;
  readonly #wake: () => void;
  #queue: Slice[] = [];
  #front = 0;
  /** Position in the front slice. */
  protected at = 0;
  #bytes = 0;
  #size = 0;
  /** Ordinal of the next task that is to enter the queue, and the first record that may be it. */
  #next: number;
  #nextSeq: number;
  #live = false;
  /** Where the log was, in bytes, when the front of the queue was committed: its pages are shared with other feeds. */
  #sharedSince = 0;
  #reading = false;
  /** take() found nothing: the next thing to take is worth a call of wake(). */
  #starving = true;
  #closed = false;

  constructor(consumer: Consumer, log: number, doors: FeedDoors, wake: () => void) {
    this.consumer = consumer;
    this.doors = doors;
    this.#log = log;
    this.#wake = wake;
    this.#next = consumer.progress.base;
    this.#nextSeq = consumer.baseSeq;
    this.#live = consumer.committed === this.#next;
    this.#refill();
  }

  /** Tasks in memory that can be taken, settled ones among them counted until they are passed. */
  get size(): number {
    return this.#size;
  }

  get waiting(): number {
    return this.consumer.waiting;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** This consumer's part of a page, where it has one. `fromDisk`: nobody else holds the page. */
  protected abstract sliceOf(page: Page, fromDisk: boolean): Slice | undefined;

  /** Whether the consumer may be handed anything at the moment. */
  protected abstract get open(): boolean;

  /** A slice has entered the window. */
  protected entered(_slice: Slice): void {}

  /** The slice and position of the next task, or undefined when there is none in memory. */
  protected next(): Slice | undefined {
    while (this.#front < this.#queue.length && this.open) {
      const slice = this.#queue[this.#front] as Slice;
      const { progress } = this.consumer;
      const ordinal = slice.ordinal + this.at;
      if (slice.places === LOST) {
        if (!this.#passLost(slice)) break;
        continue;
      }
      if (this.at >= slice.count) {
        this.#pass(slice);
        continue;
      }
      if (ordinal - progress.base >= this.doors.limits.handMax) break;
      if (progress.isSettled(ordinal)) {
        this.step(slice);
        continue;
      }
      return slice;
    }
    this.#starving = true;
    this.#refill();
    return undefined;
  }

  /** Goes on behind the task at the current position. */
  protected step(_slice: Slice): void {
    this.at++;
    this.#size--;
  }

  /** A commit brought `slice`, a part of `page`. */
  offer(slice: Slice, last: number): void {
    if (!this.#live) return;
    if (this.#size > 0 && (this.#bytes + slice.bytes > this.doors.limits.bytesMax() || this.#isFull())) {
      this.#live = false;
      return;
    }
    if (this.#size === 0) this.#sharedSince = this.doors.position();
    else this.letGo();
    if (this.#live) this.#push(slice, last);
  }

  /**
   * Pages that were offered are shared by all feeds that are live. One that falls behind must not keep them: it lets go
   * of all but the front of its queue, and reads the rest from disk.
   */
  letGo(): void {
    if (!this.#live || this.#size === 0 || this.doors.position() - this.#sharedSince < SHARED_BYTES_MAX) return;
    const second = this.#queue[this.#front + 1];
    this.#sharedSince = this.doors.position();
    if (second === undefined) return;
    this.#live = false;
    for (let i = this.#front + 1; i < this.#queue.length; i++) {
      const slice = this.#queue[i] as Slice;
      this.#size -= slice.count;
      this.#bytes -= slice.bytes;
    }
    this.#queue.length = this.#front + 1;
    this.#next = second.ordinal;
    this.#nextSeq = second.first;
    this.#refill();
  }

  /** After a commit that offered something, settled something or made room: wakes the consumer if it can go on. */
  landed(): void {
    if (!this.#starving || this.#closed || this.#front >= this.#queue.length || !this.open) return;
    const slice = this.#queue[this.#front] as Slice;
    const { base } = this.consumer.progress;
    const first = slice.ordinal + this.at;
    const last = slice.places === LOST && base < slice.ordinal ? slice.ordinal + slice.count - 1 : first;
    if (last - base >= this.doors.limits.handMax) return;
    this.#starving = false;
    this.#wake();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.doors.closed();
    this.#queue = [];
    this.#front = 0;
    this.#size = 0;
    this.#bytes = 0;
  }

  #isFull(): boolean {
    return this.#size >= this.doors.limits.tasksMax || this.#bytes >= this.doors.limits.bytesMax();
  }

  #push(slice: Slice, last: number): void {
    if (slice.ordinal > this.#next) this.#lose(slice.ordinal);
    this.#queue.push(slice);
    this.#size += slice.count;
    this.#bytes += slice.bytes;
    this.#next = slice.ordinal + slice.count;
    this.#nextSeq = last + 1;
    this.entered(slice);
  }

  #pass(slice: Slice): void {
    this.#bytes -= slice.bytes;
    this.#queue[this.#front++] = PASSED;
    this.at = 0;
    if (this.#front > 64 && this.#front * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#front);
      this.#front = 0;
    }
    this.#refill();
  }

  // --- what is lost (F3)

  /** Tasks from the next one up to `ordinal` are in no sound page. */
  #lose(ordinal: number): void {
    const count = ordinal - this.#next;
    this.#queue.push({ page: EMPTY, first: this.#nextSeq, count, ordinal: this.#next, places: LOST, bytes: 0 });
    this.#size += count;
    this.#next = ordinal;
  }

  /** False when tasks in hand must be settled first, lest the window grow by what is lost. */
  #passLost(slice: Slice): boolean {
    const { consumer } = this;
    const end = slice.ordinal + slice.count;
    const { base } = consumer.progress;
    let lost = 0;
    if (base >= slice.ordinal) {
      lost = consumer.settleBelow(end, slice.first);
    } else {
      if (end - base > this.doors.limits.handMax) return false;
      for (let ordinal = slice.ordinal; ordinal < end; ordinal++) if (consumer.progress.settle(ordinal)) lost++;
    }
    consumer.add(COLUMN.droppedDamaged, lost);
    this.#size -= slice.count;
    this.at = 0;
    this.#front++;
    this.doors.touched(consumer);
    return true;
  }

  // --- reading back from disk

  #refill(): void {
    if (this.#live || this.#reading || this.#closed) return;
    if (
      this.#size > 0 &&
      (this.#size * 2 > this.doors.limits.tasksMax || this.#bytes * 2 > this.doors.limits.bytesMax())
    )
      return;
    this.#reading = true;
    void this.#read().catch((error: unknown) => {
      if (isClosed(error)) return;
      this.doors.failed(error);
      setTimeout(() => this.#refill(), REREAD_MS);
    });
  }

  async #read(): Promise<void> {
    const { consumer } = this;
    try {
      for (;;) {
        const head = this.doors.head();
        const ordinals = consumer.committed;
        let full = false;
        await this.doors.reader.readShared(this.#log, this.#nextSeq, head, (page) => {
          if (this.#closed) return false;
          this.#skipDropped();
          const slice = this.sliceOf(page, true);
          const last = page.first + page.count - 1;
          if (slice !== undefined && slice.ordinal + slice.count > this.#next) this.#push(slice, last);
          else if (this.#nextSeq <= last) this.#nextSeq = last + 1;
          full = this.#isFull();
          return !full;
        });
        if (this.#closed) return;
        this.#skipDropped();
        if (full) break;
        if (this.#nextSeq < head) this.#nextSeq = head;
        if (ordinals > this.#next) this.#lose(ordinals);
        if (this.#next === consumer.committed) {
          this.#live = true;
          break;
        }
      }
    } finally {
      this.#reading = false;
    }
    this.landed();
  }

  /** What was dropped or expired meanwhile, before it was read, is not lost. */
  #skipDropped(): void {
    const { progress } = this.consumer;
    if (progress.base > this.#next) {
      this.#next = progress.base;
      this.#nextSeq = Math.max(this.#nextSeq, this.consumer.baseSeq);
    }
  }
}

const EMPTY = Buffer.alloc(0);
/** Stands in the queue where a slice was, so that the queue does not hold its page. */
const PASSED: Slice = { page: EMPTY, first: 0, count: 0, ordinal: 0, places: LOST, bytes: 0 };

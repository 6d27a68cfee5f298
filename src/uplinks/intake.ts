/**
 * The loop's end of the outbox: hands out entries in order, and gives up those that are past their age or do not fit any
 * more (`buffer:`). What came back unacknowledged is put back in front: no more than was outstanding, and an outage of
 * days reads nothing from disk twice.
 */
import type { OutboxEntry } from "../task.ts";
import { CLOCK_UNSET_BEFORE_MS } from "../time.ts";
import type { Clock } from "../time.ts";
import type { DeliverySettings } from "./delivery-settings.ts";
import { ENVELOPE_BYTES } from "./envelope.ts";
import type { OutboxFeed, Receipt } from "./outbox.ts";

/** Most entries that are given up in one go; the rest follows when others have had their turn. */
const GIVEN_UP_MAX = 2048;
/** One that was full is full until it has so much room again: of the come and go at the limit nothing is to be told. */
const ROOM_SHARE = 0.25;

export interface IntakeOptions {
  readonly buffer: DeliverySettings["buffer"];
  readonly clock: Clock;
  /** Opens the feed. */
  readonly outbox: (wake: () => void) => OutboxFeed;
  readonly handIn: (receipts: readonly Receipt[]) => void;
  /** There is something to take again. */
  readonly wake: () => void;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #feed: OutboxFeed;
  /** Goes before the feed, from `#heldAt` on. */
  #held: readonly OutboxEntry[] = [];
  #heldAt = 0;
  #expired: Receipt[] = [];
  #isFull = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#feed = options.outbox(options.wake);
  }

  get waiting(): number {
    return this.#feed.waiting;
  }

  get waitingBytes(): number {
    return this.#feed.waitingBytes;
  }

  get atLimit(): boolean {
    return this.#feed.waitingBytes >= this.#options.buffer.sizeMax;
  }

  /** It has been at `sizeMax`, whatever is done about it, and has had no room to speak of since. */
  get full(): boolean {
    const { sizeMax } = this.#options.buffer;
    this.#isFull = this.#feed.waitingBytes >= (this.#isFull ? sizeMax * (1 - ROOM_SHARE) : sizeMax);
    return this.#isFull;
  }

  /** Entries have to be dropped before more are sent. Only what is not on its way can be. */
  get overflowing(): boolean {
    const { sizeMax, whenFull } = this.#options.buffer;
    const isOver = this.#feed.waitingBytes > sizeMax;
    this.#isFull ||= isOver;
    return whenFull === "drop-oldest" && isOver;
  }

  /** The next entry that is not past its age. */
  take(): OutboxEntry | undefined {
    const oldestMs = this.#options.clock.now() - this.#options.buffer.ageMax;
    const entry = this.#next(oldestMs);
    this.#flush();
    return entry;
  }

  /** Up to `countMax` entries of about `bytesMax` in all; a bigger one by itself. */
  batch(countMax: number, bytesMax: number): { readonly entries: OutboxEntry[]; readonly bytes: number } {
    const oldestMs = this.#options.clock.now() - this.#options.buffer.ageMax;
    const entries: OutboxEntry[] = [];
    let bytes = 0;
    while (entries.length < countMax) {
      const entry = this.#next(oldestMs);
      if (entry === undefined) break;
      const more = entry.data.length + ENVELOPE_BYTES;
      if (entries.length > 0 && bytes + more > bytesMax) {
        this.putBack([entry]);
        break;
      }
      entries.push(entry);
      bytes += more;
    }
    this.#flush();
    return { entries, bytes };
  }

  /** Gives up what is past its age or does not fit. Nothing is outstanding. */
  tidy(): void {
    if (this.#feed.waiting === 0) return;
    const oldest = this.take();
    if (oldest !== undefined) this.putBack([oldest]);
    if (this.overflowing) this.drop();
  }

  /** Drops the oldest entries until the rest fits. Nothing is outstanding. */
  drop(): void {
    let dropped = 0;
    while (this.overflowing && dropped < GIVEN_UP_MAX) {
      const receipts: Receipt[] = [];
      // The journal frees whole pages: what is freed may be less than asked for, and then it is asked again.
      let excess = this.#feed.waitingBytes - this.#options.buffer.sizeMax;
      while (excess > 0 && dropped + receipts.length < GIVEN_UP_MAX) {
        const entry = this.#first();
        if (entry === undefined) break;
        receipts.push({ seq: entry.seq, verdict: "dropped" });
        excess -= entry.data.length;
      }
      if (receipts.length === 0) return;
      this.#options.handIn(receipts);
      dropped += receipts.length;
    }
    if (this.overflowing) setImmediate(this.#options.wake);
  }

  /** Entries that were taken and have no receipt, in order, all older than what is still to be taken. */
  putBack(entries: readonly OutboxEntry[]): void {
    this.#held = this.#heldAt < this.#held.length ? [...entries, ...this.#held.slice(this.#heldAt)] : entries;
    this.#heldAt = 0;
  }

  close(): void {
    this.#feed.close();
  }

  #first(): OutboxEntry | undefined {
    while (this.#heldAt < this.#held.length) {
      const entry = this.#held[this.#heldAt++] as OutboxEntry;
      // The journal may have given it up meanwhile, and then it is counted as dropped: it must not be sent as well (G4).
      if (this.#feed.isWaiting(entry.seq)) return entry;
    }
    // Entries are views: what has left must not keep its pages in memory.
    if (this.#heldAt > 0) this.putBack(NONE);
    return this.#feed.take();
  }

  #next(oldestMs: number): OutboxEntry | undefined {
    for (;;) {
      const entry = this.#first();
      if (entry === undefined || entry.timeMs >= oldestMs || entry.timeMs < CLOCK_UNSET_BEFORE_MS) return entry;
      this.#expired.push({ seq: entry.seq, verdict: "expired" });
      if (this.#expired.length < GIVEN_UP_MAX) continue;
      setImmediate(this.#options.wake);
      return undefined;
    }
  }

  #flush(): void {
    if (this.#expired.length === 0) return;
    const expired = this.#expired;
    this.#expired = [];
    this.#options.handIn(expired);
  }
}

const NONE: readonly OutboxEntry[] = [];

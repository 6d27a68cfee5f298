/**
 * The loop's end of the outbox: hands out entries in order, and gives up those that are past their age or do not fit any
 * more (`buffer:`). Looking at the oldest entry costs no rewind, for it is held until it is taken.
 */
import type { OutboxEntry } from "../task.ts";
import type { Clock } from "../time.ts";
import type { DeliverySettings } from "./delivery-settings.ts";
import { ENVELOPE_BYTES } from "./envelope.ts";
import type { OutboxFeed, Receipt } from "./outbox.ts";

/** Most entries that are given up in one go; the rest follows when others have had their turn. */
const GIVEN_UP_MAX = 2048;
/** Before a box without a battery has the time from the network, its clock shows a year before this: no age can be told. */
const CLOCK_UNSET_BEFORE_MS = Date.UTC(2024, 0, 1);

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
  #held: OutboxEntry | undefined;
  #expired: Receipt[] = [];

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

  /** At `sizeMax`, whatever is done about it. */
  get full(): boolean {
    return this.#feed.waitingBytes >= this.#options.buffer.sizeMax;
  }

  /** Entries have to be dropped before more are sent. Only what is not on its way can be. */
  get overflowing(): boolean {
    const { sizeMax, whenFull } = this.#options.buffer;
    return whenFull === "drop-oldest" && this.#feed.waitingBytes > sizeMax;
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
        this.#held = entry;
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
    this.#held = this.take();
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
        const entry = this.#held ?? this.#feed.take();
        this.#held = undefined;
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

  /** Everything taken and without a receipt will be taken again, in order. */
  rewind(): void {
    this.#held = undefined;
    this.#feed.rewind();
  }

  close(): void {
    this.#feed.close();
  }

  #next(oldestMs: number): OutboxEntry | undefined {
    for (;;) {
      const entry = this.#held ?? this.#feed.take();
      this.#held = undefined;
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

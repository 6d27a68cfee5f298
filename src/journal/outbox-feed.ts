/**
 * An uplink's feed of outputs.
 */
import type { OutboxEntry } from "../task.ts";
import type { Consumer } from "./consumer.ts";
import { Feed } from "./feed.ts";
import type { FeedDoors } from "./feed.ts";
import { outputRecord, readOutput } from "./output.ts";
import { page, PAGE_HEADER_BYTES } from "./page.ts";
import type { Page, Slice } from "./page.ts";

export interface OutboxFeed {
  /** The next entry in the order of numbers, or undefined when none is in memory: `wake` tells when there is again. */
  take(): OutboxEntry | undefined;
  /** Entries in memory that can be taken. */
  readonly size: number;
  /** Entries without a receipt, in memory and on disk, taken or not. */
  readonly waiting: number;
  /** Bytes of their pages. */
  readonly waitingBytes: number;
  /** False once the entry has a receipt or was given up. */
  isWaiting(seq: number): boolean;
  close(): void;
}

export class UplinkFeed extends Feed implements OutboxFeed {
  readonly #pages: Page[];
  /** Offset of the next record in the front slice, 0 at its start. */
  #offset = 0;

  /** `pages` gets every page that enters the window; whoever settles takes it out again. */
  constructor(consumer: Consumer, doors: FeedDoors, pages: Page[], wake: () => void) {
    super(consumer, consumer.id, doors, wake);
    this.#pages = pages;
  }

  get waitingBytes(): number {
    return this.consumer.bytes;
  }

  isWaiting(seq: number): boolean {
    return !this.consumer.progress.isSettled(seq);
  }

  protected override get open(): boolean {
    return true;
  }

  protected override sliceOf(of: Page, _fromDisk: boolean): Slice {
    return { page: of.page, first: of.first, count: of.count, ordinal: of.first, places: 0, bytes: of.page.length };
  }

  protected override entered(slice: Slice): void {
    this.#pages.push(page.of(slice.page));
  }

  /** The commit brought a page of this outbox. */
  offerPage(of: Page): void {
    this.offer(this.sliceOf(of, false), of.first + of.count - 1);
  }

  take(): OutboxEntry | undefined {
    const slice = this.next();
    if (slice === undefined) return undefined;
    const seq = slice.ordinal + this.at;
    if (this.at === 0) this.#offset = PAGE_HEADER_BYTES;
    const entry = readOutput(slice.page, this.#offset, seq);
    this.consumer.take(seq, seq);
    this.step(slice);
    return entry;
  }

  protected override step(slice: Slice): void {
    if (this.at === 0) this.#offset = PAGE_HEADER_BYTES;
    this.#offset += outputRecord.length(slice.page, this.#offset);
    super.step(slice);
  }
}

/**
 * A handler's feed of tasks.
 */
import { createHash } from "node:crypto";
import { eventRecord } from "../event.ts";
import type { Task } from "../task.ts";
import type { Consumer } from "./consumer.ts";
import { Feed } from "./feed.ts";
import type { FeedDoors } from "./feed.ts";
import { EVENTS } from "./log.ts";
import { page } from "./page.ts";
import type { Page, Slice } from "./page.ts";

export interface TaskFeed {
  /** The next task in the order of events, or undefined when none is in memory: `wake` tells when there is again. */
  take(): Task | undefined;
  /** Tasks in memory that can be taken. */
  readonly size: number;
  /** Tasks in memory and on disk, those in hand included, parked ones not. */
  readonly waiting: number;
  close(): void;
}

/** A key is a row's name on disk. Longer ones are told apart by their hash. */
const KEY_BYTES_MAX = 16_384;

export class HandlerFeed extends Feed implements TaskFeed {
  readonly #keyOf: (topic: string, device: string) => string;
  readonly #mayPark: (consumer: Consumer) => boolean;

  constructor(
    consumer: Consumer,
    doors: FeedDoors,
    keyOf: (topic: string, device: string) => string,
    mayPark: (consumer: Consumer) => boolean,
    wake: () => void,
  ) {
    super(consumer, EVENTS, doors, wake);
    this.#keyOf = keyOf;
    this.#mayPark = mayPark;
  }

  /** While as many tasks are parked as may be, no more are handed out that could join them. */
  protected override get open(): boolean {
    return this.#mayPark(this.consumer);
  }

  protected override sliceOf(of: Page, fromDisk: boolean): Slice | undefined {
    const slice = page.sliceOf(of.first, of.page, this.consumer.id);
    return slice !== undefined && fromDisk && slice.count * 4 < of.count ? page.extract(slice) : slice;
  }

  take(): Task | undefined {
    const slice = this.next();
    if (slice === undefined) return undefined;
    const seq = page.seq(slice, this.at);
    const at = page.offset(slice, this.at);
    const { consumer } = this;
    consumer.take(slice.ordinal + this.at, seq);
    this.step(slice);
    const key = boundedKey(this.#keyOf(eventRecord.topic(slice.page, at), eventRecord.device(slice.page, at)));
    return { handler: consumer.id, seq, page: slice.page, at, key, attempt: 0, parked: false };
  }
}

function boundedKey(key: string): string {
  if (key.length * 3 <= KEY_BYTES_MAX || Buffer.byteLength(key) <= KEY_BYTES_MAX) return key;
  return `sha256:${createHash("sha256").update(key).digest("hex")}`;
}

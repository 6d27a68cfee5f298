/**
 * One group commit in the making: everything that is staged between two writes, and who waits for it.
 */
import type { Fault } from "../fault.ts";
import type { Consumer } from "./consumer.ts";
import type { Page } from "./page.ts";
import type { Operation } from "./store.ts";

/** Hears that the thing staged under `tag` is on disk (`fault` undefined), or will never be. */
export interface Receiver {
  committed(tag: number, fault: Fault | undefined): void;
}

/** Worth a write of its own. */
const ENOUGH_BYTES = 16 * 1024;

export class Group {
  /** Number of the commit that it becomes. */
  readonly number: number;
  readonly operations: Operation[] = [];
  /** Waiting for the commit, in the order of arrival. */
  readonly receivers: Receiver[] = [];
  readonly tags: number[] = [];
  /** Changed by it, each once. */
  readonly consumers: Consumer[] = [];
  /** Its finished pages, each log's in order. */
  readonly pages: Page[] = [];
  readonly waiters: (() => void)[] = [];
  /** Memory of its records' rows, which is filled again once they are on disk. */
  readonly lent: Buffer<ArrayBuffer>[] = [];
  /** Payload and output bytes staged, about. */
  bytes = 0;
  /** Number of the next event, and tasks accepted, as of its cut. */
  head = 0;
  accepted = 0;
  /** Something has been staged that must be written. */
  dirty = false;

  constructor(number: number) {
    this.number = number;
  }

  /** Somebody waits for it, or there is enough of it. */
  get isAwaited(): boolean {
    return this.receivers.length > 0 || this.waiters.length > 0 || this.bytes > ENOUGH_BYTES;
  }

  touch(consumer: Consumer): void {
    this.dirty = true;
    if (consumer.group === this.number) return;
    consumer.group = this.number;
    consumer.unchecked = true;
    this.consumers.push(consumer);
  }

  put(key: Buffer, value: Buffer): void {
    this.dirty = true;
    this.bytes += value.length;
    this.operations.push({ type: "put", key, value });
  }

  del(key: Buffer): void {
    this.dirty = true;
    this.operations.push({ type: "del", key });
  }

  receive(receiver: Receiver, tag: number): void {
    this.dirty = true;
    this.receivers.push(receiver);
    this.tags.push(tag);
  }
}

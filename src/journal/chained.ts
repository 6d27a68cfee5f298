/**
 * Room for events that outputs make. How long a chain gets is limited (tasks/chain.ts), and how wide is not: a handler
 * that publishes a hundred times to a topic of its own would fill the journal from one event, and devices would be
 * refused. So what a handler's outputs have made may take a share of the journal while it waits, and what all handlers'
 * have made a larger one; the rest is for what comes from outside.
 *
 * What waits is known by who listens: an event below the listener's base is through, whether it was run, dropped, or is
 * too old. Counted from the start of the process on: what waited then is not in it.
 */
import type { Consumer } from "./consumer.ts";

/** Of sizeMax: one handler's, and all handlers'. */
const SHARE = 0.25;
const SHARE_OF_ALL = 0.5;
/** Events are let go of by so much of sizeMax at a time. */
const GRAIN = 1 / 256;

/** Events of one handler for another: number of the last one, and the bytes of all. */
interface Stretch {
  last: number;
  bytes: number;
}

/** By who listens, oldest first. */
type Waiting = Map<number, Stretch[]>;

export class Chained {
  readonly #sizeMaxBytes: number;
  readonly #handlers: readonly (Consumer | undefined)[];
  /** By who made them. */
  readonly #made = new Map<number, { bytes: number; readonly waiting: Waiting }>();
  #bytes = 0;
  /** Since start. */
  events = 0;

  constructor(sizeMaxBytes: number, handlers: readonly (Consumer | undefined)[]) {
    this.#sizeMaxBytes = sizeMaxBytes;
    this.#handlers = handlers;
  }

  /** Whether outputs of the handler may make further events. */
  takes(handler: number): boolean {
    const own = this.#made.get(handler);
    if (own !== undefined && own.bytes >= this.#sizeMaxBytes * SHARE) {
      this.#letGo(own);
      if (own.bytes >= this.#sizeMaxBytes * SHARE) return false;
    }
    if (this.#bytes < this.#sizeMaxBytes * SHARE_OF_ALL) return true;
    for (const each of this.#made.values()) this.#letGo(each);
    return this.#bytes < this.#sizeMaxBytes * SHARE_OF_ALL;
  }

  /** An output of the handler has made event `seq`, of so many bytes, for those who listen. */
  made(handler: number, seq: number, bytes: number, listeners: readonly number[]): void {
    this.events++;
    let own = this.#made.get(handler);
    if (own === undefined) this.#made.set(handler, (own = { bytes: 0, waiting: new Map() }));
    const each = bytes / listeners.length;
    for (const listener of listeners) {
      let stretches = own.waiting.get(listener);
      if (stretches === undefined) own.waiting.set(listener, (stretches = []));
      const newest = stretches.at(-1);
      if (newest === undefined || newest.bytes >= this.#sizeMaxBytes * GRAIN)
        stretches.push({ last: seq, bytes: each });
      else {
        newest.last = seq;
        newest.bytes += each;
      }
    }
    own.bytes += bytes;
    this.#bytes += bytes;
  }

  #letGo(own: { bytes: number; readonly waiting: Waiting }): void {
    for (const [listener, stretches] of own.waiting) {
      const consumer = this.#handlers[listener];
      const base = consumer === undefined || consumer.waiting === 0 ? Infinity : consumer.baseSeq;
      while (stretches[0] !== undefined && stretches[0].last < base) {
        const { bytes } = stretches.shift() as Stretch;
        own.bytes -= bytes;
        this.#bytes -= bytes;
      }
      if (stretches.length === 0) own.waiting.delete(listener);
    }
  }
}

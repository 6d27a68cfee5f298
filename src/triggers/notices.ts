/**
 * Notices: what happens in the gateway, as events for the handlers that wait for it.
 *
 * A notice is on its way to the journal at once, but nobody waits for it: what happens in the last milliseconds before a
 * crash may go unsaid. Floods are bounded: of each sort so many a second, and what is more is counted, in the metric and in the
 * next notice of the sort. One that a handler's failure makes is a hop of its chain (decision 16), so a handler that waits for its own failures ends.
 */
import { eventRecord, lineageOf } from "../event.ts";
import type { EventDraft } from "../event.ts";
import type { Failure, Task } from "../task.ts";
import type { Clock } from "../time.ts";
import { innerTopic } from "./inner.ts";
import type { Notice, OnTrigger } from "./on.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface NoticesOptions {
  readonly on: OnTrigger;
  /** False when the journal takes no event. */
  readonly accept: (event: EventDraft, wanted: readonly number[]) => boolean;
  readonly hopsMax: number;
  readonly clock: Clock;
}

export interface NoticesFigures {
  readonly notices: number;
  /** What happened and made no event, by why: too often, the end of a chain, no room. */
  readonly suppressed: Readonly<Record<"rate" | "hops" | "room", number>>;
}

/** Notices of one sort a second, and at once after a pause. */
export const NOTICES_PER_SECOND = 50;
export const NOTICES_BURST = 200;
/** In a lineage, where an output has its position: from here on, with the number of the dead letter added. */
const FAILURE = 0x1_0000;

interface Origin {
  readonly hops: number;
  readonly lineage: string;
}

export class Notices {
  readonly #options: NoticesOptions;
  readonly #rates = new Map<Notice, TokenBucket>();
  /** Since the last notice of the sort. */
  readonly #unsaid = new Map<Notice, number>();
  readonly #suppressed = { rate: 0, hops: 0, room: 0 };
  #notices = 0;

  constructor(options: NoticesOptions) {
    this.#options = options;
  }

  figures(): NoticesFigures {
    return { notices: this.#notices, suppressed: { ...this.#suppressed } };
  }

  /** `subject`: the device, uplink, handler or file that it is about, or "". `data` is JSON. */
  tell(what: Notice, subject: string, data: Readonly<Record<string, unknown>>, device = "", origin?: Origin): void {
    const { on, accept, clock, hopsMax } = this.#options;
    const topic = innerTopic("on", what, subject);
    const wanted = on.match(topic);
    if (wanted.length === 0) return;
    if (origin !== undefined && origin.hops > hopsMax) {
      this.#suppressed.hops++;
      return;
    }
    if (!this.#rateOf(what).take(clock.monotonic())) {
      this.#suppress(what, "rate");
      return;
    }
    const suppressed = this.#unsaid.get(what) ?? 0;
    const payload = Buffer.from(JSON.stringify(suppressed === 0 ? data : { ...data, suppressed }));
    const { hops, lineage } = origin ?? { hops: 0, lineage: "" };
    const own = { kind: "on", topic, device, payload, qos: 1, retain: false, hops, timeMs: clock.now() } as const;
    if (!accept(hops === 0 ? own : { ...own, lineage }, wanted)) {
      this.#suppress(what, "room");
      return;
    }
    this.#unsaid.delete(what);
    this.#notices++;
  }

  /** A task of the handler has become that dead letter. Redriven, it may become another: that is another notice. */
  failed(name: string, { handler, seq, page, at, key }: Task, failure: Failure, letter: string): void {
    const hops = eventRecord.hops(page, at) + 1;
    const lineage = lineageOf(seq, eventRecord.lineage(page, at), handler, FAILURE + numberOf(letter));
    const { code, message } = failure;
    const data = { handler: name, code, message, key, topic: eventRecord.topic(page, at) };
    this.tell("handler.failed", name, data, eventRecord.device(page, at), { hops, lineage });
  }

  #suppress(what: Notice, why: "rate" | "room"): void {
    this.#suppressed[why]++;
    this.#unsaid.set(what, (this.#unsaid.get(what) ?? 0) + 1);
  }

  #rateOf(what: Notice): TokenBucket {
    const known = this.#rates.get(what);
    if (known !== undefined) return known;
    const rate = new TokenBucket(NOTICES_PER_SECOND, NOTICES_BURST, this.#options.clock.monotonic());
    this.#rates.set(what, rate);
    return rate;
  }
}

/** The number in a dead letter's id, d12; of 32 bits, for a lineage has so much room. */
function numberOf(letter: string): number {
  return (Number(letter.slice(1)) || 0) % 0x1_0000_0000;
}

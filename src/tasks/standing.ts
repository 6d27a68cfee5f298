/**
 * What is known of how a handler behaves. One that has run for a while without costing an isolate or a runner is
 * *proven*; a new version is not yet, and one that costs something is not any more. Who is not proven runs apart from
 * those who are (places.ts), so that what it does to its runner it does to nobody that has earned better.
 */
import type { Clock } from "../time.ts";

/** So many events, besides the time. */
const EVENTS_MIN = 20;
/** Each offence doubles the time that has to pass without one, up to this. */
const LONGEST_MS = 10 * 60_000;

export class Standing {
  readonly #clock: Clock;
  readonly #afterMs: number;
  #isProven = false;
  #served = 0;
  #offences = 0;
  /** Monotonic: not proven before. */
  #dueMs: number;

  /** `afterMs`: time without an offence after which a new version is proven. */
  constructor(clock: Clock, afterMs: number) {
    this.#clock = clock;
    this.#afterMs = afterMs;
    this.#dueMs = clock.monotonic() + afterMs;
  }

  get isProven(): boolean {
    return this.#isProven;
  }

  /** A batch of `events` is back. True when that is enough: whoever asked is to call `prove` when all is prepared. */
  served(events: number): boolean {
    if (this.#isProven) return false;
    this.#served += events;
    return this.#served >= EVENTS_MIN && this.#clock.monotonic() >= this.#dueMs;
  }

  prove(): void {
    this.#isProven = true;
  }

  /** An event of it has cost an isolate or a runner. True when it was proven until now. */
  offended(): boolean {
    const wasProven = this.#isProven;
    this.#wait(Math.min(LONGEST_MS, this.#afterMs * 2 ** ++this.#offences));
    return wasProven;
  }

  /** Another version: it has to show for itself what it does. */
  renew(): void {
    this.#offences = 0;
    this.#wait(this.#afterMs);
  }

  #wait(ms: number): void {
    this.#isProven = false;
    this.#served = 0;
    this.#dueMs = this.#clock.monotonic() + ms;
  }
}

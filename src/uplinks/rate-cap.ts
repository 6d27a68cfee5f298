/** At most so many entries a second: a bucket of tokens that refills with time and holds one second's worth. */
import type { Clock } from "../time.ts";

/** A timer has an end, and with few enough a second the wait has none. */
const WAIT_MS_MAX = 3_600_000;

export class RateCap {
  readonly #perSecond: number;
  readonly #clock: Clock;
  #tokens: number;
  #atMs: number;

  /** `perSecond` is above 0; Infinity is no cap. */
  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#tokens = Math.max(1, perSecond);
    this.#atMs = clock.monotonic();
  }

  /** How many entries may go now. */
  room(): number {
    if (this.#perSecond === Infinity) return Infinity;
    const nowMs = this.#clock.monotonic();
    const full = Math.max(1, this.#perSecond);
    this.#tokens = Math.min(full, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond);
    this.#atMs = nowMs;
    return Math.floor(this.#tokens);
  }

  spend(entries: number): void {
    this.#tokens -= entries;
  }

  /** Milliseconds until there is room for a worthwhile batch: 20 ms worth of entries, at least one; or to look again. */
  waitMs(): number {
    const wanted = Math.max(1, Math.min(this.#perSecond, this.#perSecond / 50));
    return Math.min(WAIT_MS_MAX, Math.max(1, Math.ceil(((wanted - this.#tokens) / this.#perSecond) * 1000)));
  }
}

/**
 * How many outputs a second a handler may have: a bucket of tokens that refills with time. When it is empty the line hands
 * out nothing; its tasks wait in the journal. Each task in a runner's hands has a token put by, so a handler with one
 * output an event never goes beyond; one with more is behind afterwards, and waits until that is made up for.
 */
import type { Clock } from "../time.ts";

export interface RateLimits {
  readonly outputsPerSecond?: number | undefined;
  readonly outputsBurst?: number | undefined;
}

/** No wait is shorter: tokens that come meanwhile are handed out together. */
const WAIT_MS_MIN = 10;
/** That a handler is held back is said once in so long. */
const SAID_EVERY_MS = 60_000;
/** A timer may come so much early. */
const TIMER_MS = 5;

export class EmitRate {
  readonly #clock: Clock;
  readonly #limits: () => RateLimits;
  /** Undefined: as many as fit. */
  #tokens: number | undefined;
  #filledMs: number;
  /** Since when tasks are held back. */
  #sinceMs: number | undefined;
  #heldMs = 0;
  /** When whoever is held back is woken, and when that was said last. */
  #wakesMs = -Infinity;
  #saidMs = -Infinity;
  /** How often the bucket was found empty, with tasks waiting. */
  spent = 0;

  constructor(clock: Clock, limits: () => RateLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.#filledMs = clock.monotonic();
  }

  /** How long tasks have been held back in all. */
  get heldBackMs(): number {
    return this.#heldMs + (this.#sinceMs === undefined ? 0 : this.#clock.monotonic() - this.#sinceMs);
  }

  /** So many tasks may be handed out, beside `inFlight` that are. */
  room(inFlight: number): number {
    const { outputsPerSecond } = this.#limits();
    if (outputsPerSecond === undefined) return Infinity;
    return Math.floor(this.#fill(outputsPerSecond) - inFlight);
  }

  /** So many outputs are on their way. */
  spend(outputs: number): void {
    const { outputsPerSecond } = this.#limits();
    if (outputsPerSecond !== undefined) this.#tokens = this.#fill(outputsPerSecond) - outputs;
  }

  /**
   * Tasks wait and there is no room. Returns for how long, undefined when a wake comes by then anyway; and whether it is
   * time to say so.
   */
  hold(inFlight: number): { readonly wakeMs: number | undefined; readonly isSaid: boolean } {
    const { outputsPerSecond = 1 } = this.#limits();
    const nowMs = this.#clock.monotonic();
    const isNew = this.#sinceMs === undefined;
    if (isNew) {
      this.spent++;
      this.#sinceMs = nowMs;
    }
    const isSaid = isNew && nowMs - this.#saidMs >= SAID_EVERY_MS;
    if (isSaid) this.#saidMs = nowMs;
    const missing = 1 - (this.#fill(outputsPerSecond) - inFlight);
    const waitMs = Math.max(WAIT_MS_MIN, Math.ceil((missing / outputsPerSecond) * 1000));
    // It waits for less than it did when what was put by for others was not spent.
    const wakesMs = nowMs + waitMs - TIMER_MS;
    const isWoken = nowMs < this.#wakesMs && this.#wakesMs <= wakesMs + TIMER_MS;
    if (!isWoken) this.#wakesMs = wakesMs;
    return { wakeMs: isWoken ? undefined : waitMs, isSaid };
  }

  /** There is room, or nothing waits. */
  go(): void {
    if (this.#sinceMs === undefined) return;
    this.#heldMs += this.#clock.monotonic() - this.#sinceMs;
    this.#sinceMs = undefined;
  }

  #fill(outputsPerSecond: number): number {
    const full = Math.max(1, this.#limits().outputsBurst ?? outputsPerSecond);
    const nowMs = this.#clock.monotonic();
    const tokens = (this.#tokens ?? full) + ((nowMs - this.#filledMs) / 1000) * outputsPerSecond;
    this.#filledMs = nowMs;
    return (this.#tokens = Math.min(full, tokens));
  }
}

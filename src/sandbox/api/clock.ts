/**
 * The time that a handler sees. It begins with the batch's time, which the gateway chose, and stands still while code
 * runs: it moves on only when the isolate was left, by the time waited, and to no later than the first timer's due time.
 * So asking for it costs nothing, what a handler computes cannot be timed by it, and a run is repeated by its start alone.
 *
 * In a captured run nothing is waited for: each timer is due at once, with the clock at its time.
 */
import { floor } from "./primordials.ts";

export class TaskClock {
  #ms: number;

  constructor(startMs: number) {
    this.#ms = startMs;
  }

  /** Milliseconds since 1970, whole ones. */
  readonly now = (): number => floor(this.#ms);

  /** With parts of a millisecond, for what is due. */
  get exactMs(): number {
    return this.#ms;
  }

  set(ms: number): void {
    this.#ms = ms;
  }

  /** `waitedMs` have passed since code last ran; the next timer is due at `dueMs`. */
  pass(waitedMs: number, dueMs: number | undefined): void {
    const then = this.#ms + waitedMs;
    this.#ms = dueMs === undefined || then < dueMs ? then : dueMs > this.#ms ? dueMs : this.#ms;
  }
}

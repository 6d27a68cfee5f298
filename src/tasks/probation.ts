/**
 * Probation: a version that has just come is watched until it has run so many events, and rejected when it fails more of
 * them, or is slower, than it may. Whoever is told takes the version before it back (G6).
 *
 * While it lasts a failure costs an event no try that the version before would have had. What fails as often as it may, or
 * for good, becomes a dead letter, so that its key goes on. When the version is rejected, all that it failed at runs again
 * on the version before: what waits for another try at once, and its dead letters are redriven.
 *
 *   Y1  An event that fails again and again is one failure.
 *   Y2  What the version before failed at as well is not held against this one: its share of failures is allowed on top.
 *   Y3  A version that costs a runner is rejected at once.
 */
import type { Clock } from "../time.ts";
import type { Tally } from "./tally.ts";

export interface ProbationRules {
  /** Over after so many events, when it has lasted so long as well. */
  readonly eventsMax: number;
  readonly leastMs: number;
  /** And after so long; whoever keeps the versions sees to that. */
  readonly timeMs: number;
  /** Share of the events that may fail. */
  readonly errors: number;
  /** So many times as long as the version before it may take, in the mean; 0: as long as it likes. */
  readonly slower: number;
}

export type Verdict =
  | { readonly at: "passed"; readonly events: number }
  | { readonly at: "rejected"; readonly reason: string };

/** Times are compared when both versions have run so many. */
const TIMED_EVENTS_MIN = 20;
/** A mean below this is never slow: that much is the box's mood. */
const SLOW_MS_MIN = 5;
/** Events are remembered as failed, at the most; more than these have been too many long before. */
const FAILED_MAX = 20_000;
/** The version before is believed to fail at events when it has run so many. */
const BELIEVED_MIN = 20;

export class Probation {
  readonly version: number;
  readonly rules: ProbationRules;
  /** Events that ended well; counted by whoever settles them. */
  done = 0;
  readonly #own: Tally;
  readonly #before: Tally | undefined;
  readonly #clock: Clock;
  readonly #startedMs: number;
  /** Tries by sequence number of the event. */
  readonly #failed = new Map<number, number>();
  #verdict: Verdict | undefined;
  #isTold = false;

  /** `own` is filled by whoever runs the version; `before` was by the one before it. */
  constructor(own: Tally, before: Tally | undefined, rules: ProbationRules, clock: Clock) {
    this.version = own.version;
    this.rules = rules;
    this.#own = own;
    this.#before = before;
    this.#clock = clock;
    this.#startedMs = clock.monotonic();
  }

  /** So many events may fail, of those that it is over after, or of those that have run by now. */
  get failuresMax(): number {
    const { errors } = this.rules;
    const eventsMax = Math.max(this.rules.eventsMax, this.#events);
    const before = this.#before !== undefined && this.#before.ran >= BELIEVED_MIN ? this.#before.failedShare : 0;
    return Math.floor(eventsMax * Math.min(1, errors + before));
  }

  /** It lasts so long yet, however many events it has run; 0: only events are wanting. */
  get leastLeftMs(): number {
    return Math.max(0, this.rules.leastMs - (this.#clock.monotonic() - this.#startedMs));
  }

  get failures(): number {
    return this.#failed.size;
  }

  /** An event failed. Returns how often it has so far. */
  failed(seq: number, what: string): number {
    const tries = (this.#failed.get(seq) ?? 0) + 1;
    if (tries > 1 || this.#failed.size < FAILED_MAX) this.#failed.set(seq, tries);
    if (this.#failed.size > this.failuresMax) {
      this.#reject(`${this.#failed.size} of ${this.#events} events failed, the last one with ${what}`);
    }
    return tries;
  }

  /** It has cost a runner (Y3). */
  costRunner(): void {
    this.#reject("it cost a runner");
  }

  /** A batch of it is back, and settled. Returns the verdict, once. */
  look(): Verdict | undefined {
    const { eventsMax, slower } = this.rules;
    const { meanMs = 0, ran } = this.#own;
    const before = this.#before;
    if (slower > 0 && before?.meanMs !== undefined && ran >= TIMED_EVENTS_MIN && before.ran >= TIMED_EVENTS_MIN) {
      const mostMs = Math.max(SLOW_MS_MIN, before.meanMs * slower);
      if (meanMs > mostMs) {
        this.#reject(
          `an event takes ${meanMs.toFixed(1)} ms, ${(meanMs / before.meanMs).toFixed(1)} times as long as with version ${before.version}`,
        );
      }
    }
    // Those that wait for another try may yet do well.
    if (this.leastLeftMs === 0 && this.#events >= eventsMax) this.#verdict ??= { at: "passed", events: this.#events };
    if (this.#isTold) return undefined;
    this.#isTold = this.#verdict !== undefined;
    return this.#verdict;
  }

  get isRejected(): boolean {
    return this.#verdict?.at === "rejected";
  }

  get isPassed(): boolean {
    return this.#verdict?.at === "passed";
  }

  get #events(): number {
    return this.done + this.#failed.size;
  }

  #reject(reason: string): void {
    this.#verdict ??= { at: "rejected", reason };
  }
}

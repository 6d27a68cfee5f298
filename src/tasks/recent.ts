/**
 * What a handler has done lately, and how long its events took: two windows that take turns, so that what is shown is of
 * the last two to four minutes, and figures since the start. One addition a batch: an event's time is the mean of the
 * batch that it ran in, as the runner measures it.
 */
import type { Clock } from "../time.ts";
import type { Spent } from "./run.ts";

/** The upper bounds of the buckets, in milliseconds: two for each doubling, from 10 µs to three minutes. */
const BUCKETS_MS: readonly number[] = Array.from({ length: 49 }, (_, i) => 0.01 * 2 ** (i / 2));
/** One more, for what took longer. */
const BUCKETS = BUCKETS_MS.length + 1;
export const WINDOW_MS = 120_000;

interface Window {
  readonly counts: Float64Array;
  readonly sinceMs: number;
  events: number;
  failed: number;
  tookMs: number;
  cpuMs: number;
  heapBytes: number;
}

export interface RecentFigures {
  /** How long the time is that the figures are of. */
  readonly windowMs: number;
  /** Events that ran, tries that failed included, and those. */
  readonly events: number;
  readonly failed: number;
  /** Processor time of its runners. */
  readonly cpuMs: number;
  /** The most that an isolate's heap took of those that were looked at; 0 when none was. */
  readonly heapBytes: number;
  /** Undefined when no event ran, or nobody says how long they take (routes). */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  /** Upper bounds of the buckets. */
  readonly boundsMs: readonly number[];
  readonly total: {
    readonly events: number;
    readonly tookMs: number;
    readonly cpuMs: number;
    /** By bucket; one more than there are bounds, for what took longer. */
    readonly counts: readonly number[];
  };
}

export class Recent {
  readonly #clock: Clock;
  readonly #total: Window;
  #now: Window;
  #before: Window | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#total = newWindow(clock.monotonic());
    this.#now = newWindow(clock.monotonic());
  }

  /** Of a batch, `events` have run, of which `failed` did not end well. */
  batch(events: number, failed: number, { tookMs, cpuMs = 0, heapBytes = 0 }: Spent): void {
    if (events === 0) return;
    this.#turn();
    if (heapBytes > this.#now.heapBytes) this.#now.heapBytes = heapBytes;
    const bucket = tookMs === undefined ? -1 : bucketOf(tookMs / events);
    add(this.#now, bucket, events, failed, tookMs ?? 0, cpuMs);
    add(this.#total, bucket, events, failed, tookMs ?? 0, cpuMs);
  }

  figures(): RecentFigures {
    this.#turn();
    const { counts } = this.#now;
    const before = this.#before;
    const both = before === undefined ? counts : counts.map((count, i) => count + (before.counts[i] as number));
    return {
      windowMs: this.#clock.monotonic() - (before ?? this.#now).sinceMs,
      events: this.#now.events + (before?.events ?? 0),
      failed: this.#now.failed + (before?.failed ?? 0),
      cpuMs: this.#now.cpuMs + (before?.cpuMs ?? 0),
      heapBytes: Math.max(this.#now.heapBytes, before?.heapBytes ?? 0),
      p50Ms: quantile(both, 0.5),
      p99Ms: quantile(both, 0.99),
      boundsMs: BUCKETS_MS,
      total: {
        events: this.#total.events,
        tookMs: this.#total.tookMs,
        cpuMs: this.#total.cpuMs,
        counts: [...this.#total.counts],
      },
    };
  }

  #turn(): void {
    const nowMs = this.#clock.monotonic();
    const ageMs = nowMs - this.#now.sinceMs;
    if (ageMs < WINDOW_MS) return;
    // After a long silence there is nothing that was lately.
    this.#before = ageMs < 2 * WINDOW_MS ? this.#now : newWindow(nowMs - WINDOW_MS);
    this.#now = newWindow(nowMs);
  }
}

function newWindow(sinceMs: number): Window {
  return { counts: new Float64Array(BUCKETS), sinceMs, events: 0, failed: 0, tookMs: 0, cpuMs: 0, heapBytes: 0 };
}

function add(to: Window, bucket: number, events: number, failed: number, tookMs: number, cpuMs: number): void {
  to.events += events;
  to.failed += failed;
  to.tookMs += tookMs;
  to.cpuMs += cpuMs;
  if (bucket >= 0) to.counts[bucket] = (to.counts[bucket] as number) + events;
}

function bucketOf(ms: number): number {
  if (ms <= 0.01) return 0;
  const bucket = Math.ceil(2 * Math.log2(ms / 0.01));
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/** Between the bounds of the bucket where it lies, as if that were filled evenly. */
function quantile(counts: Float64Array, share: number): number | undefined {
  let total = 0;
  for (const count of counts) total += count;
  if (total === 0) return undefined;
  let left = total * share;
  for (let i = 0; i < BUCKETS_MS.length; i++) {
    const count = counts[i] as number;
    if (count >= left) {
      const [from, to] = [i === 0 ? 0 : (BUCKETS_MS[i - 1] as number), BUCKETS_MS[i] as number];
      return from + ((to - from) * left) / count;
    }
    left -= count;
  }
  return BUCKETS_MS.at(-1);
}

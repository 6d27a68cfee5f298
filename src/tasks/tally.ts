/** What one version has done so far: what it is judged by, and compared with. */
import type { Spent } from "./run.ts";

/** Of a version that has run this many events, only about the last half is remembered. */
const EVENTS_MAX = 100_000;

export class Tally {
  readonly version: number;
  /** Events that ended well. */
  done = 0;
  /** Tries that failed. */
  failed = 0;
  /** Events that ran, the ones that failed included, and what they took. */
  ran = 0;
  tookMs = 0;
  cpuMs = 0;

  constructor(version: number) {
    this.version = version;
  }

  /** A batch of `events` is back. */
  batch(events: number, { tookMs = 0, cpuMs = 0 }: Spent): void {
    if (this.ran >= EVENTS_MAX) this.#halve();
    this.ran += events;
    this.tookMs += tookMs;
    this.cpuMs += cpuMs;
  }

  /** Mean time of an event; undefined before there was one. */
  get meanMs(): number | undefined {
    return this.ran === 0 ? undefined : this.tookMs / this.ran;
  }

  /** Share of tries that failed. */
  get failedShare(): number {
    const tries = this.done + this.failed;
    return tries === 0 ? 0 : this.failed / tries;
  }

  #halve(): void {
    this.done /= 2;
    this.failed /= 2;
    this.ran /= 2;
    this.tookMs /= 2;
    this.cpuMs /= 2;
  }
}

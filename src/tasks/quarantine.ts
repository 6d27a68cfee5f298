/**
 * A handler that keeps costing runners stands aside for a while: its tasks wait in the journal, and the others go on with
 * runners that live. It comes back by itself, each time later than before, or at once with a new deploy (G5).
 */
import type { Clock } from "../time.ts";

/** What is longer ago is forgotten. */
const MEMORY_MS = 10 * 60_000;
const FIRST_MS = 10_000;
const LONGEST_MS = 10 * 60_000;

export class Quarantine {
  readonly #clock: Clock;
  readonly #lossesMax: number;
  #losses: number[] = [];
  #times = 0;
  #untilMs = 0;
  #lost = 0;

  /** `lossesMax` runners lost to one handler within ten minutes are no accident. */
  constructor(clock: Clock, lossesMax: number) {
    this.#clock = clock;
    this.#lossesMax = lossesMax;
  }

  /** Runners that the handler has cost since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Likewise within the last ten minutes. */
  get recent(): number {
    const nowMs = this.#clock.monotonic();
    return this.#losses.filter((atMs) => nowMs - atMs < MEMORY_MS).length;
  }

  /** Milliseconds that are left, 0 when it is not in quarantine. */
  get leftMs(): number {
    return this.#untilMs === 0 ? 0 : Math.max(0, this.#untilMs - this.#clock.monotonic());
  }

  get isOn(): boolean {
    return this.#untilMs !== 0 && this.leftMs > 0;
  }

  /** The handler has cost a runner. Returns for how long it stands aside, or 0 when this is not yet enough. */
  add(): number {
    const nowMs = this.#clock.monotonic();
    this.#lost++;
    if (this.isOn) return 0;
    this.#losses = this.#losses.filter((atMs) => nowMs - atMs < MEMORY_MS);
    if (this.#losses.length === 0) this.#times = 0;
    this.#losses.push(nowMs);
    // Once it has been in quarantine, one more is enough.
    if (this.#losses.length < this.#lossesMax) return 0;
    this.#losses = this.#losses.slice(this.#losses.length + 1 - this.#lossesMax);
    const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#times++);
    this.#untilMs = nowMs + ms;
    return ms;
  }

  /** A new version is not to blame for the one before. */
  lift(): void {
    this.#losses = [];
    this.#times = 0;
    this.#untilMs = 0;
  }
}

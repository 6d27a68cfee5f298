/**
 * What one runner is to be asked and has not been yet: batches that came while none was ready, and modules to be loaded.
 *
 * Loads go out at once, beside whatever is in flight, until a runner is lost with one in flight: then nobody knows
 * whether the load did it or a batch beside it. For a while each is tried with nothing beside it, and they take turns: a
 * load, then the batches that waited for it, then the next load.
 */
import type { Clock } from "../time.ts";
import type { Waiting } from "./in-flight.ts";
import type { Loaded } from "./isolates.ts";

/** A module that is to be loaded, or inspected. */
export interface Load {
  readonly kind: "load" | "inspect";
  readonly body: unknown;
  readonly budgetMs: number;
  /** Of a version that stays. */
  readonly serial: number | undefined;
  readonly answered: (loaded: Loaded | undefined) => void;
}

/** The runner as the queue sees it. */
export interface Asked {
  readonly isReady: () => boolean;
  /** Nothing that it was asked is unanswered. */
  readonly isFree: () => boolean;
  /** Only while it is ready. */
  readonly send: (work: Waiting) => void;
  readonly load: (load: Load) => void;
}

const CAREFUL_MS = 30_000;

export class RequestQueue {
  readonly #clock: Clock;
  readonly #runner: Asked;
  #batches: Waiting[] = [];
  #carefulUntilMs = -Infinity;
  /** Loads that wait until nothing else is in flight; batches that come meanwhile wait for them. */
  #loads: Load[] = [];
  /** One of them is in flight. */
  #isLoading = false;

  constructor(clock: Clock, runner: Asked) {
    this.#clock = clock;
    this.#runner = runner;
  }

  get hasLoads(): boolean {
    return this.#loads.length > 0;
  }

  run(work: Waiting): void {
    if (this.#runner.isReady() && this.#loads.length === 0 && !this.#isLoading) this.#runner.send(work);
    else this.#batches.push(work);
  }

  /** Only while the runner is ready. */
  load(load: Load): void {
    if (this.#clock.monotonic() >= this.#carefulUntilMs) {
      this.#runner.load(load);
      return;
    }
    this.#loads.push(load);
    this.takeTurns();
  }

  /** Something was answered, or a runner is ready: batches that waited for a load go out, and then the next load. */
  takeTurns(): void {
    if (!this.#runner.isReady() || !this.#runner.isFree()) return;
    const wasLoading = this.#isLoading;
    this.#isLoading = false;
    if (wasLoading || this.#loads.length === 0) for (const work of this.#batches.splice(0)) this.#runner.send(work);
    if (!this.#runner.isFree()) return;
    const load = this.#loads.shift();
    if (load === undefined) return;
    this.#isLoading = true;
    this.#runner.load(load);
  }

  /** The runner is lost. */
  lost(withLoad: boolean): void {
    this.#isLoading = false;
    if (withLoad) this.#carefulUntilMs = this.#clock.monotonic() + CAREFUL_MS;
  }

  /** Nothing of it will be asked. */
  clear(): { readonly batches: readonly Waiting[]; readonly loads: readonly Load[] } {
    return { batches: this.#batches.splice(0), loads: this.#loads.splice(0) };
  }
}

/**
 * In the runner: what the isolates of one version have in common, so that many of them are in others' way no more than
 * one is.
 *
 * They stand in one line for the main thread, and only the first of it takes turns with other versions (turns.ts). Only as
 * many of them begin to compute at a time as there are processors: of more, each would take so much longer, and the main
 * thread would hardly have its turn. What one of them has found out about the handler holds for all.
 */
import { availableParallelism } from "node:os";
import { mustTurn, turn } from "./turns.ts";

/** A handler that took longer is not tried on this thread for so long. */
const SLOW_MS = 60_000;
/** Others of its version wait so long for one that computes: it may be one that loops. */
const HELD_MS_MAX = 250;

export class Pace {
  /** Monotonic: until then calls go to the isolate's own thread at once. */
  #slowUntilMs = 0;
  readonly #main = new Places(1, Infinity);
  readonly #threads = new Places(availableParallelism(), HELD_MS_MAX);

  get isSlow(): boolean {
    return performance.now() < this.#slowUntilMs;
  }

  /** Too slow for the main thread. */
  wasSlow(): void {
    this.#slowUntilMs = performance.now() + SLOW_MS;
  }

  /** Work on the main thread, when it is this version's turn. */
  onMain<Result>(work: () => Result): Promise<Result> {
    return this.#main.have(async () => {
      while (mustTurn()) await turn();
      return work();
    });
  }

  /** Work of an isolate on its own thread. */
  onThread<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#threads.have(work);
  }
}

/** So many at a time; the others wait in line, but not for one that has had its place for `heldMsMax`. */
class Places {
  #free: number;
  readonly #heldMsMax: number;
  readonly #line: (() => void)[] = [];

  constructor(places: number, heldMsMax: number) {
    this.#free = places;
    this.#heldMsMax = heldMsMax;
  }

  async have<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#line.push(resolve));
    let isHeld = true;
    const leave = (): void => {
      if (!isHeld) return;
      isHeld = false;
      const next = this.#line.shift();
      if (next === undefined) this.#free++;
      else next();
    };
    const timer = this.#heldMsMax === Infinity ? undefined : setTimeout(leave, this.#heldMsMax);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
      leave();
    }
  }
}

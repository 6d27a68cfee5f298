/**
 * Which runners tasks go to. The *shared* ones run whatever is proven; how many of them are in use follows the load. One
 * more is *apart*: it runs what is not proven (standing.ts), while there is something proven to be kept from it.
 *
 *   E1  A new version, or a handler that has cost an isolate or a runner, shares no process with a proven one.
 *   E2  Tasks of a key keep their order whenever their runner changes (lanes see to it: L1 holds for the key, not for
 *       the runner).
 *   E3  A further runner comes into use when those in use are busy for {@link BUSY_LOOKS} looks in a row, and only when it
 *       is ready; the last one goes when the others could do its work with ease for {@link EASY_LOOKS} looks.
 */
export interface PlacesOptions {
  /** The most shared runners; they are numbered from 0, and the one apart comes after them. */
  readonly sharedMax: number;
  /** Processor time that the main thread of a runner has had; undefined where that cannot be known, or it is not up. */
  readonly busyMs: (runner: number) => number | undefined;
  /** Resolves when the runner is ready for work. */
  readonly wake: (runner: number) => Promise<void>;
}

/** Share of a core from which on a runner counts as busy, and what the others may come to when one goes. */
const BUSY_SHARE = 0.8;
const EASY_SHARE = 0.5;
export const BUSY_LOOKS = 3;
export const EASY_LOOKS = 30;

export class Places {
  readonly #options: PlacesOptions;
  /** As a list of one, for lanes. */
  readonly apart: readonly [number];
  #shared: readonly number[] = [0];
  #busy = 0;
  #easy = 0;
  #waking = false;
  #lastMs: number | undefined;
  #lastBusyMs: (number | undefined)[] = [];

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.apart = [options.sharedMax];
  }

  get shared(): readonly number[] {
    return this.#shared;
  }

  /** To be called every second or so, with the monotonic time. `changed` is called, perhaps later, when `shared` did. */
  look(nowMs: number, changed: () => void): void {
    const share = this.#share(nowMs);
    if (share === undefined || this.#waking) return;
    const count = this.#shared.length;
    this.#busy = share / count >= BUSY_SHARE ? this.#busy + 1 : 0;
    this.#easy = count > 1 && share / (count - 1) < EASY_SHARE ? this.#easy + 1 : 0;
    if (this.#easy >= EASY_LOOKS) {
      this.#use(count - 1);
      changed();
    } else if (this.#busy >= BUSY_LOOKS && count < this.#options.sharedMax) {
      this.#waking = true;
      const use = (): void => {
        this.#waking = false;
        this.#use(count + 1);
        changed();
      };
      this.#options.wake(count).then(use, () => (this.#waking = false));
    }
  }

  #use(count: number): void {
    this.#shared = Array.from({ length: count }, (_, runner) => runner);
    this.#busy = this.#easy = 0;
    this.#lastMs = undefined;
  }

  /** Of how many cores the main threads of the shared runners have had since the last look; undefined: not known. */
  #share(nowMs: number): number | undefined {
    const lastMs = this.#lastMs;
    const last = this.#lastBusyMs;
    this.#lastMs = nowMs;
    this.#lastBusyMs = this.#shared.map((runner) => this.#options.busyMs(runner));
    if (lastMs === undefined || nowMs <= lastMs) return undefined;
    let sum = 0;
    for (const [index, busyMs] of this.#lastBusyMs.entries()) {
      // One that was replaced begins with less.
      sum += Math.max(0, (busyMs ?? 0) - (last[index] ?? 0));
    }
    return sum / (nowMs - lastMs);
  }
}

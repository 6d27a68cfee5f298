/** How long builds may take, and when a handler that failed is built again though nothing of it has changed. */
import type { Fault } from "../fault.ts";
import type { Clock } from "../time.ts";
import { BUILD_MS_MAX } from "./build.ts";
import type { Rollout } from "./rollout.ts";

/** What builds that come to no end may take of a start, all together; after that each is given very little. */
const OPENING_MS = 2 * BUILD_MS_MAX;
const OPENING_LEAST_MS = 250;
/** A build that comes to no end stands in the way of others: it is not tried again whenever something else is saved. */
const TIMEOUT_AGAIN_MS = 60_000;
/** There may be room by then. */
const STORE_AGAIN_MS = 10_000;

export class Patience {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #triedMs = new WeakMap<Rollout, number>();
  #openingLeftMs = OPENING_MS;
  /** A build was given up during the start, sooner than it would be later. */
  hasHurried = false;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  buildMs(isOpening: boolean): number {
    return isOpening ? Math.min(BUILD_MS_MAX, Math.max(OPENING_LEAST_MS, this.#openingLeftMs)) : BUILD_MS_MAX;
  }

  failed(known: Rollout, { code }: Fault, { tookMs, isOpening }: { tookMs: number; isOpening: boolean }): void {
    const isHurried = isOpening && code === "DEPLOY_TIMEOUT";
    this.#triedMs.set(known, isHurried ? -Infinity : this.#clock.monotonic());
    if (!isHurried) return;
    this.#openingLeftMs -= tookMs;
    this.hasHurried = true;
  }

  /** `noticed`: something was saved, perhaps what was missing when it failed, which is in no list of inputs. */
  isOver(known: Rollout, noticed: boolean): boolean {
    const agoMs = this.#clock.monotonic() - (this.#triedMs.get(known) ?? -Infinity);
    switch (known.fault?.code) {
      case undefined:
        return false;
      case "DEPLOY_STORE_FAILED":
        return noticed || agoMs >= STORE_AGAIN_MS;
      case "DEPLOY_TIMEOUT":
        return noticed && agoMs >= TIMEOUT_AGAIN_MS;
      default:
        return noticed;
    }
  }
}

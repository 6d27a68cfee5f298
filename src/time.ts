/**
 * Leaf: the clock and the waits. Whatever measures or waits takes a {@link Clock}, so that a test can move time by hand.
 */

export interface Clock {
  /** Wall time, milliseconds since 1970. May jump when the box's clock is set. */
  now(): number;
  /** Monotonic milliseconds, for durations and deadlines. Never goes back. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** Before a box without a battery has the time from the network its clock shows a year before this: no age can be told. */
export const CLOCK_UNSET_BEFORE_MS = Date.UTC(2023, 0, 1);

export interface Backoff {
  /** Wait before the first further try, milliseconds. */
  readonly firstMs: number;
  /** No wait is longer than this, milliseconds, jitter included. */
  readonly maxMs: number;
}

/**
 * How long to wait before try number `attempt` + 1, when `attempt` tries have failed (1 or more).
 * Doubles each time up to `maxMs`; the result is drawn from the upper half of that, so that many waiters spread out
 * and none returns at once. `random` gives [0, 1).
 */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number): number {
  const ceiling = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(attempt - 1, 52));
  return Math.round(ceiling / 2 + (ceiling / 2) * random());
}

/** Resolves after `ms`, or rejects with the signal's reason as soon as `signal` aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    signal?.addEventListener("abort", abort, { once: true });
  });
}

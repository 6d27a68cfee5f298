/**
 * In the runner: the processor time of the task that waits, added up over the calls that it has had a part in, and how long
 * the next call may take.
 *
 * A call is stopped by the clock on the wall: where other processes take the processor, that is before its time is spent.
 */
import type { GuestFailure } from "./api/failure.ts";
import type { Call } from "./guest-isolate.ts";
import type { Reply } from "./reply.ts";

interface Budgets {
  readonly timeoutMs: number;
  readonly cpuMs: number;
  readonly settings: { readonly sliceMs: number };
}

const NANOSECONDS = 1_000_000;

export class Meter {
  readonly #budgets: Budgets;
  /** When the guest began the batch. */
  #startedMs = 0;
  #before = 0n;
  #index = -1;
  #busyMs = 0;
  #leftMs = 0;
  /** The next call may take so long. */
  callMs = 0;
  #byCpu = false;

  constructor(budgets: Budgets) {
    this.#budgets = budgets;
  }

  /** The batch has taken longer than its slice. */
  get isBeyondSlice(): boolean {
    return performance.now() - this.#startedMs > this.#budgets.settings.sliceMs;
  }

  /** The waiting task has had its processor time. */
  get isSpent(): boolean {
    return this.#busyMs >= this.#budgets.cpuMs;
  }

  /** Whether it has less processor time than time. */
  get isLimit(): boolean {
    return this.#budgets.cpuMs < this.#budgets.timeoutMs;
  }

  begin(cpuTime: bigint, call: Call): void {
    const { timeoutMs, cpuMs, settings } = this.#budgets;
    this.#before = cpuTime;
    if (call === "run" || call === "oneByOne") this.#startedMs = performance.now();
    let wallMs = timeoutMs;
    let leftMs = cpuMs;
    // Within the slice another task may be begun by this call, and it has all of its time.
    if (
      (call === "wake" || call === "fetched") &&
      this.#index >= 0 &&
      performance.now() - this.#startedMs > 2 * settings.sliceMs
    ) {
      wallMs = Math.max(1, this.#leftMs);
      leftMs = Math.max(1, Math.ceil(cpuMs - this.#busyMs));
    }
    this.#byCpu = this.isLimit && leftMs < wallMs;
    this.callMs = settings.sliceMs + Math.min(leftMs, wallMs);
  }

  /** The call came back, and task `index` waits, or none. */
  end(cpuTime: bigint, index: number, [, , , leftMs, othersMs]: Reply): void {
    const callMs = Number(cpuTime - this.#before) / NANOSECONDS;
    if (othersMs < 0) this.#busyMs = 0;
    else if (index === this.#index) this.#busyMs += callMs;
    else this.#busyMs = Math.max(0, callMs - othersMs);
    this.#index = othersMs < 0 ? -1 : index;
    this.#leftMs = leftMs;
  }

  /** Why the last call was stopped. */
  blamed(failure: GuestFailure): GuestFailure {
    if (failure.code !== "SANDBOX_TIMEOUT" || !this.#byCpu) return failure;
    const message = `took more than ${this.#budgets.cpuMs} ms of processor time`;
    return { ...failure, code: "SANDBOX_CPU", message };
  }
}

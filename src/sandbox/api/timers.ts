/**
 * setTimeout and its like. Nothing in an isolate can wake it up, so the guest says when its first timer is due and is
 * called again then (isolates.ts). A timer belongs to the task that set it and goes with it.
 */
import { Refusal } from "./failure.ts";
import type { TaskClock } from "./clock.ts";
import { apply, bare } from "./primordials.ts";

interface Timer {
  readonly id: number;
  readonly callback: (...args: unknown[]) => unknown;
  readonly args: readonly unknown[];
  /** undefined: once. */
  readonly everyMs: number | undefined;
  dueMs: number;
}

/** As in browsers: a longer wait overflows their clocks. Tasks end long before. */
const DELAY_MS_MAX = 2_147_483_647;

export class Timers {
  readonly #max: number;
  readonly #clock: TaskClock;
  readonly #changed: () => void;
  /** By due time, then in the order in which they were set. */
  #timers: Timer[] = bare([]);
  #lastId = 0;
  /** Timers outside of an event would belong to nobody. */
  #isOpen = false;

  /** `changed` is called when nextInMs may have. */
  constructor(max: number, clock: TaskClock, changed: () => void) {
    this.#max = max;
    this.#clock = clock;
    this.#changed = changed;
  }

  open(): void {
    this.#isOpen = true;
  }

  /** Forgets them all. */
  close(): void {
    this.#isOpen = false;
    if (this.#timers.length > 0) this.#timers = bare([]);
  }

  set(callback: unknown, delayMs: unknown, args: readonly unknown[], repeats: boolean): number {
    if (typeof callback !== "function") throw new TypeError("a timer needs a function");
    if (!this.#isOpen) throw new Refusal("SANDBOX_LATE", "timers are for the time that an event takes");
    if (this.#timers.length >= this.#max) {
      throw new Refusal("SANDBOX_TIMERS_TOO_MANY", `more than ${this.#max} timers of one event at a time`);
    }
    const wanted = typeof delayMs === "number" ? delayMs : +(delayMs as string);
    const waitMs = wanted >= 1 ? (wanted < DELAY_MS_MAX ? wanted : DELAY_MS_MAX) : 1;
    const id = ++this.#lastId;
    this.#insert({
      id,
      callback: callback as Timer["callback"],
      args,
      everyMs: repeats ? waitMs : undefined,
      dueMs: this.#clock.exactMs + waitMs,
    });
    this.#changed();
    return id;
  }

  clear(id: unknown): void {
    const kept: Timer[] = bare([]);
    for (let i = 0; i < this.#timers.length; i++) {
      const timer = this.#timers[i] as Timer;
      if (timer.id !== id) kept[kept.length] = timer;
    }
    if (kept.length === this.#timers.length) return;
    this.#timers = kept;
    this.#changed();
  }

  /** When the first is due, by the task's clock. */
  get nextDueMs(): number | undefined {
    return this.#timers[0]?.dueMs;
  }

  /** Milliseconds until the first is due, 0 at once; -1 when there is none. */
  get nextInMs(): number {
    const first = this.#timers[0];
    if (first === undefined) return -1;
    const leftMs = first.dueMs - this.#clock.exactMs;
    return leftMs > 0 ? leftMs : 0;
  }

  /** Runs the first that is due, and only that: what it promised comes before the next one. */
  fire(): void {
    const first = this.#timers[0];
    if (first === undefined || first.dueMs > this.#clock.exactMs) return;
    const rest: Timer[] = bare([]);
    for (let i = 1; i < this.#timers.length; i++) rest[i - 1] = this.#timers[i] as Timer;
    this.#timers = rest;
    if (first.everyMs !== undefined) {
      first.dueMs = this.#clock.exactMs + first.everyMs;
      this.#insert(first);
    }
    apply(first.callback, undefined, first.args);
  }

  #insert(timer: Timer): void {
    let at = this.#timers.length;
    for (; at > 0 && (this.#timers[at - 1] as Timer).dueMs > timer.dueMs; at--) {
      this.#timers[at] = this.#timers[at - 1] as Timer;
    }
    this.#timers[at] = timer;
  }
}

/**
 * The keys of one handler that wait: a task failed and will be tried again later, and whatever comes for its key
 * meanwhile queues up behind it. The tasks themselves lie in the journal's parked records; here is only how many, and
 * when the first is due.
 */
import type { Clock } from "../time.ts";

export interface ParkedKey {
  readonly key: string;
  readonly count: number;
  /** Wall time at which its first task is to be tried again. */
  readonly dueMs: number;
}

interface Waiting {
  count: number;
  dueMs: number;
  /** Tasks of it that have been handed out and have not come back. */
  out: number;
  /** A try failed: what is still handed out of the key must not run before the next due time. */
  stopped: boolean;
}

/** Dues closer together than this are looked at in one go. */
const TICK_MS = 20;

export class ParkedKeys {
  readonly #waiting = new Map<string, Waiting>();
  readonly #clock: Clock;
  readonly #longestMs: () => number;
  readonly #due: (keys: string[]) => void;
  #tasks = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerDueMs = Infinity;
  #closed = false;

  /** `due` is called with the keys whose time has come. No wait is believed that is longer than `longestMs()`. */
  constructor(clock: Clock, longestMs: () => number, due: (keys: string[]) => void) {
    this.#clock = clock;
    this.#longestMs = longestMs;
    this.#due = due;
  }

  get tasks(): number {
    return this.#tasks;
  }

  has(key: string): boolean {
    return this.#waiting.size > 0 && this.#waiting.has(key);
  }

  /** What the journal holds from before this process. */
  restore(keys: readonly ParkedKey[]): void {
    for (const { key, count, dueMs } of keys) {
      this.#waiting.set(key, { count, dueMs, out: 0, stopped: false });
      this.#tasks += count;
      this.#schedule(dueMs);
    }
  }

  /** A task of `key` was parked: as the first, due at `dueMs`, or behind others. */
  park(key: string, dueMs: number | undefined): void {
    this.#tasks++;
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      const at = dueMs ?? this.#clock.now();
      this.#waiting.set(key, { count: 1, dueMs: at, out: 0, stopped: false });
      this.#schedule(at);
    } else {
      waiting.count++;
      // A redriven task was parked for the key while this one ran: both wait until this one may be tried again.
      if (dueMs !== undefined) waiting.dueMs = Math.max(waiting.dueMs, dueMs);
    }
  }

  /** The reading failed: `key` is looked at again at `dueMs`. */
  unread(key: string, dueMs: number): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    waiting.dueMs = dueMs;
    waiting.out = 0;
    this.#schedule(dueMs);
  }

  /** The first task of `key`, parked before, failed again. */
  again(key: string, dueMs: number): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    waiting.dueMs = dueMs;
    waiting.stopped = true;
  }

  /** Whether a parked task of `key` that has been handed out must stay parked after all. */
  stopped(key: string): boolean {
    return this.#waiting.get(key)?.stopped ?? false;
  }

  /** `count` of the key's tasks are done for. */
  settled(key: string, count: number): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    waiting.count -= count;
    this.#tasks -= count;
  }

  /** One of its tasks, the oldest, is gone. False: some of them are handed out, or being read. */
  drop(key: string): boolean {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return true;
    if (waiting.out > 0) return false;
    this.settled(key, 1);
    if (waiting.count <= 0) this.#waiting.delete(key);
    return true;
  }

  /** `count` of its tasks were read back and go to the lane. None: they are gone, dropped by the journal. */
  handedOut(key: string, count: number): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    waiting.out += count - 1;
    if (count === 0) {
      this.#tasks -= waiting.count;
      waiting.count = 0;
    }
    this.#settle(key, waiting);
  }

  /** One of the tasks handed out is settled or stays parked. The key is free when nothing of it is left. */
  returned(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    waiting.out--;
    this.#settle(key, waiting);
  }

  /** Tries `key` at once: after a redrive, and in tests. */
  hasten(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined || waiting.out > 0) return;
    waiting.dueMs = this.#clock.now();
    this.#schedule(waiting.dueMs);
  }

  /** Tries all keys at once: what they failed with may be gone. */
  hastenAll(): void {
    for (const key of this.#waiting.keys()) this.hasten(key);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #settle(key: string, waiting: Waiting): void {
    if (waiting.out > 0) return;
    if (waiting.count <= 0) this.#waiting.delete(key);
    else this.#schedule(waiting.dueMs);
  }

  #schedule(dueMs: number): void {
    if (dueMs >= this.#timerDueMs || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    // A wall clock that was set back must not make a short wait a long one.
    const wait = Math.min(Math.max(dueMs - this.#clock.now(), 0), this.#longestMs());
    this.#timer = setTimeout(() => this.#tick(dueMs), wait);
  }

  /** Everything due at `untilMs` or within a tick after it goes out together. */
  #tick(untilMs: number): void {
    this.#timerDueMs = Infinity;
    const horizonMs = Math.max(untilMs, this.#clock.now()) + TICK_MS;
    const keys: string[] = [];
    let nextMs = Infinity;
    for (const [key, waiting] of this.#waiting) {
      if (waiting.out > 0) continue;
      if (waiting.dueMs <= horizonMs) {
        // One for the reading itself, so that the key cannot be handed out twice meanwhile.
        waiting.out = 1;
        waiting.stopped = false;
        keys.push(key);
      } else {
        nextMs = Math.min(nextMs, waiting.dueMs);
      }
    }
    if (nextMs !== Infinity) this.#schedule(nextMs);
    if (keys.length > 0) this.#due(keys);
  }
}

/**
 * Whether a runner's main thread is well. While a runner has work it says so every 250 ms, and whatever else it says
 * counts too. One that is silent may be in a call into V8 that cannot be stopped, which shows in processor time of its
 * main thread; or it may wait for a turn on a busy box, which must not cost it its life.
 */
import { WireError } from "./results.ts";

/** From here on silence is looked into. */
const SILENT_MS = 300;
/** That much processor time of the main thread without a word: it will not come back. */
const BUSY_MS_MAX = 600;
/** Silence that nothing explains; also where processor time cannot be known. */
const SILENT_MS_MAX = 10_000;
/** A runner of ours beats four times a second, and what it said while nobody listened comes at once. */
const BEATS_PER_SECOND_MAX = 10;
const BEATS_SAVED_MAX = 600;

/** How often a busy runner is looked at. Memory can grow by some hundred MB between two looks. */
const LOOK_MS = 15;

/** Looks at a runner every so often, for as long as there is something to look at. */
export class Look {
  readonly #look: () => boolean;
  #timer: NodeJS.Timeout | undefined;

  /** `look` says whether it is to be called again. */
  constructor(look: () => boolean) {
    this.#look = look;
  }

  /** True when nobody looked until now. */
  begin(): boolean {
    if (this.#timer !== undefined) return false;
    this.#timer = setInterval(() => {
      if (!this.#look()) this.end();
    }, LOOK_MS);
    return true;
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

export class Pulse {
  #heardMs: number;
  #busyAtMs: number | undefined;
  #beatMs: number;
  /** Beats that it may send, as many as it has not sent before. */
  #beatsLeft = BEATS_SAVED_MAX / 2;

  constructor(nowMs: number) {
    this.#heardMs = this.#beatMs = nowMs;
  }

  /** It said something, or has had nothing to say until now. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#busyAtMs = undefined;
  }

  /** Throws WireError when there are more beats than a runner of ours sends. */
  beat(nowMs: number): void {
    const earned = ((nowMs - this.#beatMs) * BEATS_PER_SECOND_MAX) / 1000;
    this.#beatMs = nowMs;
    this.#beatsLeft = Math.min(BEATS_SAVED_MAX, this.#beatsLeft + earned) - 1;
    if (this.#beatsLeft < 0) throw new WireError("beats without end");
  }

  /** Whether it has to be taken for dead. `busyMs` tells the processor time of its main thread. */
  isLost(nowMs: number, busyMs: () => number | undefined): boolean {
    const silentMs = nowMs - this.#heardMs;
    if (silentMs < SILENT_MS) return false;
    if (silentMs >= SILENT_MS_MAX) return true;
    const busy = busyMs();
    this.#busyAtMs ??= busy;
    return busy !== undefined && this.#busyAtMs !== undefined && busy - this.#busyAtMs >= BUSY_MS_MAX;
  }
}

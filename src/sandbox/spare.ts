/**
 * A runner in reserve. Once a runner was lost the next loss is not far, so for a while a process that has started and
 * knows nothing yet is kept beside the one at work. Where one has been lost it takes over at once; starting one takes
 * Node a hundred or two hundred milliseconds.
 *
 * There is one at the most for each place in the pool, and none until something was lost. Lost while it waits, it is not
 * started again before the next loss.
 */
import type { Clock } from "../time.ts";
import { RunnerProcess } from "./runner-process.ts";
import type { RunnerEvents, RunnerOptions } from "./runner-process.ts";

/** What waited for the runner is caught up with first. */
const AFTER_MS = 500;

export interface SpareOptions extends RunnerOptions {
  readonly clock: Clock;
}

interface Kept {
  readonly runner: RunnerProcess;
  isReady: boolean;
  /** Whoever has it listens: this file until it is taken. */
  events: RunnerEvents;
}

export interface Taken {
  readonly runner: RunnerProcess;
  /** It has said so, and will not again. */
  readonly isReady: boolean;
}

export class Spare {
  readonly #options: SpareOptions;
  #kept: Kept | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When one was last asked for. */
  #keptMs = 0;

  constructor(options: SpareOptions) {
    this.#options = options;
  }

  get rssBytes(): number {
    return this.#kept?.runner.rssBytes() ?? 0;
  }

  /** 0: none. */
  get pid(): number {
    return this.#kept?.runner.pid ?? 0;
  }

  /** The one in reserve, or a new one, which is the caller's from now on. */
  take(eventsOf: (runner: RunnerProcess) => RunnerEvents): Taken {
    clearTimeout(this.#timer);
    const kept = this.#kept ?? this.#start();
    this.#kept = undefined;
    kept.events = eventsOf(kept.runner);
    return kept;
  }

  /** Has one ready before long, until nothing was lost for a while. */
  keep(): void {
    this.#keptMs = this.#options.clock.monotonic();
    clearTimeout(this.#timer);
    if (this.#kept !== undefined) return;
    this.#timer = setTimeout(() => (this.#kept = this.#start()), AFTER_MS);
    this.#timer.unref();
  }

  /** Lets it go when nothing was lost for `idleMs`. */
  rest(idleMs: number): void {
    if (this.#options.clock.monotonic() - this.#keptMs >= idleMs) void this.#letGo();
  }

  /** Resolves when its process is gone. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#letGo();
  }

  #letGo(): Promise<void> | undefined {
    const runner = this.#kept?.runner;
    this.#kept = undefined;
    runner?.kill("not needed");
    return runner?.exited;
  }

  #start(): Kept {
    const runner = new RunnerProcess(this.#options, {
      frame: (frame) => kept.events.frame(frame),
      lost: (why, end) => kept.events.lost(why, end),
    });
    const kept: Kept = {
      runner,
      isReady: false,
      events: {
        // It was told nothing, so there is one thing that it can have to say.
        frame: ({ kind }) => {
          if (kind === "ready" && !kept.isReady) kept.isReady = true;
          else runner.kill("said something unasked");
        },
        lost: () => {
          if (this.#kept === kept) this.#kept = undefined;
        },
      },
    };
    return kept;
  }
}

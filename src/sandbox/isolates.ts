/**
 * In the runner: what a handler's version has here, an isolate at a time, its queue of batches, and what to do when it
 * does not answer.
 *
 * An isolate runs one batch at a time, and of a batch one task at a time, so whatever it does belongs to that task. While
 * the task waits nothing of it runs: the guest says when it wants to be called again, and what waits on this side is a
 * timer. A task that waits beyond its time is told so and has failed; the isolate stays.
 *
 * Calls are made on this thread first, with a time so short that nobody else notices; a handler that needs longer has the
 * same batch run again on the isolate's own thread, and its next ones there at once. Nothing of the first attempt counts:
 * effects leave an isolate with its answer only (docs/decisions/0009).
 *
 * A batch that has asked the gateway for something has had effects outside, so it is not run again from its start: from
 * then on it is called on the isolate's own thread only, with all its time, and its tasks run one by one.
 *
 * An isolate that has run nothing for `idleMs` is given up: handlers that hardly ever run cost next to no memory.
 *
 * A call that hits its timeout or memory limit takes its isolate with it, for neither what it left half done nor what it
 * left queued may meet the next event; the next batch gets a new isolate. A call that cannot even be stopped is reported
 * as `stuck`, and the gateway kills the process; on this thread nobody is left to report it, and the gateway finds out.
 */
import type ivm from "isolated-vm";
import type { TaskLimits } from "./api/context.ts";
import type { GuestFailure } from "./api/failure.ts";
import type { LogLimits } from "./api/log.ts";
import type { TopicFilter } from "../topic.ts";
import type { Asking } from "./asking.ts";
import { failed, GuestIsolate } from "./guest-isolate.ts";
import type { Call, Came, Stuck } from "./guest-isolate.ts";
import { fillStarts, fillHeads } from "./heads.ts";
import { Meter } from "./meter.ts";
import type { Pace } from "./pace.ts";
import type { Reply } from "./reply.ts";
import { turn } from "./turns.ts";
import type { RunHead, Spent } from "./wire.ts";

/** What an isolate is told about its handler. Crosses the wire as JSON. */
export interface GuestSettings {
  readonly handler: string;
  readonly version: number;
  readonly params: unknown;
  readonly secrets: Readonly<Record<string, string>>;
  readonly filters: readonly TopicFilter[];
  readonly journalId: string;
  readonly gatewayId: string;
  readonly memoryBytes: number;
  readonly sliceMs: number;
  readonly limits: TaskLimits & LogLimits;
  /** For one captured run: the time that everything in the isolate begins with. */
  readonly capturedMs?: number;
}

export interface GuestBundle {
  readonly settings: GuestSettings;
  readonly code: string;
  /** Texts of the web's globals that the code speaks of (api/web.ts), in the order to install them in. */
  readonly web: readonly string[];
  readonly timeoutMs: number;
  /** Processor time of one event, at most `timeoutMs`. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
  /** Isolates that it may have at a time. */
  readonly concurrency: number;
  /** An isolate that has run nothing for so long is given up. */
  readonly idleMs: number;
}

export type Loaded =
  | { readonly at: "ready"; readonly config: string }
  | { readonly at: "failed"; readonly failure: GuestFailure };

/** What became of a batch: its answer's lines, or how its isolate was lost, with the lines that were saved. */
export type Ran =
  | { readonly at: "answered"; readonly lines: string }
  | { readonly at: "lost"; readonly lines: string; readonly index: number; readonly failure: GuestFailure }
  | { readonly at: "stuck"; readonly index: number };

/** And what it took. */
export interface Metered {
  readonly ran: Ran;
  readonly spent: Spent;
}

const NANOSECONDS = 1_000_000;
/** Longer strings are kept outside the isolate's heap, where its garbage collector does not feel them. */
const PART_BYTES = 1000;
/** Batches up to this size are run on this thread first, for so long. */
const QUICK_TASKS_MAX = 64;
const QUICK_BYTES_MAX = 64 * 1024;
const QUICK_MS = 20;
/** How often the heap is looked at, at most. */
const HEAP_EVERY_MS = 1000;

export class VersionIsolate {
  readonly #library: typeof ivm;
  readonly #guestCode: string;
  readonly #bundle: GuestBundle;
  readonly #pace: Pace;
  #alive: GuestIsolate | undefined;
  /** The end of the queue, and how long it is. */
  #tail: Promise<unknown> = Promise.resolve();
  #queued = 0;
  #closed = false;
  #usedMs = performance.now();
  /** How long the batch has waited for others of the version to compute. */
  #waitedMs = 0;
  #heapSeenMs = -Infinity;

  /** `pace`: that of its version. */
  constructor(library: typeof ivm, guestCode: string, bundle: GuestBundle, pace: Pace) {
    this.#library = library;
    this.#guestCode = guestCode;
    this.#bundle = bundle;
    this.#pace = pace;
  }

  /** Evaluates the module, and says what it exports as config; nothing, when that has been done. */
  load(): Promise<Loaded | Stuck> {
    return this.#queue(async () => (this.#alive === undefined ? this.#open() : { at: "ready", config: "{}" }));
  }

  run(head: RunHead, asking: Asking): Promise<Metered> {
    return this.#queue(async () => {
      const before = this.#alive;
      const beforeCpu = before?.cpuTime ?? 0n;
      const startedMs = performance.now();
      this.#waitedMs = 0;
      const ran = await this.#run(head, asking);
      const tookMs = performance.now() - startedMs - this.#waitedMs;
      // An isolate that was built for the batch has had all its time for it; of one that is lost nothing is known.
      const cpu = (this.#alive?.cpuTime ?? 0n) - (this.#alive === before ? beforeCpu : 0n);
      const heapBytes = ran.at === "stuck" ? 0 : this.#heapBytes(performance.now());
      return { ran, spent: { tookMs, cpuMs: Number(cpu) / NANOSECONDS, heapBytes } };
    });
  }

  /** 0: there is none, or it was looked at not long ago. Nothing of it runs between two batches. */
  #heapBytes(nowMs: number): number {
    if (this.#alive === undefined || nowMs - this.#heapSeenMs < HEAP_EVERY_MS) return 0;
    this.#heapSeenMs = nowMs;
    return this.#alive.heapBytes;
  }

  /** Batches that run or wait. */
  get queued(): number {
    return this.#queued;
  }

  get isAlive(): boolean {
    return this.#alive !== undefined;
  }

  /** Whether nothing has run in it for long. */
  get isIdle(): boolean {
    return this.#queued === 0 && performance.now() - this.#usedMs >= this.#bundle.idleMs;
  }

  /** Gives the isolate up between two batches, for its garbage is in others' way; not one that was built since. */
  yieldMemory(): void {
    const asked = this.#alive;
    void this.#queue(async () => {
      // Taking an isolate down takes milliseconds.
      await this.#pace.onMain(() => {
        if (this.#alive === asked) this.#drop();
      });
    });
  }

  /** Lets go of the isolate when all that was queued has run. */
  close(): void {
    void this.#queue(async () => {
      await this.#pace.onMain(() => {
        this.#closed = true;
        this.#drop();
      });
    });
  }

  #queue<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#queued++;
    const result = this.#tail.then(work);
    this.#tail = result.then(
      () => this.#queued--,
      () => this.#queued--,
    );
    return result;
  }

  async #open(): Promise<Loaded | Stuck> {
    this.#drop();
    if (this.#closed) return { at: "failed", failure: failed("SANDBOX_NOT_LOADED", "the version was unloaded") };
    const loaded = await this.#pace.onThread(async () => {
      // What begins on this thread ends on the isolate's own.
      const { loading } = await this.#pace.onMain(() => {
        try {
          this.#alive = new GuestIsolate(this.#library, this.#guestCode, this.#bundle);
          return { loading: this.#alive.load() };
        } catch (error) {
          const { message, stack } = error as Error;
          return { loading: { at: "failed", failure: failed("HANDLER_LOAD_THREW", message, stack) } as const };
        }
      });
      return loading;
    });
    if (loaded.at !== "ready") this.#drop();
    return loaded;
  }

  async #run(head: RunHead, asking: Asking): Promise<Ran> {
    const { count, tasks, atMs } = head;
    let isFresh = false;
    this.#usedMs = performance.now();
    if (this.#alive === undefined) {
      const loaded = await this.#open();
      if (loaded.at === "stuck") return { at: "stuck", index: 0 };
      if (loaded.at === "failed") return { at: "lost", lines: "", index: 0, failure: loaded.failure };
      isFresh = true;
    }
    const guest = this.#alive as unknown as GuestIsolate;
    guest.heads[0] = 0;
    fillHeads(guest.heads, atMs, count, tasks);
    if (head.captured) fillStarts(guest.heads, head);
    const isShort = count <= QUICK_TASKS_MAX && tasks.length <= QUICK_BYTES_MAX;
    let call: Call = "run";
    let args: (string | number)[] = textOf(count, tasks);
    let isOneByOne = count === 1;
    const meter = new Meter(this.#bundle);
    const mayBeHere = (): boolean => isShort && !asking.hasAsked && !this.#pace.isSlow;
    const here = (): Came | "again" | "elsewhere" => {
      if (!mayBeHere()) return "elsewhere"; // Another isolate has found out meanwhile.
      meter.begin(guest.cpuTime, call);
      return this.#callHere(guest, call, args);
    };
    const onThread = (): Promise<Came> => {
      const askedMs = performance.now();
      return this.#pace.onThread(() => {
        this.#waitedMs += performance.now() - askedMs;
        meter.begin(guest.cpuTime, call);
        return guest.call(call, args, meter.callMs);
      });
    };
    for (;;) {
      // What has just been built runs at once: behind all others it would wait until theirs are built as well.
      let came = !mayBeHere() ? "elsewhere" : isFresh ? here() : await this.#pace.onMain(here);
      isFresh = false;
      if (came === "elsewhere") came = await onThread();
      // In a new isolate if the attempt took this one; another attempt is not made.
      if (came === "again") return this.#run(head, asking);
      args = [];
      switch (came.at) {
        case "replied": {
          const { reply } = came;
          this.#usedMs = performance.now();
          if (!reply[1]) return { at: "answered", lines: reply[0] };
          asking.send(reply[5]);
          isOneByOne ||= asking.hasAsked;
          meter.end(guest.cpuTime, guest.heads[0], reply);
          if (meter.isSpent) {
            call = "expire";
            args = meter.isLimit ? [this.#bundle.cpuMs] : [];
          } else {
            [call, args] = await this.#wait(reply, asking);
          }
          break;
        }
        case "rejected":
          // Whose it was is known when tasks run one by one. What took its time already does not take it again.
          if (!isOneByOne && meter.isBeyondSlice) {
            return { at: "lost", lines: "", index: guest.heads[0], failure: rejection(came.message) };
          }
          call = isOneByOne ? "blame" : "oneByOne";
          if (isOneByOne) args = [rejection(came.message).message];
          isOneByOne = true;
          break;
        case "stopped":
          return this.#stopped(guest, meter.blamed(came.failure));
        case "stuck":
          return { at: "stuck", index: guest.heads[0] };
      }
    }
  }

  /** Until there is something to do for the task that waits, or its time is over. */
  async #wait([, , wakeInMs, leftMs]: Reply, asking: Asking): Promise<[Call, (string | number)[]]> {
    const isTimer = wakeInMs >= 0 && wakeInMs < leftMs;
    if (wakeInMs === 0) await turn();
    else if (leftMs > 0) await asking.wait(isTimer ? wakeInMs : Math.min(leftMs, this.#bundle.timeoutMs));
    const waitedMs = performance.now() - this.#usedMs;
    const fetched = wakeInMs === 0 || leftMs <= 0 ? undefined : asking.take();
    if (fetched !== undefined) return ["fetched", [waitedMs, ...fetched]];
    // What was waited for is due, even when this side's timer came a moment early.
    return isTimer || wakeInMs === 0 ? ["wake", [Math.max(waitedMs, wakeInMs)]] : ["expire", []];
  }

  /** "again": the batch has to be run on the isolate's own thread, with all the time it may have. */
  #callHere(guest: GuestIsolate, call: Call, args: readonly (string | number)[]): Came | "again" {
    const came = guest.callHere(call, args, Math.min(QUICK_MS, this.#bundle.cpuMs));
    if (came.at !== "stopped") return came;
    // What it left half done must not meet the next attempt.
    this.#drop();
    this.#pace.wasSlow();
    return "again";
  }

  /** What was answered before stands; when all tasks had ended, only what they left running was cut off. */
  async #stopped(guest: GuestIsolate, failure: GuestFailure): Promise<Ran> {
    const index = guest.heads[0] as number;
    const [lines, whole] = (failure.code === "SANDBOX_MEMORY" ? undefined : await guest.collect()) ?? ["", false];
    this.#drop();
    if (!whole) return { at: "lost", lines, index, failure };
    const text = JSON.stringify(`what the handler left running was cut off: ${failure.message}`);
    return { at: "answered", lines: `${lines}l5${text}\n` };
  }

  #drop(): void {
    const alive = this.#alive;
    this.#alive = undefined;
    alive?.dispose();
  }
}

function rejection(message: string): GuestFailure {
  return failed("HANDLER_REJECTED", `a promise was rejected and nobody handled it: ${message}`);
}

function textOf(count: number, tasks: Buffer): (string | number)[] {
  const parts: (string | number)[] = [count];
  for (let at = 0; at < tasks.length; at += PART_BYTES) {
    parts.push(tasks.latin1Slice(at, Math.min(at + PART_BYTES, tasks.length)));
  }
  return parts;
}

/**
 * In the runner: one isolate per handler version, its queue of batches, and what to do when it does not answer.
 *
 * An isolate runs one batch at a time, on a thread of its own. Waking that thread costs more than a short batch, so a
 * short one is run on this thread first, with a time so short that nobody else notices; a handler that needs longer, or
 * answers with a promise, has the same batch run again on its own thread, and its next ones there at once. Nothing of
 * the first attempt counts: effects leave an isolate with its answer only (docs/decisions/0009).
 *
 * An isolate that has run nothing for `idleMs` is given up: handlers that hardly ever run cost next to no memory.
 *
 * A run that hits its timeout or memory limit takes its isolate with it, for neither what it left half done nor what it
 * left queued may meet the next event; the next batch gets a new isolate. A run that cannot even be stopped is reported
 * as `stuck`, and the gateway kills the process; on this thread nobody is left to report it, and the gateway finds out.
 */
import type ivm from "isolated-vm";
import type { GuestFailure } from "./api/failure.ts";
import type { LogLimits } from "./api/log.ts";
import type { TaskLimits } from "./api/context.ts";
import type { TopicFilter } from "../topic.ts";
import { fillHeads, HEADS_LENGTH } from "./heads.ts";

/** What an isolate is told about its handler. Crosses the wire as JSON. */
export interface GuestSettings {
  readonly handler: string;
  readonly version: number;
  readonly params: unknown;
  readonly filters: readonly TopicFilter[];
  readonly journalId: string;
  readonly gatewayId: string;
  readonly sliceMs: number;
  readonly limits: TaskLimits & LogLimits;
}

export interface GuestBundle {
  readonly settings: GuestSettings;
  readonly code: string;
  readonly timeoutMs: number;
  readonly memoryBytes: number;
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

/** How much longer than its timeout a run may take to stop before the process is given up. */
const STOP_GRACE_MS = 500;
/** A run that is only waiting is noticed this long after its timeout; one that is busy is stopped at it. */
const WAITING_GRACE_MS = 100;
const COLLECT_MS = 50;
/** A module has this long to load, or its handler's timeout when that is longer: it happens once, and may be a cold start. */
export const LOAD_MS_MIN = 1000;
/** Longer strings are kept outside the isolate's heap, where its garbage collector does not feel them. */
const PART_BYTES = 1000;
/** What an isolate needs beside what the user's code may have: built-ins, the guest, one batch. */
const MEMORY_OVERHEAD_BYTES = 12 * 1024 * 1024;
const MEGABYTE = 1024 * 1024;
/** Batches up to this size are run on this thread first, for so long. */
const QUICK_TASKS_MAX = 64;
const QUICK_BYTES_MAX = 64 * 1024;
const QUICK_MS = 20;
/** A handler that took longer, or waited, is not tried on this thread for so long. */
const SLOW_MS = 60_000;

type GuestMethod = "load" | "run" | "quick" | "collect";

interface Alive {
  readonly isolate: ivm.Isolate;
  readonly load: ivm.Reference;
  readonly run: ivm.Reference;
  readonly quick: ivm.Reference;
  readonly collect: ivm.Reference;
  /** Shared with the isolate; index 0 is the task that runs. */
  readonly heads: Int32Array;
}

export class VersionIsolate {
  readonly #ivm: typeof ivm;
  readonly #guestCode: string;
  readonly #bundle: GuestBundle;
  #alive: Alive | undefined;
  /** The end of the queue. */
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;
  /** Monotonic: until then batches go to the isolate's own thread at once. */
  #slowUntilMs = 0;
  #usedMs = performance.now();

  constructor(library: typeof ivm, guestCode: string, bundle: GuestBundle) {
    this.#ivm = library;
    this.#guestCode = guestCode;
    this.#bundle = bundle;
  }

  /** Evaluates the module, and says what it exports as config. */
  load(): Promise<Loaded> {
    return this.#queue(() => this.#open());
  }

  /** `tasks` is the part of a run frame that holds the tasks. */
  run(count: number, tasks: Buffer): Promise<Ran> {
    return this.#queue(() => this.#run(count, tasks));
  }

  /** Gives the isolate up when nothing has run in it for long (scale to zero): the next batch builds a new one. */
  rest(): void {
    if (this.#alive === undefined || performance.now() - this.#usedMs < this.#bundle.idleMs) return;
    void this.#queue(async () => {
      if (performance.now() - this.#usedMs >= this.#bundle.idleMs) this.#drop();
    });
  }

  get isAlive(): boolean {
    return this.#alive !== undefined;
  }

  /** Gives the isolate up between two batches, for its garbage is in others' way; not one that was built since. */
  yieldMemory(): void {
    const asked = this.#alive;
    void this.#queue(async () => {
      if (this.#alive === asked) this.#drop();
    });
  }

  /** Lets go of the isolate when all that was queued has run. */
  close(): void {
    void this.#queue(async () => {
      this.#closed = true;
      this.#drop();
    });
  }

  #queue<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  async #open(): Promise<Loaded> {
    this.#drop();
    if (this.#closed) return { at: "failed", failure: fail("SANDBOX_NOT_LOADED", "the version was unloaded") };
    try {
      this.#alive = this.#build();
    } catch (error) {
      return { at: "failed", failure: fail("HANDLER_LOAD_THREW", (error as Error).message, (error as Error).stack) };
    }
    const { isolate, load } = this.#alive;
    const { code, settings } = this.#bundle;
    try {
      const context = this.#context as ivm.Context;
      const script = isolate.compileScriptSync(`(function (module, exports) {\n${code}\n})`, {
        filename: `handler:${settings.handler}`,
        lineOffset: -1,
      });
      const define = script.runSync(context, { reference: true });
      const timeout = Math.max(LOAD_MS_MIN, this.#bundle.timeoutMs);
      const options = { timeout };
      const applied = load.apply(undefined, [define.derefInto()], options) as Promise<string>;
      const text = await withDeadline(applied, timeout + STOP_GRACE_MS);
      if (text === OVERDUE) throw new Error("Script execution timed out.");
      if (!text.startsWith("!")) return { at: "ready", config: text };
      this.#drop();
      return { at: "failed", failure: JSON.parse(text.slice(1)) as GuestFailure };
    } catch (error) {
      this.#drop();
      const failure = this.#lost(error, "HANDLER_LOAD_THREW");
      if (failure.code !== "SANDBOX_TIMEOUT") return { at: "failed", failure };
      const seconds = Math.max(LOAD_MS_MIN, this.#bundle.timeoutMs) / 1000;
      return { at: "failed", failure: { ...failure, message: `the module took longer than ${seconds} s to load` } };
    }
  }

  #context: ivm.Context | undefined;

  #build(): Alive {
    const { settings, memoryBytes } = this.#bundle;
    const isolate = new this.#ivm.Isolate({
      memoryLimit: Math.max(8, Math.ceil((memoryBytes + MEMORY_OVERHEAD_BYTES) / MEGABYTE)),
      // The isolate is lost, its thread hangs, and soon the process would: better now, and seen.
      onCatastrophicError: () => process.kill(process.pid, "SIGKILL"),
    });
    const context = isolate.createContextSync();
    this.#context = context;
    const shared = new SharedArrayBuffer(4 * HEADS_LENGTH);
    const guest = context.evalClosureSync(
      `${this.#guestCode}\nreturn guest.install($0, new Int32Array($1));`,
      [JSON.stringify(settings), new this.#ivm.ExternalCopy(shared).copyInto()],
      { result: { reference: true }, filename: "sluice:guest" },
    ) as unknown as ivm.Reference<Record<GuestMethod, unknown>>;
    const method = (name: GuestMethod): ivm.Reference => guest.getSync(name, { reference: true });
    return {
      isolate,
      load: method("load"),
      run: method("run"),
      quick: method("quick"),
      collect: method("collect"),
      heads: new Int32Array(shared),
    };
  }

  async #run(count: number, tasks: Buffer): Promise<Ran> {
    this.#usedMs = performance.now();
    const parts: (string | number)[] = [count];
    for (let at = 0; at < tasks.length; at += PART_BYTES)
      parts.push(tasks.latin1Slice(at, Math.min(at + PART_BYTES, tasks.length)));
    if (this.#alive === undefined) {
      const loaded = await this.#open();
      if (loaded.at === "failed") return { at: "lost", lines: "", index: 0, failure: loaded.failure };
    }
    const { run, heads } = this.#alive as Alive;
    heads[0] = 0;
    fillHeads(heads, count, tasks);
    if (count <= QUICK_TASKS_MAX && tasks.length <= QUICK_BYTES_MAX && performance.now() >= this.#slowUntilMs) {
      const lines = this.#runQuick(parts);
      if (lines !== undefined) return { at: "answered", lines };
      // In a new isolate if the attempt took this one; another attempt is not made.
      return this.#run(count, tasks);
    }
    const timeoutMs = this.#bundle.settings.sliceMs + this.#bundle.timeoutMs;
    try {
      const answer = run.apply(undefined, parts, {
        timeout: timeoutMs,
        result: { copy: true, promise: true },
      }) as Promise<[string]>;
      const answered = await withDeadline(answer, timeoutMs + WAITING_GRACE_MS);
      if (answered !== OVERDUE) return { at: "answered", lines: answered[0] };
      return await this.#overdue();
    } catch (error) {
      return this.#interrupted(error, heads[0]);
    }
  }

  /** The answer, or undefined when the batch has to be run on the isolate's own thread, with all the time it may have. */
  #runQuick(parts: (string | number)[]): string | undefined {
    const { quick } = this.#alive as Alive;
    try {
      const options = { timeout: Math.min(QUICK_MS, this.#bundle.timeoutMs), result: { copy: true } } as const;
      const [lines] = quick.applySync(undefined, parts, options) as string[];
      if (lines !== undefined) return lines;
    } catch {
      // What it left half done must not meet the next attempt.
      this.#drop();
    }
    this.#slowUntilMs = performance.now() + SLOW_MS;
    return undefined;
  }

  async #interrupted(error: unknown, index: number): Promise<Ran> {
    const failure = this.#lost(error, "SANDBOX_ISOLATE_LOST");
    const [lines, whole] = (failure.code === "SANDBOX_MEMORY" ? undefined : await this.#collect()) ?? ["", false];
    // Where the isolate is well, what came out of it is a rejection that nobody handled. If all tasks ended
    // nevertheless, they stand, and the log has the rejection.
    if (whole && failure.code === "SANDBOX_ISOLATE_LOST") {
      const text = JSON.stringify(`a promise was rejected and nobody handled it: ${failure.message}`);
      return { at: "answered", lines: `${lines}l5${text}\n` };
    }
    this.#drop();
    if (!whole) return { at: "lost", lines, index, failure };
    const text = JSON.stringify(`what the handler left running was cut off: ${failure.message}`);
    return { at: "answered", lines: `${lines}l5${text}\n` };
  }

  /** The run did not come back: a promise waits for ever, or the thread does not let itself be stopped. */
  async #overdue(): Promise<Ran> {
    const index = (this.#alive as Alive).heads[0] as number;
    const collected = await this.#collect();
    if (collected === undefined) return { at: "stuck", index };
    this.#drop();
    const { timeoutMs } = this.#bundle;
    const message = `a promise that the handler waits for was not settled within ${timeoutMs} ms`;
    return { at: "lost", lines: collected[0], index, failure: fail("SANDBOX_TIMEOUT", message) };
  }

  /** The answers of a cut-off batch, and whether they are all; undefined when the isolate does not answer. */
  async #collect(): Promise<readonly [string, boolean] | undefined> {
    const { collect } = this.#alive as Alive;
    try {
      const options = { timeout: COLLECT_MS, result: { copy: true } } as const;
      const collected = collect.apply(undefined, [], options) as Promise<[string, boolean]>;
      const answer = await withDeadline(collected, COLLECT_MS + STOP_GRACE_MS);
      return answer === OVERDUE ? undefined : answer;
    } catch {
      return ["", false]; // It was stopped: whatever was left in its queue went on with the call.
    }
  }

  #lost(error: unknown, code: string): GuestFailure {
    const { message, stack } = error as Error;
    const { timeoutMs, memoryBytes } = this.#bundle;
    if (/timed out/i.test(message)) return fail("SANDBOX_TIMEOUT", `took longer than ${timeoutMs} ms`);
    if (/memory limit|allocation failed|out of memory/i.test(message) || this.#alive?.isolate.isDisposed === true) {
      return fail("SANDBOX_MEMORY", `took more memory than ${Math.round(memoryBytes / MEGABYTE)} MB`);
    }
    return fail(code, message, stack);
  }

  #drop(): void {
    const alive = this.#alive;
    this.#alive = undefined;
    this.#context = undefined;
    if (alive !== undefined && !alive.isolate.isDisposed) alive.isolate.dispose();
  }
}

function fail(code: string, message: string, stack?: string): GuestFailure {
  return { code, message, stack, final: false };
}

const OVERDUE = Symbol("overdue");

function withDeadline<Result>(result: Promise<Result>, ms: number): Promise<Result | typeof OVERDUE> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(OVERDUE), ms);
    result.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        // What nobody handled in there may be any value.
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

/**
 * In the runner: one isolate with the guest and one handler's module in it, and what calling into it can come to.
 *
 * A call runs on this thread when it is likely to be short, for so little time that nobody else notices, or on the
 * isolate's own thread with all the time that it may have (docs/decisions/0009).
 */
import { randomBytes } from "node:crypto";
import type ivm from "isolated-vm";
import type { GuestFailure } from "./api/failure.ts";
import { HEADS_LENGTH } from "./heads.ts";
import type { GuestBundle, Loaded } from "./isolates.ts";
import type { Reply } from "./reply.ts";
import { OVERDUE, withDeadline } from "./stopping.ts";

export type Call = "run" | "oneByOne" | "wake" | "fetched" | "expire" | "blame";

/** What became of a call. */
export type Came =
  | { readonly at: "replied"; readonly reply: Reply }
  /** A promise was rejected and nobody handled it. The isolate is well. */
  | { readonly at: "rejected"; readonly message: string }
  /** It was stopped at its time or memory limit, and the isolate is good for `collect` at most. */
  | { readonly at: "stopped"; readonly failure: GuestFailure }
  | Stuck;

/** It does not come back, and its thread is lost. */
export interface Stuck {
  readonly at: "stuck";
}

const COLLECT_MS = 50;
/** A module has this long to load, or its handler's timeout when that is longer: it happens once, and may be a cold start. */
export const LOAD_MS_MIN = 1000;
/** What an isolate needs beside what the user's code may have: built-ins, the guest, one batch. */
const MEMORY_OVERHEAD_BYTES = 12 * 1024 * 1024;
const MEGABYTE = 1024 * 1024;
const MESSAGE_CHARS_MAX = 1000;
const STACK_CHARS_MAX = 4000;
const SEED_BYTES = 32;

export class GuestIsolate {
  /** Shared with the isolate (heads.ts). */
  readonly heads: Int32Array;
  readonly #bundle: GuestBundle;
  readonly #isolate: ivm.Isolate;
  readonly #context: ivm.Context;
  readonly #methods = new Map<string, ivm.Reference>();

  /** Throws what isolated-vm does. */
  constructor(library: typeof ivm, guestCode: string, bundle: GuestBundle) {
    const { settings, memoryBytes } = bundle;
    this.#bundle = bundle;
    this.#isolate = new library.Isolate({
      memoryLimit: Math.max(8, Math.ceil((memoryBytes + MEMORY_OVERHEAD_BYTES) / MEGABYTE)),
      // The isolate is lost, its thread hangs, and soon the process would: better now, and seen.
      onCatastrophicError: () => process.kill(process.pid, "SIGKILL"),
    });
    this.#context = this.#isolate.createContextSync();
    const shared = new SharedArrayBuffer(4 * HEADS_LENGTH);
    this.heads = new Int32Array(shared);
    const guest = this.#context.evalClosureSync(
      `${guestCode}\nreturn guest.install($0, new Int32Array($1));`,
      [JSON.stringify(settings), new library.ExternalCopy(shared).copyInto()],
      { result: { reference: true }, filename: "sluice:guest" },
    ) as unknown as ivm.Reference<Record<string, unknown>>;
    for (const name of ["web", "load", "run", "oneByOne", "wake", "fetched", "expire", "blame", "collect"]) {
      this.#methods.set(name, guest.getSync(name, { reference: true }));
    }
  }

  /** Evaluates the module, and says what it exports as config. An isolate that failed to load is of no use. */
  async load(): Promise<Loaded | Stuck> {
    const { code, settings } = this.#bundle;
    const timeout = Math.max(LOAD_MS_MIN, this.#bundle.timeoutMs);
    try {
      for (const text of this.#bundle.web) this.#installWeb(text);
      const script = this.#isolate.compileScriptSync(`(function (module, exports) {\n${code}\n})`, {
        filename: `handler:${settings.handler}`,
        lineOffset: -1,
      });
      const define = script.runSync(this.#context, { reference: true });
      const applied = this.#method("load").apply(undefined, [define.derefInto()], { timeout }) as Promise<string>;
      const text = await withDeadline(applied, timeout);
      if (text === OVERDUE) return { at: "stuck" };
      if (!text.startsWith("!")) return { at: "ready", config: text };
      return { at: "failed", failure: JSON.parse(text.slice(1)) as GuestFailure };
    } catch (error) {
      const failure = this.#failureOf(error) ?? failed("HANDLER_LOAD_THREW", messageOf(error), stackOf(error));
      if (failure.code !== "SANDBOX_TIMEOUT") return { at: "failed", failure };
      return {
        at: "failed",
        failure: { ...failure, message: `the module took longer than ${timeout / 1000} s to load` },
      };
    }
  }

  /** Ours as the guest is; and none of it runs anything of the user's. */
  #installWeb(text: string): void {
    const script = this.#isolate.compileScriptSync(`(function () {\n${text}\nreturn api;\n})`, {
      filename: "sluice:web",
    });
    const define = script.runSync(this.#context, { reference: true });
    const seed = randomBytes(SEED_BYTES).toString("latin1");
    this.#method("web").applySync(undefined, [define.derefInto(), seed], { timeout: LOAD_MS_MIN });
  }

  /** On this thread, which waits for it, for at most `timeoutMs`. */
  callHere(call: Call, args: readonly (string | number)[], timeoutMs: number): Came {
    try {
      const options = { timeout: timeoutMs, result: { copy: true } } as const;
      return { at: "replied", reply: this.#method(call).applySync(undefined, [...args], options) as Reply };
    } catch (error) {
      return this.#cameOf(error);
    }
  }

  /** On the isolate's own thread. */
  async call(call: Call, args: readonly (string | number)[], timeoutMs: number): Promise<Came> {
    try {
      const options = { timeout: timeoutMs, result: { copy: true } } as const;
      const applied = this.#method(call).apply(undefined, [...args], options) as Promise<Reply>;
      const reply = await withDeadline(applied, timeoutMs);
      return reply === OVERDUE ? { at: "stuck" } : { at: "replied", reply };
    } catch (error) {
      return this.#cameOf(error);
    }
  }

  /** The answers of a batch that was cut off, and whether they are all; undefined when the isolate does not answer. */
  async collect(): Promise<readonly [string, boolean] | undefined> {
    try {
      const options = { timeout: COLLECT_MS, result: { copy: true } } as const;
      const collected = this.#method("collect").apply(undefined, [], options) as Promise<[string, boolean]>;
      const answer = await withDeadline(collected, COLLECT_MS);
      return answer === OVERDUE ? undefined : answer;
    } catch {
      return ["", false]; // It was stopped: whatever was left in its queue went on with the call.
    }
  }

  /** Processor time that was spent in it so far, nanoseconds. */
  get cpuTime(): bigint {
    return this.#isolate.cpuTime;
  }

  /** What its heap and the buffers outside of it take, bytes, garbage included; waits for a call that is under way. */
  get heapBytes(): number {
    if (this.#isolate.isDisposed) return 0;
    const { used_heap_size: used, externally_allocated_size: outside } = this.#isolate.getHeapStatisticsSync();
    return used + outside;
  }

  dispose(): void {
    if (!this.#isolate.isDisposed) this.#isolate.dispose();
  }

  #method(name: string): ivm.Reference {
    return this.#methods.get(name) as ivm.Reference;
  }

  #cameOf(error: unknown): Came {
    const failure = this.#failureOf(error);
    return failure === undefined ? { at: "rejected", message: messageOf(error) } : { at: "stopped", failure };
  }

  /** undefined: the isolate was not stopped; something in it threw. */
  #failureOf(error: unknown): GuestFailure | undefined {
    const { timeoutMs, memoryBytes } = this.#bundle;
    const message = messageOf(error);
    // Its stack is that of the moment when it was stopped.
    if (/timed out/i.test(message)) {
      return failed("SANDBOX_TIMEOUT", `took longer than ${timeoutMs} ms`, stackOf(error)?.replace(/^.*\n/, ""));
    }
    if (/memory limit|allocation failed|out of memory/i.test(message) || this.#isolate.isDisposed) {
      return failed("SANDBOX_MEMORY", `took more memory than ${Math.round(memoryBytes / MEGABYTE)} MB`);
    }
    return undefined;
  }
}

export function failed(code: string, message: string, stack?: string): GuestFailure {
  return { code, message, stack, final: false };
}

/** What nobody handled in there may be any value. */
function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, MESSAGE_CHARS_MAX);
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack?.slice(0, STACK_CHARS_MAX) : undefined;
}

/**
 * Inside the isolate: decodes a batch, runs the handler on each task, writes the answer.
 *
 * This file and api/ are bundled into one text that is evaluated in a new context before any code of the user is, and
 * that text is all that the isolate contains of us: no reference to the outside exists in here. What goes in is one
 * text, of which each character is a byte, and what comes out is one text (api/answer.ts).
 *
 *   1  Tasks run one after another. A task's effects are kept apart until it has ended well; only then are they added
 *      to the answer, so cutting the batch off at any point leaves whole tasks.
 *   2  Tasks of one key hand the state on to each other, and when one fails those behind it are not run.
 *   3  The first of `heads` tells the outside which task is running, also when this thread never comes back.
 *   4  After `sliceMs`, or with an answer of ANSWER_CHARS, no further task is begun.
 */
import { Context, close } from "./api/context.ts";
import type { Surroundings } from "./api/context.ts";
import { EventReader } from "./api/event.ts";
import { DeadLetter, Refusal, failureLine, failureOf } from "./api/failure.ts";
import { Logger } from "./api/log.ts";
import { emitResult } from "./api/outputs.ts";
import {
  defineProperty,
  freeze,
  isArray,
  join,
  jsonParse,
  jsonStringify,
  keys,
  now,
  resolved,
  substring,
} from "./api/primordials.ts";
import { fromUtf8 } from "./api/text.ts";
import { BEHIND, DONE, Draft, UNRUN } from "./api/answer.ts";
import type { GuestSettings } from "./isolates.ts";
import { HEAD, HEAD_INTS, HEADS_AT } from "./heads.ts";

type Handle = (event: unknown, context: Context) => unknown;

const ANSWER_CHARS = 1_000_000;
const CONFIG_CHARS_MAX = 65_536;

/** A failed key of this batch. */
const FAILED = "!";

class Guest {
  readonly #settings: GuestSettings;
  readonly #around: Surroundings;
  /** Index 0: which task runs. Then what the tasks of the batch are (heads.ts). */
  readonly #heads: Int32Array;
  readonly #logger: Logger;
  readonly #reader: EventReader;
  #handle: Handle | undefined;

  // The batch that runs. `#turn` tells a task of an abandoned batch that its time is over.
  #turn = 0;
  #text = "";
  #count = 0;
  #index = 0;
  #startedMs = 0;
  #answer = "";
  #states: (string | undefined)[] = [];
  #stateSet: boolean[] = [];

  constructor(settings: GuestSettings, heads: Int32Array) {
    this.#settings = settings;
    this.#heads = heads;
    this.#logger = new Logger(settings.limits);
    this.#reader = new EventReader(settings);
    const { handler, version, limits } = settings;
    const params = deepFreeze(settings.params) as Record<string, unknown>;
    this.#around = { handler, version, params, log: this.#logger.log, limits };
    const { debug, info, warn, error } = this.#logger.log;
    global("console", { debug, info, warn, error, log: info, trace: debug });
    global("DeadLetter", DeadLetter);
  }

  /** Evaluates the user's module, given as a function of CommonJS shape. Returns the text of a `Loaded`. */
  load(define: (module: object, exports: object) => void): string {
    try {
      const module: { exports: unknown } = { exports: {} };
      define(module, module.exports as object);
      return this.#loaded(module.exports);
    } catch (thrown) {
      return `!${failureLine(failureOf(thrown, "HANDLER_LOAD_THREW"))}`;
    }
  }

  /** The shapes of a module: other platforms' (an export `handler`, a single function) would be told apart here. */
  #loaded(exported: unknown): string {
    const named = (typeof exported === "object" && exported !== null ? exported : {}) as Record<string, unknown>;
    const handle = typeof exported === "function" ? exported : named["default"];
    if (typeof handle !== "function") {
      throw new Refusal("HANDLER_EXPORT_MISSING", "the module has no default export that is a function");
    }
    this.#handle = handle as Handle;
    const config = named["config"];
    const text = config === undefined ? "{}" : jsonStringify(config);
    if (text === undefined) throw new Refusal("HANDLER_CONFIG_INVALID", "the exported config is no JSON");
    if (text.length > CONFIG_CHARS_MAX) {
      throw new Refusal("HANDLER_CONFIG_INVALID", `the exported config is longer than ${CONFIG_CHARS_MAX} characters`);
    }
    return text;
  }

  /** Runs a batch. `parts` are the pieces of its text; pieces are short because longer strings live outside the heap. */
  run(count: number, ...parts: string[]): [string] | Promise<[string]> {
    this.#turn++;
    this.#text = join(parts, "");
    this.#count = count;
    this.#index = 0;
    this.#startedMs = now();
    this.#answer = this.#logger.takeSpare();
    this.#states = [];
    this.#stateSet = [];
    const waiting = this.#go();
    return waiting === undefined ? [this.#answer] : this.#goOn(waiting, this.#turn);
  }

  /** The same, for a batch that need not wait for anything; an empty list when it does, and then nothing of it counts. */
  quick(count: number, ...parts: string[]): string[] {
    const answer = this.run(count, ...parts);
    if (isArray(answer)) return answer;
    this.collect();
    return [];
  }

  /** What has been answered so far, and whether that is all; no task of this batch goes on after it. */
  collect(): [string, boolean] {
    const answer = this.#answer;
    this.#answer = "";
    this.#text = "";
    this.#turn++;
    return [answer, this.#index === this.#count];
  }

  /** Runs tasks until none is left, or until one answers with a promise, which is returned. */
  #go(): Waiting | undefined {
    while (this.#index < this.#count) {
      if (this.#index > 0 && this.#spent()) {
        for (; this.#index < this.#count; this.#index++) this.#answer += UNRUN;
        return undefined;
      }
      const waiting = this.#begin();
      if (waiting !== undefined) return waiting;
    }
    return undefined;
  }

  async #goOn(first: Waiting, turn: number): Promise<[string]> {
    let waiting: Waiting | undefined = first;
    while (waiting !== undefined) {
      const { promise, draft, context, key } = waiting;
      let thrown: unknown;
      let result: unknown;
      let failed = false;
      try {
        result = await promise;
      } catch (reason) {
        failed = true;
        thrown = reason;
      }
      if (turn !== this.#turn) return [""];
      if (failed) this.#fail(draft, key, thrown);
      else this.#finish(draft, context, key, result);
      waiting = this.#go();
    }
    return [this.#answer];
  }

  #spent(): boolean {
    return now() - this.#startedMs >= this.#settings.sliceMs || this.#answer.length >= ANSWER_CHARS;
  }

  /** Calls the handler with the task at `#index`. */
  #begin(): Waiting | undefined {
    const text = this.#text;
    const heads = this.#heads;
    const at = HEADS_AT + this.#index * HEAD_INTS;
    const key = heads[at + HEAD.key] as number;
    if (this.#states[key] === FAILED) {
      this.#index++;
      this.#answer += BEHIND;
      return undefined;
    }
    if (this.#stateSet[key] !== true) {
      this.#stateSet[key] = true;
      const stateAt = heads[at + HEAD.stateAt] as number;
      this.#states[key] = stateAt < 0 ? undefined : fromUtf8(substring(text, stateAt, heads[at + HEAD.stateEnd]));
    }
    heads[0] = this.#index;
    const draft = new Draft();
    this.#logger.draft = draft;
    const event = this.#reader.read(text, heads, at);
    const context = new Context(this.#around, draft, heads[at + HEAD.attempt] as number, this.#states[key]);
    let result: unknown;
    let promise: Promise<unknown> | undefined;
    try {
      const handle = this.#handle as Handle; // Called bare: as a method it would get hold of the guest.
      result = handle(event, context);
      promise = promiseOf(result);
    } catch (thrown) {
      this.#fail(draft, key, thrown);
      return undefined;
    }
    if (promise !== undefined) return { promise, draft, context, key };
    this.#finish(draft, context, key, result);
    return undefined;
  }

  #finish(draft: Draft, context: Context, key: number, result: unknown): void {
    let state: string | undefined;
    try {
      emitResult(draft, this.#around.limits, result);
      state = Context.stateAfter(context, this.#around.limits.stateBytesMax);
    } catch (thrown) {
      this.#fail(draft, key, thrown);
      return;
    }
    close(draft);
    this.#logger.draft = undefined;
    this.#index++;
    if (state !== undefined) this.#states[key] = state === "" ? undefined : state;
    this.#answer += draft.logs + draft.effects + (state === undefined ? DONE : `s${state}\n${DONE}`);
  }

  #fail(draft: Draft, key: number, thrown: unknown): void {
    const line = `!${failureLine(failureOf(thrown))}\n`;
    close(draft);
    this.#logger.draft = undefined;
    this.#index++;
    this.#states[key] = FAILED;
    this.#answer += draft.logs + line;
  }
}

interface Waiting {
  readonly promise: Promise<unknown>;
  readonly draft: Draft;
  readonly context: Context;
  readonly key: number;
}

/** The promise of an async handler, or undefined when `result` is none. A thenable counts. */
function promiseOf(result: unknown): Promise<unknown> | undefined {
  if (typeof result !== "object" || result === null) return undefined;
  if (typeof (result as { then?: unknown }).then !== "function") return undefined;
  return resolved(result);
}

/** Like a built-in: there, not listed, and the user's to replace. */
function global(name: string, value: unknown): void {
  defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

function deepFreeze(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  for (const name of keys(value)) deepFreeze((value as Record<string, unknown>)[name]);
  return freeze(value);
}

/** What the host calls. */
export function install(settingsJson: string, heads: Int32Array): object {
  for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics"]) {
    delete (globalThis as Record<string, unknown>)[name];
  }
  const guest = new Guest(jsonParse(settingsJson) as GuestSettings, heads);
  return {
    load: (define: (module: object, exports: object) => void) => guest.load(define),
    run: (count: number, ...parts: string[]) => guest.run(count, ...parts),
    quick: (count: number, ...parts: string[]) => guest.quick(count, ...parts),
    collect: () => guest.collect(),
  };
}

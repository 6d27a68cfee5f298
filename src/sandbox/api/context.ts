/** ctx: what a handler may do, and what it may know of itself. One object a task. */
import type { Draft } from "./answer.ts";
import type { AskLimits } from "../ask-limits.ts";
import { Refusal } from "./failure.ts";
import type { GuestLog } from "./log.ts";
import { refuseLoss } from "./lossy.ts";
import { emit, jsonOf, publish } from "./outputs.ts";
import type { EmitOptions, OutputLimits, PublishOptions } from "./outputs.ts";
import { isArray, jsonParse } from "./primordials.ts";
import type { Controlled } from "./web/host.ts";

export interface TaskLimits extends OutputLimits, AskLimits {
  readonly stateBytesMax: number;
  /** Timers at a time. */
  readonly timersMax: number;
  /** Longest time from the handler's call to the end of its promise. */
  readonly timeoutMs: number;
}

/** What is the same for all tasks of a version. */
export interface Surroundings {
  readonly handler: string;
  readonly version: number;
  readonly params: Readonly<Record<string, unknown>>;
  /** Frozen; those that were granted, by name. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly log: GuestLog;
  readonly limits: TaskLimits;
  /** ctx.signal of a task. */
  readonly newSignal: () => Controlled;
}

const UNREAD = {};

/** Handlers get a context, and with it its class: what the house asks of one is no part of it. */
export let stateAfter: (context: Context, charsMax: number) => string | undefined;
/** The task's time is up. */
export let expire: (context: Context, reason: unknown) => void;

export class Context {
  readonly params: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, string>>;
  readonly log: GuestLog;
  readonly attempt: number;
  readonly handler: string;
  readonly version: number;
  readonly #limits: TaskLimits;
  readonly #newSignal: () => Controlled;
  readonly #draft: Draft;
  readonly #stateText: string | undefined;
  #state: unknown = UNREAD;
  #control: Controlled | undefined;

  constructor(around: Surroundings, draft: Draft, attempt: number, stateText: string | undefined) {
    this.params = around.params;
    this.secrets = around.secrets;
    this.log = around.log;
    this.attempt = attempt;
    this.handler = around.handler;
    this.version = around.version;
    this.#limits = around.limits;
    this.#newSignal = around.newSignal;
    this.#draft = draft;
    this.#stateText = stateText;
  }

  // Functions of their own, so that `const { emit } = ctx` works; made when they are asked for, as most tasks do not.
  get emit(): (data: unknown, options?: EmitOptions) => void {
    return (data, options) => emit(open(this.#draft), this.#limits, data, options);
  }

  get publish(): (topic: string, data: unknown, options?: PublishOptions) => void {
    return (topic, data, options) => publish(open(this.#draft), this.#limits, topic, data, options);
  }

  get signal(): object {
    if (this.#control === undefined) {
      const newSignal = this.#newSignal; // Called bare: as a method it would get hold of the context.
      this.#control = newSignal();
    }
    return this.#control.signal;
  }

  get state(): unknown {
    if (this.#state === UNREAD) this.#state = this.#stateText === undefined ? {} : jsonParse(this.#stateText);
    return this.#state;
  }

  set state(value: unknown) {
    this.#state = value;
  }

  static {
    // The state after the handler: its JSON, "" for none at all, or undefined when it is what it was.
    stateAfter = (context, charsMax) => {
      const state = context.#state;
      if (state === UNREAD) return undefined;
      if (state === undefined || state === null) return context.#stateText === undefined ? undefined : "";
      if (typeof state !== "object" || isArray(state)) {
        throw new Refusal("SANDBOX_STATE_INVALID", "ctx.state is an object, so that it can grow");
      }
      const text = jsonOf(state, "ctx.state", charsMax, "SANDBOX_STATE_TOO_LARGE");
      if (text[0] !== "{") {
        throw new Refusal("SANDBOX_STATE_INVALID", "ctx.state is an object, and its toJSON makes something else of it");
      }
      refuseLoss(state, text, "ctx.state", "SANDBOX_STATE_INVALID");
      if (text === context.#stateText) return undefined;
      if (text === "{}") return context.#stateText === undefined ? undefined : "";
      return text;
    };
    expire = (context, reason) => {
      context.#control?.abort(reason);
    };
  }
}

/** The draft, while its task runs. */
function open(draft: Draft): Draft {
  if (draft.outputs >= 0) return draft;
  throw new Refusal("SANDBOX_LATE", "the task has ended, and what it emits now belongs to nothing");
}

/** Nothing can be added any more: a promise that nobody awaited comes too late. */
export function close(draft: Draft): void {
  draft.outputs = -1;
}

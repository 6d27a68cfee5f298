/** What one runner was asked and has not answered, with the time until which it has to. */
import type { Task } from "../task.ts";
import type { Clock } from "../time.ts";
import { Fetching } from "./fetching.ts";
import type { Asker } from "./fetching.ts";
import type { GuestBundle, Loaded } from "./isolates.ts";
import { allOf, asFailure, parse, WireError } from "./results.ts";
import type { Beat } from "./runner.ts";
import type { AnswerReader, Fate, RunResult } from "./results.ts";
import type { Spent } from "./wire.ts";

/** A loaded version, as the supervisor needs it. */
export interface Version {
  /** Names it on the wire. */
  readonly serial: number;
  readonly guest: GuestBundle;
  readonly reader: AnswerReader;
  readonly asker: Asker;
}

/** `spent` is what the runner says that it took; left out where it does not say. */
export type Done = (version: Version | undefined, results: readonly RunResult[], spent?: Spent) => void;

/** Work that has not been sent. The version is chosen when it is: the newest one then. */
export interface Waiting {
  readonly version: () => Version | undefined;
  readonly batch: readonly Task[];
  readonly states: readonly (string | undefined)[];
  /** By which versions those were written. */
  readonly stateVersions?: readonly number[] | undefined;
  readonly done: Done;
  /** The time that its clocks are to begin with; that of its sending when undefined. */
  readonly atMs: number | undefined;
  /** The same of each task, which then has its own state too; of captured work. */
  readonly startsMs?: readonly number[] | undefined;
  /** In an isolate of its own, where nothing real goes into it. */
  readonly isCaptured: boolean;
  /** The time that its clocks began with, when it was sent. */
  startMs: number;
}

export type Request =
  | { readonly at: "run"; readonly version: Version; readonly batch: readonly Task[]; readonly done: Done }
  | { readonly at: "load"; readonly answered: (loaded: Loaded | undefined) => void };

interface Timed {
  readonly request: Request;
  readonly budgetMs: number;
  readonly dueMs: number;
  /** Budgets of all requests up to it. */
  readonly askedMs: number;
}

/** Isolates that a runner can have had in years. */
const COUNT_MAX = 1_000_000_000;
/** Beyond what the runner itself allows a batch, which includes stopping it. */
const GRACE_MS = 2500;
/** For requests that came after one, at the most: a runner that goes on answering others does not keep it for ever. */
const LATER_MS_MAX = 30_000;

export class InFlightTable {
  /** What batches have asked for; it ends with them. */
  readonly fetching = new Fetching();
  readonly #clock: Clock;
  readonly #requests = new Map<number, Timed>();
  /** Of what is in flight, and of all that ever was. */
  #budgetMs = 0;
  #askedMs = 0;
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#requests.size;
  }

  /**
   * Returns the request's id. It may take `budgetMs`, and as long as all others together that are in flight with it:
   * isolates share a few threads, so in the worst case they run one after another, and hundreds that came after it have
   * their isolates built before it runs.
   */
  add(request: Request, budgetMs: number): number {
    this.#lastId = (this.#lastId + 1) >>> 0;
    this.#budgetMs += budgetMs;
    this.#askedMs += budgetMs;
    const dueMs = this.#clock.monotonic() + this.#budgetMs + GRACE_MS;
    this.#requests.set(this.#lastId, { request, budgetMs, dueMs, askedMs: this.#askedMs });
    return this.#lastId;
  }

  get(id: number): Request | undefined {
    return this.#requests.get(id)?.request;
  }

  /** It has been answered. */
  take(id: number): void {
    this.#budgetMs -= this.#requests.get(id)?.budgetMs ?? 0;
    this.#requests.delete(id);
    this.fetching.over(id);
  }

  takeAll(): Request[] {
    const all = [...this.#requests.values()].map(({ request }) => request);
    this.#requests.clear();
    this.fetching.allOver();
    this.#budgetMs = 0;
    return all;
  }

  isOverdue(nowMs: number): boolean {
    for (const { dueMs, askedMs } of this.#requests.values()) {
      if (nowMs > dueMs + Math.min(LATER_MS_MAX, this.#askedMs - askedMs)) return true;
    }
    return false;
  }
}

export function answerAll(requests: readonly Request[], fate: Fate): void {
  for (const request of requests) {
    if (request.at === "run") request.done(request.version, allOf(request.batch, fate));
    else request.answered(undefined);
  }
}

/** What a runner says of a load, checked. Throws WireError or SyntaxError. */
export function asLoaded(said: unknown): Loaded {
  if (typeof said !== "object" || said === null) throw new WireError("a load without a result");
  const { at, config, failure } = said as Record<string, unknown>;
  if (at === "ready" && typeof config === "string") {
    const bytes = Buffer.from(config);
    parse(bytes, 0, bytes.length); // Throws here, where it costs the runner.
    return { at, config };
  }
  if (at !== "failed" || typeof failure !== "object" || failure === null)
    throw new WireError("a load without a result");
  return { at, failure: { ...asFailure(failure as Record<string, unknown>), final: false } };
}

/** What a runner tells of itself, checked. Throws WireError. */
export function asBeat(said: unknown): Beat {
  const count = (value: unknown): number => {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > COUNT_MAX)
      throw new WireError("a beat of no numbers");
    return value;
  };
  if (typeof said !== "object" || said === null) throw new WireError("a beat of no numbers");
  const { alive, rested, yielded } = said as Record<string, unknown>;
  return { alive: count(alive), rested: count(rested), yielded: count(yielded) };
}

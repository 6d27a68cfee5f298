/**
 * Inside the isolate: runs the handler on each task of a batch, and writes the answer.
 *
 * This file and api/ are bundled into one text that is evaluated in a new context before any code of the user is, and
 * that text is all that the isolate contains of us: no reference to the outside exists in here. What goes in is one
 * text, of which each character is a byte, and where things are in it (heads.ts); what comes out is one text
 * (api/answer.ts) in a reply (reply.ts).
 *
 *   1  Tasks run one after another. A task's effects are kept apart until it has ended well; only then are they added
 *      to the answer, so cutting the batch off at any point leaves whole tasks.
 *   2  Tasks of one key hand the state on to each other, and when one fails those behind it are not run.
 *   3  The first of `heads` tells the outside which task is running, also when this thread never comes back.
 *   4  After `sliceMs`, with an answer of ANSWER_CHARS, or with many asks (ask-limits.ts), no further task is begun.
 *   5  While a task waits nothing runs here: the reply says when the next timer is due, and the outside calls again.
 *   6  What a task leaves behind when it ends (timers, promises, asks) is gone, or finds nobody to tell.
 *   7  The time that a task sees is its own (api/clock.ts). What limits it is real, but in a captured run, where nothing is
 *      waited for: there its timeout is by its own time too.
 *   8  Once a task has asked for something, tasks run one by one until the batch ends: what was asked for cannot be taken
 *      back, so the batch cannot be run again to find out whose failure something was.
 */
import { DONE, BEHIND, Draft, UNRUN } from "./api/answer.ts";
import { Asks } from "./api/asks.ts";
import { TaskClock } from "./api/clock.ts";
import { close, Context, expire, stateAfter } from "./api/context.ts";
import type { Surroundings } from "./api/context.ts";
import { timeUp } from "./api/running.ts";
import type { Running } from "./api/running.ts";
import { KeyStates } from "./api/states.ts";
import { surroundings } from "./api/surroundings.ts";
import { EventReader } from "./api/event.ts";
import { failureLine, failureOf } from "./api/failure.ts";
import { defineGlobal, installGlobals } from "./api/globals.ts";
import { Logger } from "./api/log.ts";
import { readModule } from "./api/module.ts";
import type { Handle, Migrate } from "./api/module.ts";
import { migrateFor } from "./api/migration.ts";
import { emitResult } from "./api/outputs.ts";
import { bare, join, jsonParse, now } from "./api/primordials.ts";
import { EventRandom } from "./api/random.ts";
import { toBytes } from "./api/text.ts";
import { Timers } from "./api/timers.ts";
import { promiseOf } from "./api/values.ts";
import type { Beside, WebHost } from "./api/web/host.ts";
import { HEAD, HEADS_AT, HEAD_INTS, startOf } from "./heads.ts";
import type { GuestSettings } from "./isolates.ts";
import { answered, waiting } from "./reply.ts";
import type { Reply } from "./reply.ts";

const ANSWER_CHARS = 1_000_000;

class Guest {
  readonly #settings: GuestSettings;
  readonly #around: Surroundings;
  /** Index 0: which task runs. Then what the tasks of the batch are (heads.ts). */
  readonly #heads: Int32Array;
  readonly #logger: Logger;
  readonly #reader: EventReader;
  readonly #random: EventRandom;
  /** In a captured run, what crypto draws from. */
  readonly #bytes: EventRandom;
  readonly #clock: TaskClock;
  readonly #captured: boolean;
  readonly #timers: Timers;
  readonly #asks: Asks;
  readonly #beside: Beside = bare({});
  #handle: Handle | undefined;
  #migrate: Migrate | undefined;

  // The batch that runs.
  #text = "";
  #count = 0;
  #index = 0;
  #startedMs = 0;
  /** When it was called last. */
  #calledMs = 0;
  /** The time when it was last looked at, before each task. */
  #nowMs = 0;
  #answer = "";
  readonly #states = new KeyStates();
  /** After each task the outside is told, so that whatever else comes of it is known to be its own. */
  #oneByOne = false;
  /** The task whose promise is not settled; what any other promise comes to is nobody's. */
  #waiting: Running | undefined;
  #last: Running | undefined;
  /** Of the call under way. Promises go on after the call and before the reply leaves, and they change it. */
  #reply: Reply = answered("");

  constructor(settings: GuestSettings, heads: Int32Array) {
    this.#settings = settings;
    this.#heads = heads;
    this.#reader = new EventReader(settings);
    const { handler, limits, capturedMs } = settings;
    this.#captured = capturedMs !== undefined;
    this.#clock = new TaskClock(capturedMs ?? now());
    this.#logger = new Logger(limits, this.#captured ? this.#clock.now : now);
    this.#random = new EventRandom(`${settings.journalId}/${handler}`);
    this.#bytes = new EventRandom(`${settings.journalId}/${handler}/bytes`);
    this.#timers = new Timers(limits.timersMax, this.#clock, () => this.#tell());
    this.#asks = new Asks(limits, this.#captured, () => {
      this.#oneByOne = true;
      this.#tell();
    });
    this.#around = surroundings(settings, this.#logger.log, this.#beside);
    installGlobals(this.#logger.log, this.#timers, this.#random, this.#clock, settings.params);
  }

  /** Installs one of the web's globals. `seed`: bytes that nobody can foresee, a character each. */
  web(define: () => { install: (host: WebHost) => void }, seed: string): void {
    const ask: WebHost["ask"] = (asked, asker) => this.#asks.ask(asked, asker);
    const host = { global: defineGlobal, now: this.#clock.now, seed: toBytes(seed), ask, beside: this.#beside };
    define().install(this.#captured ? { ...host, repeatable: this.#bytes.fill } : host);
  }

  /** Evaluates the user's module, given as a function of CommonJS shape. Returns the text of a `Loaded`. */
  load(define: (module: object, exports: object) => void): string {
    try {
      const module: { exports: unknown } = { exports: {} };
      define(module, module.exports as object);
      const { handle, migrate, config } = readModule(module.exports, this.#settings, this.#clock.now);
      this.#handle = handle;
      this.#migrate = migrate;
      return config;
    } catch (thrown) {
      return `!${failureLine(failureOf(thrown, "HANDLER_LOAD_THREW"))}`;
    }
  }

  // --- what the runner calls. Each returns the reply, which promises may still change.

  /** Runs a batch. `parts` are the pieces of its text; pieces are short because longer strings live outside the heap. */
  run(count: number, parts: string[]): Reply {
    this.#text = join(parts, "");
    this.#count = count;
    return this.#start(false);
  }

  /** Runs the batch once more from its start, and tells after each task (see `blame`). Nothing of before counts. */
  oneByOne(): Reply {
    return this.#start(true);
  }

  /** It is time for the first timer, or for the next task. `waitedMs` have passed since the last call came back. */
  wake(waitedMs: number): Reply {
    this.#called();
    const dueMs = this.#timers.nextDueMs;
    if (!this.#captured) this.#clock.pass(waitedMs, dueMs);
    else if (this.#waiting !== undefined && dueMs !== undefined) {
      const endMs = this.#waiting.atMs + this.#settings.limits.timeoutMs;
      this.#clock.set(dueMs < endMs ? dueMs : endMs);
      if (dueMs >= endMs) return this.expire();
    }
    try {
      this.#timers.fire();
    } catch (thrown) {
      if (this.#waiting !== undefined) this.#fail(this.#waiting, failureOf(thrown));
    }
    if (this.#waiting === undefined) {
      this.#last = undefined; // Nothing came of it.
      if (this.#captured) this.#startedMs = this.#calledMs;
      this.#go();
    }
    this.#tell();
    return this.#reply;
  }

  /** What was asked for has come, and `waitedMs` have passed. `parts` are the pieces of its body, a character a byte. */
  fetched(waitedMs: number, id: number, head: string, ...parts: string[]): Reply {
    this.#called();
    this.#clock.pass(waitedMs, this.#timers.nextDueMs);
    this.#asks.settle(id, head, join(parts, ""));
    this.#tell();
    return this.#reply;
  }

  /** The task that waits has had its time; `spent`: its processor time. */
  expire(spent?: number): Reply {
    this.#called();
    const task = this.#waiting;
    if (task !== undefined) {
      const endMs = task.atMs + this.#settings.limits.timeoutMs;
      if (spent === undefined && endMs > this.#clock.exactMs) this.#clock.set(endMs);
      const reason = timeUp(this.#settings.limits.timeoutMs, spent, this.#asks.oldest);
      this.#fail(task, failureOf(reason));
      expire(task.context, reason);
      this.#goOn();
    }
    this.#tell();
    return this.#reply;
  }

  /** A promise of the task that ran last was rejected and nobody handled it: that is its failure. */
  blame(message: string): Reply {
    this.#called(false);
    const failure = { code: "HANDLER_REJECTED", message, final: false };
    const task = this.#waiting ?? this.#last;
    if (task !== undefined) {
      if (this.#waiting === undefined) this.#takeBack(task);
      this.#fail(task, failure);
    }
    this.#goOn();
    this.#tell();
    return this.#reply;
  }

  /** What has been answered so far, and whether that is all; no task of this batch goes on after it. */
  collect(): [string, boolean] {
    const answer = this.#answer;
    this.#over();
    return [answer, this.#index === this.#count];
  }

  /** The reply before this call has left, or it has not: its call was rejected. */
  #called(hasLeft = true): void {
    if (hasLeft) this.#asks.sent();
    this.#reply = answered("");
    this.#calledMs = now();
  }

  // --- the batch

  #start(oneByOne: boolean): Reply {
    this.#over();
    this.#called();
    this.#oneByOne = oneByOne;
    this.#index = 0;
    this.#startedMs = this.#nowMs = this.#calledMs;
    this.#answer = this.#logger.takeSpare();
    this.#states.forget();
    this.#go();
    this.#tell();
    return this.#reply;
  }

  #over(): void {
    this.#waiting = undefined;
    this.#last = undefined;
    this.#logger.draft = undefined;
    this.#timers.close();
    this.#asks.reset();
    this.#answer = "";
  }

  /** After a task that waited: with the next one, or first outside, to hear what came of it. */
  #goOn(): void {
    if (!this.#oneByOne) this.#go();
  }

  /** Runs tasks until none is left, or until one has to wait. */
  #go(): void {
    while (this.#index < this.#count) {
      if (this.#index > 0 && this.#spent()) {
        // How long it takes is no part of a captured run: it goes on with the next call.
        if (this.#captured && this.#answer.length < ANSWER_CHARS) return;
        for (; this.#index < this.#count; this.#index++) this.#answer += UNRUN;
        return;
      }
      this.#begin();
      if (this.#waiting !== undefined || this.#oneByOne) return;
    }
  }

  /** Brings the reply up to date. */
  #tell(): void {
    const reply = this.#reply;
    if (this.#waiting !== undefined) {
      const { startedMs } = this.#waiting;
      const othersMs = startedMs > this.#calledMs ? startedMs - this.#calledMs : 0;
      const { nextInMs } = this.#timers;
      const { timeoutMs } = this.#settings.limits;
      if (!this.#captured) waiting(reply, nextInMs, timeoutMs - (now() - startedMs), othersMs, this.#asks.text);
      else if (nextInMs < 0) waiting(reply, -1, 0, othersMs);
      else waiting(reply, 0, timeoutMs, othersMs);
    } else if (this.#index < this.#count || (this.#oneByOne && this.#last !== undefined)) {
      waiting(reply, 0, 1, -1, this.#asks.text);
    } else {
      reply[0] = this.#answer;
      reply[1] = false;
    }
  }

  #spent(): boolean {
    this.#nowMs = now();
    const isMuch = this.#answer.length >= ANSWER_CHARS || this.#asks.areMany;
    return isMuch || this.#nowMs - this.#startedMs >= this.#settings.sliceMs;
  }

  /** Calls the handler with the task at `#index`. */
  #begin(): void {
    const text = this.#text;
    const heads = this.#heads;
    const at = HEADS_AT + this.#index * HEAD_INTS;
    const key = heads[at + HEAD.key] as number;
    if (this.#states.hasFailed(key)) {
      this.#index++;
      this.#answer += BEHIND;
      return;
    }
    const stateBefore = this.#states.read(key, text, heads, at);
    heads[0] = this.#index;
    const draft = (this.#logger.draft = new Draft());
    const atMs = startOf(heads, at, this.#captured);
    this.#clock.set(atMs);
    this.#random.begin(heads[at + HEAD.seqHigh] as number, heads[at + HEAD.seqLow] as number);
    if (this.#captured) this.#bytes.begin(heads[at + HEAD.seqHigh] as number, heads[at + HEAD.seqLow] as number);
    this.#timers.open();
    this.#asks.open();
    const event = this.#reader.read(text, heads, at);
    const context = new Context(this.#around, draft, heads[at + HEAD.attempt] as number, stateBefore);
    const task: Running = {
      draft,
      context,
      key,
      startedMs: this.#nowMs,
      atMs,
      answerBefore: this.#answer,
      stateBefore,
      writerBefore: this.#states.writerOf(key),
    };
    try {
      migrateFor(task, this.#migrate, this.#around.version);
      const handle = this.#handle as Handle; // Called bare: as a method it would get hold of the guest.
      const result = handle(event, context);
      const promise = promiseOf(result);
      if (promise === undefined) this.#finish(task, result);
      else void this.#await(task, promise);
    } catch (thrown) {
      this.#fail(task, failureOf(thrown));
    }
  }

  async #await(task: Running, promise: Promise<unknown>): Promise<void> {
    this.#waiting = task;
    try {
      const result = await promise;
      if (this.#waiting === task) this.#finish(task, result);
      else return;
    } catch (thrown) {
      if (this.#waiting !== task) return;
      this.#fail(task, failureOf(thrown));
    }
    this.#goOn();
    this.#tell();
  }

  #finish(task: Running, result: unknown): void {
    const { draft, context, key } = task;
    let state: string | undefined;
    try {
      emitResult(draft, this.#around.limits, result);
      state = stateAfter(context, this.#around.limits.stateBytesMax);
      if (task.isMigrated === true) state ??= task.stateBefore; // Written as it was, by this version.
    } catch (thrown) {
      this.#fail(task, failureOf(thrown));
      return;
    }
    if (state !== undefined) this.#states.set(key, state === "" ? undefined : state, this.#around.version);
    this.#answer += draft.logs + draft.effects + (state === undefined ? DONE : `s${state}\n${DONE}`);
    this.#ended(task);
  }

  #fail(task: Running, failure: Parameters<typeof failureLine>[0]): void {
    this.#states.fail(task.key);
    this.#answer += `${task.draft.logs}!${failureLine(failure)}\n`;
    this.#ended(task);
  }

  #ended(task: Running): void {
    close(task.draft);
    this.#logger.draft = undefined;
    this.#timers.close();
    this.#asks.close();
    this.#waiting = undefined;
    this.#last = task;
    this.#index++;
  }

  /** As if it had not ended yet. */
  #takeBack(task: Running): void {
    this.#answer = task.answerBefore;
    this.#states.set(task.key, task.stateBefore, task.writerBefore);
    this.#index--;
  }
}

/** What the host calls. */
export function install(settingsJson: string, heads: Int32Array): object {
  const guest = new Guest(jsonParse(settingsJson) as GuestSettings, heads);
  return {
    web: (define: () => { install: (host: WebHost) => void }, seed: string) => guest.web(define, seed),
    load: (define: (module: object, exports: object) => void) => guest.load(define),
    // Not spread again: that would ask the iterator of lists, which a handler may have patched.
    run: (count: number, ...parts: string[]) => guest.run(count, parts),
    oneByOne: () => guest.oneByOne(),
    fetched: (...args: Parameters<Guest["fetched"]>) => guest.fetched(...args),
    wake: (waitedMs: number) => guest.wake(waitedMs),
    expire: (spent?: number) => guest.expire(spent),
    blame: (message: string) => guest.blame(message),
    collect: () => guest.collect(),
  };
}

/**
 * One place in the pool: the runner that holds it, what that runner was asked, and its replacement.
 *
 * A runner is killed when it overruns its deadline, outgrows its memory, reports an isolate that cannot be stopped, or
 * says something that no runner of ours says. Whatever it had in flight is answered at once; what was not sent yet
 * waits for its successor.
 */
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Task } from "../task.ts";
import { backoffMs } from "../time.ts";
import { answerAll, asBeat, asLoaded, InFlightTable } from "./in-flight.ts";
import type { Done, Version, Waiting } from "./in-flight.ts";
import { LOAD_MS_MIN } from "./guest-isolate.ts";
import type { GuestBundle, Loaded } from "./isolates.ts";
import type { Redact } from "./redaction.ts";
import { RequestQueue } from "./request-queue.ts";
import type { Load } from "./request-queue.ts";
import { Look, Pulse } from "./pulse.ts";
import type { RunnerEnd, RunnerProcess } from "./runner-process.ts";
import { allOf, parseBody, readAnswer, readSpent, strike, WireError } from "./results.ts";
import type { Beat, LoadBody, UnloadBody } from "./runner.ts";
import { Spare } from "./spare.ts";
import type { SpareOptions } from "./spare.ts";
import { jsonFrame, runFrame } from "./wire.ts";
import type { Frame } from "./wire.ts";

export interface SupervisorOptions extends SpareOptions {
  readonly index: number;
  readonly rssBytesMax: () => number;
  readonly sliceMs: number;
  readonly log: Log;
  /** Takes handlers' secrets out of what a runner says. */
  readonly redact: Redact;
}

interface Ready {
  readonly at: "ready";
  readonly runner: RunnerProcess;
  readonly pulse: Pulse;
}

type State =
  /** No process: nobody has asked for anything, or not for long. */
  | { readonly at: "asleep" }
  | { readonly at: "starting"; readonly runner: RunnerProcess; readonly dueMs: number }
  | Ready
  | { readonly at: "down"; readonly timer: NodeJS.Timeout }
  | { readonly at: "closed" };

/** What a runner says in a frame of JSON: a few numbers, or a config of 64 K characters or a failure. */
const SMALL_BYTES_MAX = 1024;
const LOADED_BYTES_MAX = 1024 * 1024;
const START_MS_MAX = 15_000;
/** Starts that may fail in a row before opening is given up. Later on, starting is never given up. */
const FIRST_STARTS_MAX = 3;
const RESTART = { firstMs: 100, maxMs: 5000 };
const NO_BEAT: Beat = { alive: 0, rested: 0, yielded: 0 };

const NO_FIGURES = { started: 0, lost: 0, killedForMemory: 0, killedForTime: 0, killedForNonsense: 0 };

export class Supervisor {
  readonly figures = { ...NO_FIGURES };
  readonly #options: SupervisorOptions;
  readonly #inFlight: InFlightTable;
  readonly #queue: RequestQueue;
  #whenReady: { readonly resolve: () => void; readonly reject: (fault: Fault) => void }[] = [];
  #state: State = { at: "asleep" };
  /** Versions that the process has been told of. */
  readonly #known = new Set<number>();
  /** When something was last asked of it. */
  #usedMs: number;
  #startsFailed = 0;
  #hasBeenReady = false;
  readonly spare: Spare;
  readonly #look = new Look(() => this.#lookAt());
  #beat: Beat = NO_BEAT;
  /** Of runners that are gone. */
  #rested = 0;
  #yielded = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.spare = new Spare(options);
    this.#inFlight = new InFlightTable(options.clock);
    this.#usedMs = options.clock.monotonic();
    this.#queue = new RequestQueue(options.clock, {
      isReady: () => this.isReady,
      isFree: () => this.#inFlight.size === 0,
      send: (work) => this.#send(this.#state as Ready, work),
      load: (load) => this.#load(this.#state as Ready, load),
    });
  }

  get pid(): number {
    return "runner" in this.#state ? this.#state.runner.pid : 0;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Of the runner at work, and of the one in reserve. */
  get rssBytes(): number {
    return (this.#state.at === "ready" ? this.#state.runner.rssBytes() : 0) + this.spare.rssBytes;
  }

  /** Isolates: how many there are as far as is known, and how many were given up so far. */
  get isolates(): Beat {
    const { alive, rested, yielded } = this.#beat;
    return { alive, rested: this.#rested + rested, yielded: this.#yielded + yielded };
  }

  get isReady(): boolean {
    return this.#state.at === "ready";
  }

  get isAwake(): boolean {
    return this.#state.at !== "asleep" && this.#state.at !== "closed";
  }

  /** Processor time that the main thread of the runner has had; undefined where that cannot be known, or it is not up. */
  get busyMs(): number | undefined {
    return this.#state.at === "ready" ? this.#state.runner.mainThreadMs() : undefined;
  }

  /**
   * Resolves when a runner is at work, which it starts when there is none; also when the supervisor is closed. Rejects
   * with Fault SANDBOX_UNAVAILABLE when no runner has ever come up and the first starts failed.
   */
  ready(): Promise<void> {
    this.#wake();
    if (this.#state.at === "ready" || this.#state.at === "closed") return Promise.resolve();
    return new Promise((resolve, reject) => this.#whenReady.push({ resolve, reject }));
  }

  /** Work that comes after close() is not answered: nobody is there to run it again. */
  run(work: Waiting): void {
    this.#queue.run(work);
    this.#wake();
  }

  /** Lets the process go when nothing has been asked of it for `idleMs`; the next request starts another. */
  rest(idleMs: number): void {
    const state = this.#state;
    if (state.at !== "ready" || this.#inFlight.size > 0 || this.#queue.hasLoads) return;
    if (this.#options.clock.monotonic() - this.#usedMs < idleMs) return;
    this.#state = { at: "asleep" };
    this.#gone();
    state.runner.kill("nothing to do");
  }

  /** undefined: the runner was lost meanwhile, perhaps by this. */
  async load(version: Version): Promise<Loaded | undefined> {
    const body = this.#loadBody(version, false);
    return this.#ask("load", body, Math.max(LOAD_MS_MIN, version.guest.timeoutMs), version.serial);
  }

  async inspect(bundle: GuestBundle): Promise<Loaded | undefined> {
    return this.#ask("inspect", bundle, Math.max(LOAD_MS_MIN, bundle.timeoutMs));
  }

  unload(serial: number): void {
    if (!this.#known.delete(serial) || this.#state.at !== "ready") return;
    const body: UnloadBody = { serial, rssBytesMax: this.#options.rssBytesMax() };
    this.#state.runner.send(jsonFrame("unload", 0, body));
  }

  /** What is in flight is answered `unrun`; resolves when the process is gone. */
  async close(): Promise<void> {
    const state = this.#state;
    this.#state = { at: "closed" };
    if (state.at === "down") clearTimeout(state.timer);
    this.#look.end();
    const { batches, loads } = this.#queue.clear();
    for (const { batch, done } of batches) done(undefined, allOf(batch, "unrun"));
    answerAll(this.#inFlight.takeAll(), "unrun");
    for (const { answered } of loads) answered(undefined);
    for (const { resolve } of this.#whenReady.splice(0)) resolve();
    if ("runner" in state) state.runner.kill("closed");
    await Promise.all(["runner" in state ? state.runner.exited : undefined, this.spare.close()]);
  }

  #loadBody({ serial, guest }: Version, lazy: boolean): LoadBody {
    return { serial, bundle: guest, lazy, rssBytesMax: this.#options.rssBytesMax() };
  }

  #wake(): void {
    this.#usedMs = this.#options.clock.monotonic();
    if (this.#state.at === "asleep") this.#state = this.#start();
  }

  /** What the process was, and was told, is gone with it. */
  #gone(): void {
    this.#known.clear();
    this.#rested += this.#beat.rested;
    this.#yielded += this.#beat.yielded;
    this.#beat = NO_BEAT;
  }

  #start(): State {
    this.figures.started++;
    const { runner, isReady } = this.spare.take((taken) => ({
      frame: (frame) => this.#hear(taken, frame),
      lost: (why, end) => this.#replace(taken, why, end),
    }));
    if (isReady) setImmediate(() => this.#ready(runner)); // What its predecessor had in hand is answered first.
    this.#look.begin();
    return { at: "starting", runner, dueMs: this.#options.clock.monotonic() + START_MS_MAX };
  }

  #ready(runner: RunnerProcess): void {
    if (this.#state.at !== "starting" || this.#state.runner !== runner) return; // It was lost meanwhile.
    const ready = { at: "ready", runner, pulse: new Pulse(this.#options.clock.monotonic()) } as const;
    this.#state = ready;
    this.#hasBeenReady = true;
    this.#startsFailed = 0;
    this.#queue.takeTurns();
    for (const { resolve } of this.#whenReady.splice(0)) resolve();
  }

  #begin(pulse: Pulse): void {
    if (this.#look.begin()) pulse.heard(this.#options.clock.monotonic()); // Until now there was nothing to say.
  }

  #send({ runner, pulse }: Ready, work: Waiting): void {
    const { version: newest, batch, states, done, isCaptured: captured } = work;
    const version = newest();
    if (version === undefined) {
      queueMicrotask(() => done(undefined, allOf(batch, "unrun")));
      return;
    }
    if (!this.#known.has(version.serial)) {
      this.#known.add(version.serial);
      runner.send(jsonFrame("load", 0, this.#loadBody(version, true)));
    }
    const budgetMs = (this.#options.sliceMs + version.guest.timeoutMs) * (captured ? batch.length : 1);
    const id = this.#inFlight.add({ at: "run", version, batch, done }, budgetMs);
    this.#begin(pulse);
    work.startMs = work.atMs ?? this.#options.clock.now();
    const time = { atMs: work.startMs, captured, startsMs: work.startsMs };
    runner.send(runFrame(id, version.serial, time, batch, states, work.stateVersions));
  }

  async #ask(kind: "load" | "inspect", body: unknown, budgetMs: number, serial?: number): Promise<Loaded | undefined> {
    await this.ready();
    if (this.#state.at !== "ready") return undefined;
    return new Promise((answered) => {
      this.#queue.load({ kind, body, budgetMs, serial, answered });
    });
  }

  #load({ runner, pulse }: Ready, { kind, body, budgetMs, serial, answered }: Load): void {
    if (serial !== undefined) this.#known.add(serial);
    const id = this.#inFlight.add({ at: "load", answered }, budgetMs);
    this.#begin(pulse);
    runner.send(jsonFrame(kind, id, body));
  }

  // --- what the runner says

  #hear(runner: RunnerProcess, frame: Frame): void {
    try {
      this.#understand(runner, frame);
    } catch (error) {
      if (!(error instanceof WireError) && !(error instanceof SyntaxError)) throw error;
      this.figures.killedForNonsense++;
      runner.kill(`said nonsense: ${messageOf(error)}`);
    }
  }

  #understand(runner: RunnerProcess, { kind, id, body }: Frame): void {
    if (kind === "ready") {
      if (this.#state.at !== "starting") throw new WireError("it is ready twice");
      this.#ready(runner);
      return;
    }
    if (this.#state.at === "ready") this.#state.pulse.heard(this.#options.clock.monotonic());
    if (kind === "beat") {
      this.#heardBeat(asBeat(parseBody(body, SMALL_BYTES_MAX)));
      return;
    }
    const entry = this.#inFlight.get(id);
    if (entry === undefined) throw new WireError(`an answer to request ${id}, which is not open`);
    if (entry.at === "load") {
      if (kind !== "loaded" && kind !== "inspected") throw new WireError(`${kind} for a load`);
      const loaded = asLoaded(parseBody(body, LOADED_BYTES_MAX));
      this.#inFlight.take(id);
      entry.answered(loaded);
      this.#queue.takeTurns();
    } else if (kind === "ran") {
      const results = readAnswer(body, entry.batch, entry.version.reader);
      this.#inFlight.take(id);
      entry.done(entry.version, results, readSpent(body));
      if (this.#queue.hasLoads) this.#queue.takeTurns();
    } else if (kind === "ask") {
      this.#inFlight.fetching.hear(runner, id, entry.version.asker, body);
    } else if (kind === "stuck") {
      this.#stuck(runner, id, entry.version, entry.batch, entry.done, parseBody(body, SMALL_BYTES_MAX));
    } else {
      throw new WireError(`${kind} for a run`);
    }
  }

  /**
   * The culprit is known, so nobody else has to be suspected. Only when the runner is gone are they told: whoever is
   * brings the next batches at once, and those are for its successor.
   */
  #stuck(runner: RunnerProcess, id: number, version: Version, batch: readonly Task[], done: Done, said: unknown): void {
    const index = (said as { index?: unknown } | null)?.index;
    if (typeof index !== "number" || batch[index] === undefined) throw new WireError("stuck without a task");
    this.#inFlight.take(id);
    const { timeoutMs } = version.guest;
    const message = `took longer than ${timeoutMs} ms and could not be stopped; its runner was killed`;
    const failure = version.reader.failure({ code: "SANDBOX_TIMEOUT", message });
    this.figures.killedForTime++;
    const others = this.#inFlight.takeAll();
    runner.kill(`handler ${version.guest.settings.handler} could not be stopped`);
    done(version, strike([], batch, index, failure, "runner"));
    answerAll(others, "unrun");
  }

  #heardBeat(beat: Beat): void {
    const { log, index, clock } = this.#options;
    if (this.#state.at === "ready") this.#state.pulse.beat(clock.monotonic());
    const yielded = beat.yielded - this.#beat.yielded;
    if (yielded < 0 || beat.rested < this.#beat.rested) throw new WireError("a count that falls");
    this.#beat = beat;
    if (yielded > 0) log.warn({ runner: index, isolates: yielded }, "memory is short: a runner gave isolates up");
  }

  // --- watching and replacing

  #lookAt(): boolean {
    const state = this.#state;
    if (state.at === "starting") {
      if (this.#options.clock.monotonic() > state.dueMs) state.runner.kill(`was not ready within ${START_MS_MAX} ms`);
      return true;
    }
    if (state.at !== "ready" || this.#inFlight.size === 0) return false;
    this.#judge(state);
    return true;
  }

  #judge({ runner, pulse }: Ready): void {
    const nowMs = this.#options.clock.monotonic();
    const rssBytesMax = this.#options.rssBytesMax();
    const rssBytes = runner.rssBytes();
    if (rssBytes > rssBytesMax) {
      const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024);
      runner.kill(`took ${megabytes(rssBytes)} MB, more than ${megabytes(rssBytesMax)} MB`, "outgrew");
      return;
    }
    const isLost = pulse.isLost(nowMs, () => runner.mainThreadMs());
    if (!isLost && !this.#inFlight.isOverdue(nowMs)) return;
    this.figures.killedForTime++;
    runner.kill(isLost ? "was busy with something that cannot be stopped" : "did not answer in time");
  }

  #replace(lost: RunnerProcess, why: string, end: RunnerEnd): void {
    const state = this.#state;
    if (!("runner" in state) || state.runner !== lost) return;
    this.figures.lost++;
    if (end === "outgrew") this.figures.killedForMemory++;
    this.#gone();
    const { log, index, redact } = this.#options;
    log.warn({ runner: index, pid: lost.pid, why: redact(why), inFlight: this.#inFlight.size }, "runner lost");
    if (state.at === "starting") {
      const waitMs = backoffMs(RESTART, ++this.#startsFailed, Math.random);
      const timer = setTimeout(() => (this.#state = this.#start()), waitMs);
      this.#state = { at: "down", timer };
      if (this.#startsFailed >= FIRST_STARTS_MAX && !this.#hasBeenReady) {
        const fault = new Fault("SANDBOX_UNAVAILABLE", `no runner can be started: it ${redact(why)}`);
        for (const { reject } of this.#whenReady.splice(0)) reject(fault);
      }
    } else {
      this.#state = this.#start();
      this.spare.keep();
    }
    const lostWork = this.#inFlight.takeAll();
    this.#queue.lost(lostWork.some((request) => request.at === "load"));
    answerAll(lostWork, end === "ended" ? "ended" : "killed");
  }
}

/**
 * One place in the pool: the runner that holds it, what that runner was asked, and its replacement.
 *
 * A runner is killed when it overruns its deadline, outgrows its memory, reports an isolate that cannot be stopped, or
 * says something that no runner of ours says. Whatever it had in flight is answered at once; what was not sent yet
 * waits for its successor.
 */
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Failure, Task } from "../task.ts";
import { backoffMs } from "../time.ts";
import type { Clock } from "../time.ts";
import { answerAll, asBeat, asLoaded, InFlightTable } from "./in-flight.ts";
import type { Done, Version, Waiting } from "./in-flight.ts";
import { LOAD_MS_MIN } from "./guest-isolate.ts";
import type { GuestBundle, Loaded } from "./isolates.ts";
import { Pulse } from "./pulse.ts";
import type { Redact } from "./redaction.ts";
import { RunnerProcess } from "./runner-process.ts";
import type { RunnerCommand } from "./runner-process.ts";
import { allOf, parseBody, readAnswer, strike, WireError } from "./results.ts";
import type { Beat, LoadBody, UnloadBody } from "./runner.ts";
import { jsonFrame, runFrame } from "./wire.ts";
import type { Frame } from "./wire.ts";

export interface SupervisorOptions {
  readonly index: number;
  readonly command: RunnerCommand;
  readonly rssBytesMax: () => number;
  readonly sliceMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The versions that a new runner has to have. */
  readonly versions: () => Iterable<Version>;
  /** Takes handlers' secrets out of what a runner says. */
  readonly redact: Redact;
}

interface Ready {
  readonly at: "ready";
  readonly runner: RunnerProcess;
  readonly pulse: Pulse;
}

type State =
  | { readonly at: "starting"; readonly runner: RunnerProcess; readonly dueMs: number }
  | Ready
  | { readonly at: "down"; readonly timer: NodeJS.Timeout }
  | { readonly at: "closed" };

/** A module that is to be loaded, or inspected. */
interface Load {
  readonly kind: "load" | "inspect";
  readonly body: unknown;
  readonly budgetMs: number;
  readonly answered: (loaded: Loaded | undefined) => void;
}

/** What a runner says in a frame of JSON: a few numbers, or a config of 64 K characters or a failure. */
const SMALL_BYTES_MAX = 1024;
const LOADED_BYTES_MAX = 1024 * 1024;
/** After a runner was lost with a load in flight, loads are made with nothing beside them for so long. */
const CAREFUL_MS = 30_000;
/** How often a busy runner is looked at. Memory can grow by some hundred MB between two looks. */
const LOOK_MS = 15;
const START_MS_MAX = 15_000;
/** Starts that may fail in a row before opening is given up. Later on, starting is never given up. */
const FIRST_STARTS_MAX = 3;
const RESTART = { firstMs: 100, maxMs: 5000 };
const NO_BEAT: Beat = { alive: 0, rested: 0, yielded: 0 };

export interface SupervisorFigures {
  started: number;
  lost: number;
  killedForMemory: number;
  killedForTime: number;
  killedForNonsense: number;
}

export class Supervisor {
  readonly figures: SupervisorFigures = {
    started: 0,
    lost: 0,
    killedForMemory: 0,
    killedForTime: 0,
    killedForNonsense: 0,
  };
  readonly #options: SupervisorOptions;
  readonly #inFlight: InFlightTable;
  #waiting: Waiting[] = [];
  #carefulUntilMs = -Infinity;
  /** Loads that wait until nothing else is in flight; batches that come meanwhile wait for them. */
  #loads: Load[] = [];
  /** One of them is in flight. */
  #isLoading = false;
  #whenReady: { readonly resolve: () => void; readonly reject: (fault: Fault) => void }[] = [];
  #state: State;
  #startsFailed = 0;
  #hasBeenReady = false;
  #look: NodeJS.Timeout | undefined;
  #rssBytes = 0;
  #beat: Beat = NO_BEAT;
  /** Of runners that are gone. */
  #rested = 0;
  #yielded = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#inFlight = new InFlightTable(options.clock);
    this.#state = this.#start();
  }

  get pid(): number {
    return "runner" in this.#state ? this.#state.runner.pid : 0;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get rssBytes(): number {
    return this.#state.at === "ready" ? (this.#rssBytes = this.#state.runner.rssBytes()) : 0;
  }

  /** Isolates: how many there are as far as is known, and how many were given up so far. */
  get isolates(): Beat {
    const { alive, rested, yielded } = this.#beat;
    return { alive, rested: this.#rested + rested, yielded: this.#yielded + yielded };
  }

  get isReady(): boolean {
    return this.#state.at === "ready";
  }

  /**
   * Resolves when a runner is at work, at once when one is; also when the supervisor is closed. Rejects with Fault
   * SANDBOX_UNAVAILABLE when no runner has ever come up and the first starts failed.
   */
  ready(): Promise<void> {
    if (this.#state.at === "ready" || this.#state.at === "closed") return Promise.resolve();
    return new Promise((resolve, reject) => this.#whenReady.push({ resolve, reject }));
  }

  /** Work that comes after close() is not answered: nobody is there to run it again. */
  run(work: Waiting): void {
    if (this.#state.at === "ready" && this.#loads.length === 0 && !this.#isLoading) this.#send(this.#state, work);
    else this.#waiting.push(work);
  }

  /** undefined: the runner was lost meanwhile, perhaps by this. */
  async load(version: Version): Promise<Loaded | undefined> {
    return this.#ask("load", this.#loadBody(version, false), Math.max(LOAD_MS_MIN, version.guest.timeoutMs));
  }

  async inspect(bundle: GuestBundle): Promise<Loaded | undefined> {
    return this.#ask("inspect", bundle, Math.max(LOAD_MS_MIN, bundle.timeoutMs));
  }

  unload(serial: number): void {
    if (this.#state.at !== "ready") return;
    const body: UnloadBody = { serial, rssBytesMax: this.#options.rssBytesMax() };
    this.#state.runner.send(jsonFrame("unload", 0, body));
  }

  /** What is in flight is answered `unrun`; resolves when the process is gone. */
  async close(): Promise<void> {
    const state = this.#state;
    this.#state = { at: "closed" };
    if (state.at === "down") clearTimeout(state.timer);
    clearInterval(this.#look);
    for (const work of this.#waiting.splice(0)) work.done(undefined, allOf(work.batch, "unrun"));
    answerAll(this.#inFlight.takeAll(), "unrun");
    for (const { answered } of this.#loads.splice(0)) answered(undefined);
    for (const { resolve } of this.#whenReady.splice(0)) resolve();
    if (!("runner" in state)) return;
    state.runner.kill("closed");
    await state.runner.exited;
  }

  #loadBody({ serial, guest }: Version, lazy: boolean): LoadBody {
    return { serial, bundle: guest, lazy, rssBytesMax: this.#options.rssBytesMax() };
  }

  #start(): State {
    this.figures.started++;
    const runner: RunnerProcess = new RunnerProcess(this.#options.command, {
      frame: (frame) => this.#hear(runner, frame),
      lost: (why) => this.#replace(runner, why),
    });
    this.#watch();
    return { at: "starting", runner, dueMs: this.#options.clock.monotonic() + START_MS_MAX };
  }

  #ready(runner: RunnerProcess): void {
    const ready = { at: "ready", runner, pulse: new Pulse(this.#options.clock.monotonic()) } as const;
    this.#state = ready;
    this.#hasBeenReady = true;
    this.#startsFailed = 0;
    for (const version of this.#options.versions()) {
      runner.send(jsonFrame("load", 0, this.#loadBody(version, true)));
    }
    this.#takeTurns();
    for (const { resolve } of this.#whenReady.splice(0)) resolve();
  }

  #send({ runner, pulse }: Ready, { version: newest, batch, states, done }: Waiting): void {
    const version = newest();
    if (version === undefined) {
      queueMicrotask(() => done(undefined, allOf(batch, "unrun")));
      return;
    }
    const budgetMs = this.#options.sliceMs + version.guest.timeoutMs;
    const id = this.#inFlight.add({ at: "run", version, batch, done }, budgetMs);
    this.#watch(pulse);
    runner.send(runFrame(id, version.serial, batch, states));
  }

  async #ask(kind: "load" | "inspect", body: unknown, budgetMs: number): Promise<Loaded | undefined> {
    await this.ready();
    const state = this.#state;
    if (state.at !== "ready") return undefined;
    return new Promise((answered) => {
      const load: Load = { kind, body, budgetMs, answered };
      if (this.#options.clock.monotonic() >= this.#carefulUntilMs) {
        this.#sendLoad(state, load);
      } else {
        this.#loads.push(load);
        this.#takeTurns();
      }
    });
  }

  #sendLoad({ runner, pulse }: Ready, { kind, body, budgetMs, answered }: Load): void {
    const id = this.#inFlight.add({ at: "load", answered }, budgetMs);
    this.#watch(pulse);
    runner.send(jsonFrame(kind, id, body));
  }

  /** Something was answered, or a runner is ready: batches that waited for a load go out, and then the next load. */
  #takeTurns(): void {
    const state = this.#state;
    if (state.at !== "ready" || this.#inFlight.size > 0) return;
    const wasLoading = this.#isLoading;
    this.#isLoading = false;
    if (wasLoading || this.#loads.length === 0) for (const work of this.#waiting.splice(0)) this.#send(state, work);
    if (this.#inFlight.size > 0) return;
    const load = this.#loads.shift();
    if (load === undefined) return;
    this.#isLoading = true;
    this.#sendLoad(state, load);
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
      this.#takeTurns();
    } else if (kind === "ran") {
      const results = readAnswer(body, entry.batch, entry.version.reader);
      this.#inFlight.take(id);
      entry.done(entry.version, results);
      if (this.#loads.length > 0) this.#takeTurns();
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
    const failure: Failure = { code: "SANDBOX_TIMEOUT", message };
    this.figures.killedForTime++;
    const others = this.#inFlight.takeAll();
    runner.kill(`handler ${version.guest.settings.handler} could not be stopped`);
    const results = strike([], batch, index, failure);
    done(
      version,
      results.map((result) => (result.at === "failed" ? { ...result, runnerLost: true } : result)),
    );
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

  #watch(pulse?: Pulse): void {
    if (this.#look !== undefined) return;
    pulse?.heard(this.#options.clock.monotonic()); // Until now there was nothing to say.
    this.#look = setInterval(() => this.#lookAt(), LOOK_MS);
  }

  #lookAt(): void {
    const state = this.#state;
    const nowMs = this.#options.clock.monotonic();
    if (state.at === "starting") {
      if (nowMs > state.dueMs) state.runner.kill(`was not ready within ${START_MS_MAX} ms`);
      return;
    }
    if (state.at !== "ready" || this.#inFlight.size === 0) {
      clearInterval(this.#look);
      this.#look = undefined;
      return;
    }
    this.#rssBytes = state.runner.rssBytes();
    const rssBytesMax = this.#options.rssBytesMax();
    if (this.#rssBytes > rssBytesMax) {
      this.figures.killedForMemory++;
      const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024);
      state.runner.kill(`took ${megabytes(this.#rssBytes)} MB, more than ${megabytes(rssBytesMax)} MB`);
      return;
    }
    if (state.pulse.isLost(nowMs, () => state.runner.mainThreadMs())) {
      this.figures.killedForTime++;
      state.runner.kill("was busy with something that cannot be stopped");
      return;
    }
    if (!this.#inFlight.isOverdue(nowMs)) return;
    this.figures.killedForTime++;
    state.runner.kill("did not answer in time");
  }

  #replace(lost: RunnerProcess, why: string): void {
    const state = this.#state;
    if (!("runner" in state) || state.runner !== lost) return;
    this.figures.lost++;
    this.#rested += this.#beat.rested;
    this.#yielded += this.#beat.yielded;
    this.#beat = NO_BEAT;
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
    }
    const lostWork = this.#inFlight.takeAll();
    this.#isLoading = false;
    // Whether a load did it or a batch beside it shows when each is tried with nothing beside it.
    if (lostWork.some((request) => request.at === "load")) {
      this.#carefulUntilMs = this.#options.clock.monotonic() + CAREFUL_MS;
    }
    answerAll(lostWork, "crashed");
  }
}

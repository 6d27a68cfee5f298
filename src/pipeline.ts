/**
 * The hot path: accept → run → settle.
 *
 * **accept** asks the triggers who wants the event and stages it, with a task for each, in the journal's open commit;
 * the device is acknowledged by the journal once that commit is on disk. **run** hands each lane's next batch to a
 * runner. **settle** stages what every task came to, one atomic unit a task (G2), and lets the lane go on. Nothing here
 * waits: what waits is the journal's commit, the runner, and time.
 *
 * P1  An event that nobody wants is acknowledged and counted, and leaves nothing in the journal but, of QoS 2, its claim.
 * P2  A task is settled exactly once; until then it is in its feed, its lane, a runner, or parked.
 * P3  A line whose uplink takes no more hands out nothing; its tasks wait on disk, and others go on.
 * P4  Only the task that took a runner down twice, the second time alone, is made a dead letter for it (G5); three times
 *     where the runner ended by itself, for then it may have been somebody else's doing.
 * P5  A handler that keeps costing runners stands aside for a while; its tasks wait, and others go on (G5).
 * P6  What has not shown that it is harmless runs in another process than what has (placement.ts).
 * P7  A handler that has spent its outputs of a second hands out nothing until there are more; its tasks wait.
 * P8  A state that would take all of the handler's beyond their limit fails its task, and what ran on with it runs again.
 * P9  State that an operator removes stays removed: what was running with it counts for nothing, and runs again.
 */
import type { EventDraft } from "./event.ts";
import type { Fault } from "./fault.ts";
import type { Task } from "./task.ts";
import { forward, ROUTE_VERSION } from "./tasks/forward.ts";
import type { Batch, Feed } from "./tasks/lane.ts";
import { Line } from "./tasks/line.ts";
import type { LineContext, LineSettings } from "./tasks/line.ts";
import type { LineFigures } from "./tasks/line-figures.ts";
import type { ParkedKey } from "./tasks/parked.ts";
import { Placement } from "./tasks/placement.ts";
import type { Verdict } from "./tasks/probation.ts";
import { runFitting } from "./tasks/run.ts";
import type { BatchResult, Destination, Runners, RunResult, Settle, States } from "./tasks/run.ts";
import { runShadow } from "./tasks/shadow.ts";
import { Trials } from "./tasks/trials.ts";

export type Admission = "taken" | "later" | "refused";

export interface Receiver {
  committed(tag: number, fault: Fault | undefined): void;
}

interface Journal {
  append(event: EventDraft, wanted: readonly number[], receiver: Receiver, tag: number, packetId?: number): Admission;
  settle: LineContext["settle"];
  fits: LineContext["fits"];
  takesChained: LineContext["takesChained"];
  tasks(handler: number, keyOf: (topic: string, device: string) => string, wake: () => void): Feed;
  state(handler: number, keys: readonly string[]): (string | undefined)[] | Promise<(string | undefined)[]>;
  /** By which versions those were written that were just read. */
  stateVersions?(handler: number, keys: readonly string[]): readonly number[] | undefined;
  parked(handler: number): Promise<readonly ParkedKey[]>;
  readParked(handler: number, key: string, max: number): Promise<readonly Task[]>;
}

export interface PipelineOptions extends Omit<
  LineContext,
  "settle" | "fits" | "takesChained" | "runners" | "quarantined" | "heldBack" | "offended" | "judged" | "shadow"
> {
  readonly journal: Journal;
  readonly runners: Runners;
  /** True when the uplink takes no more outputs for now: handlers that send to it wait. Looked at again every 250 ms. */
  readonly isFull: (uplink: number) => boolean;
  /** A version of the handler was on probation, and has passed it or not; a rejected one gets nothing more to run. */
  readonly judged: (handler: string, version: number, verdict: Verdict) => void;
}

/** How many of a key's parked tasks are tried in one go. */
const PARKED_BATCH_MAX = 64;
/** Waits before reading again what could not be read, and before looking again at lines that a full uplink holds back. */
const REREAD_MS = 1000;
const HELD_BACK_MS = 250;
/** A timer may come a moment before the clock says so. */
const CLOCK_MS = 10;

export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #journal: Journal;
  readonly #runners: Runners;
  readonly #lines = new Map<number, Line>();
  readonly #trials: Trials;
  readonly #placement: Placement;
  /** Shared ones and the one apart. */
  readonly #runnersMax: number;
  /** Handlers without a line of which a dead letter was redriven: whoever reads their parked tasks reads again. */
  readonly #redriven = new Set<number>();
  unmatched = 0; // Events that nobody wanted.
  #recheck: NodeJS.Timeout | undefined;
  /** When lines in quarantine, or held back by their rate, go on. */
  readonly #laters = new Set<NodeJS.Timeout>();

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#journal = options.journal;
    this.#runners = options.runners;
    this.#runnersMax = options.runners.sharedMax + 1;
    this.#trials = new Trials(this.#runnersMax, {
      hand: (line, to, tasks, done) => this.#hand(line, to, tasks, done),
      returned: (line, batch, again) => this.#returned(line, batch, again),
      free: () => this.runAll(),
    });
    const { runners, clock, log } = options;
    const lines = (): Iterable<Line> => this.#lines.values();
    this.#placement = new Placement({ runners, lines, moved: () => this.runAll(), clock, log });
  }

  // --- accept

  accept(event: EventDraft, receiver: Receiver, tag: number, packetId?: number): Admission {
    const wanted = this.#options.wanted(event.topic);
    if (wanted.length > 0) return this.#journal.append(event, wanted, receiver, tag, packetId);
    // A QoS 2 message is claimed all the same: its repeat must not reach local subscribers again.
    const admission = packetId === undefined ? "taken" : this.#journal.append(event, wanted, receiver, tag, packetId);
    if (admission === "taken") this.unmatched++;
    if (packetId === undefined) receiver.committed(tag, undefined);
    return admission;
  }

  // --- run

  #run(line: Line): void {
    if (line.paused || line.held || line.quarantine.isOn || this.#isHeldBack(line)) return;
    const { turn, lane } = line;
    const { ports } = lane;
    for (let n = 0; n < ports.length; n++) {
      const port = ports[(turn + n) % ports.length] as number;
      if (this.#trials.suspects.blocks(lane.runnerOf(port))) continue;
      for (let batch = line.next(port); batch !== undefined; batch = line.next(port)) {
        const handed = batch;
        this.#hand(line, handed, handed.tasks, (result, states) => this.#settle(line, handed, result, states));
      }
    }
  }

  #isHeldBack(line: Line): boolean {
    if (!line.settings.to.some(this.#options.isFull)) return false;
    this.#recheck ??= setTimeout(() => {
      this.#recheck = undefined;
      this.runAll();
    }, HELD_BACK_MS);
    return true;
  }

  #hand(line: Line, to: Destination, tasks: readonly Task[], done: Settle): void {
    const { id, route } = line.settings;
    if (route) {
      queueMicrotask(() => done({ version: ROUTE_VERSION, results: forward(tasks) }, NO_STATES));
      return;
    }
    this.#trials.suspects.handed(to.runner);
    const { candidate } = line.watch;
    const keys = tasks.map(keyOfTask);
    const run = (states: States): void => {
      const writers = this.#journal.stateVersions?.(id, keys);
      runFitting(this.#runners, { ...to, candidate }, id, tasks, states, writers, (result) => done(result, states));
    };
    const states = this.#journal.state(id, keys);
    if (states instanceof Promise)
      states.then(run, (error: unknown) => {
        this.#options.log.error({ handler: line.settings.name, err: error }, "state could not be read");
        setTimeout(() => done({ version: line.version, results: tasks.map(unrun) }, NO_STATES), REREAD_MS);
      });
    else run(states);
  }

  // --- settle

  #settle(line: Line, batch: Batch, result: BatchResult, states: States): void {
    const { results } = result;
    if (!line.settings.route) this.#trials.suspects.back(batch.runner);
    line.begin(result, batch.tasks.length);
    line.watch.shadow?.offer(batch.tasks, states, result);
    const again: Task[] = [];
    let crashed: Task[] | undefined;
    /** So many were run when the slice was over. */
    let ran: number | undefined;
    /** Keys of which a state was refused: what ran on with it is as if it had not. */
    let refused: Set<string> | undefined;
    for (let i = 0; i < batch.tasks.length; i++) {
      const task = batch.tasks[i] as Task;
      let came = results[i] as RunResult;
      if (line.lane.voided?.has(task.key) === true && came.at !== "crashed") {
        again.push(task);
        continue;
      }
      const refusal = refused?.has(task.key) === true ? BEHIND : line.refused(task, came);
      if (refusal !== undefined) {
        (refused ??= new Set()).add(task.key);
        came = refusal;
      }
      if (came.at === "unrun" && ran === undefined) ran = i;
      if (came.at === "crashed") (crashed ??= []).push(task);
      else if (!line.settle(task, came)) again.push(task);
    }
    line.ended();
    if (crashed === undefined) {
      if (batch.side === "live") this.#placement.served(line, batch.tasks.length);
      this.#returned(line, batch, again, ran);
    } else {
      const runner = this.#placement.trials(batch.runner);
      this.#trials.suspects.hold(line, batch, runner, crashed, again);
      this.#trials.go(runner);
    }
  }

  #returned(line: Line, batch: Batch, again: readonly Task[], ran?: number): void {
    line.returned(batch, again, ran);
    if (line.paused) this.#letGo(line);
    else this.#run(line);
  }

  // --- lines come and go

  /** Begins, or goes on under new settings, to run what waits for the handler. */
  async attach(settings: LineSettings): Promise<void> {
    let line = this.#lines.get(settings.id);
    if (line === undefined) {
      let parked: readonly ParkedKey[];
      do {
        this.#redriven.delete(settings.id);
        parked = await this.#journal.parked(settings.id);
      } while (this.#redriven.has(settings.id));
      line = this.#open(settings);
      line.parked.restore(parked);
    }
    // What failed with the version before may do well with this one.
    if (line.take(settings)) {
      line.parked.hastenAll();
      line.quarantine.lift();
    }
    if (settings.trust === "known") line.standing.prove();
    else if (settings.trust === "fresh") line.standing.renew();
    this.#placement.settle(line);
    this.#placement.place(line);
    this.#run(line);
  }

  /** All handlers that there were at the start are attached. */
  begun(): void {
    this.#placement.begun();
  }

  /** The runner that is for what is not proven. */
  get apart(): number {
    return this.#runnersMax - 1;
  }

  /** The runner where a version of the handler is to be loaded. */
  placeFor(handler: number, trust: LineSettings["trust"]): number {
    const line = this.#lines.get(handler);
    if (trust === "same" && line !== undefined) return line.lane.places[0] as number;
    return trust === "known" ? 0 : this.#placement.newcomer(handler);
  }

  #open(settings: LineSettings): Line {
    const { uplink, local, wanted, hopsMax, nameOf, outcomes, died, clock, random, log, lossesMax, provenAfterMs } =
      this.#options;
    const context: LineContext = {
      runners: this.#runnersMax,
      settle: (...settled) => this.#journal.settle(...settled),
      fits: (task, state, bytesMax) => this.#journal.fits(task, state, bytesMax),
      takesChained: (handler) => this.#journal.takesChained(handler),
      uplink,
      local,
      wanted,
      hopsMax,
      nameOf,
      outcomes,
      died,
      clock,
      random,
      log,
      lossesMax,
      provenAfterMs,
      offended: () => setImmediate(() => this.#placement.settle()), // Not in the middle of a batch.
      judged: (version, verdict) => setImmediate(() => this.#judged(line, version, verdict)),
      shadow: (...work) => {
        const stateVersions = this.#journal.stateVersions?.(settings.id, work[1].map(keyOfTask));
        runShadow(
          this.#runners,
          this.#trials.suspects,
          { runner: this.apart, handler: settings.id, stateVersions },
          work,
        );
      },
      quarantined: (ms) => this.#later(line, ms + CLOCK_MS),
      heldBack: (ms) => this.#later(line, ms),
    };
    const feed = this.#journal.tasks(
      settings.id,
      (topic, device) => line.settings.keyOf(topic, device),
      () => this.#run(line),
    );
    const line = new Line(settings, context, feed, (keys) => this.#resume(line, keys));
    this.#lines.set(settings.id, line);
    return line;
  }

  /** What was to run on a candidate that was rejected runs on the live version now. */
  #judged(line: Line, version: number, verdict: Verdict): void {
    this.#placement.place(line);
    if (verdict.at === "rejected" && !line.held) {
      line.parked.hastenAll();
      this.#run(line);
    }
    this.#options.judged(line.settings.name, version, verdict);
  }

  #later(line: Line, ms: number): void {
    const timer = setTimeout(() => {
      this.#laters.delete(timer);
      this.#run(line);
    }, ms);
    timer.unref(); // Not what a gateway that closes waits for.
    this.#laters.add(timer);
  }

  /** Nothing more of the handler is handed out; what waits for it stays in the journal until it is attached again. */
  detach(handler: number): void {
    const line = this.#lines.get(handler);
    if (line === undefined) return;
    line.paused = true;
    this.#letGo(line);
    this.#placement.settle();
  }

  /** Without a feed the journal knows that nobody takes the handler's tasks, and lets them expire in time. */
  #letGo(line: Line): void {
    if (line.lane.inFlight > 0) return;
    line.close();
    if (this.#lines.get(line.settings.id) === line) this.#lines.delete(line.settings.id);
  }

  /** Hands out whatever can be: after something that held lines back is gone. */
  runAll(): void {
    for (const line of this.#lines.values()) this.#run(line);
  }

  // --- parked tasks whose time has come

  #resume(line: Line, keys: readonly string[]): void {
    for (const key of keys) {
      this.#journal.readParked(line.settings.id, key, PARKED_BATCH_MAX).then(
        (tasks) => {
          line.parked.handedOut(key, tasks.length);
          line.lane.resume(tasks);
          this.#run(line);
        },
        (error: unknown) => {
          this.#options.log.error({ handler: line.settings.name, err: error }, "parked tasks could not be read");
          line.parked.unread(key, this.#options.clock.now() + REREAD_MS);
        },
      );
    }
  }

  /** The state of that key was removed: what runs with it runs again, on none (P9). */
  stateRemoved(handler: number, key: string): void {
    this.#lines.get(handler)?.lane.void(key);
  }

  /** A dead letter of the handler is a parked task again, due now. */
  redriven(handler: number, key: string): void {
    const line = this.#lines.get(handler);
    if (line === undefined) {
      this.#redriven.add(handler);
      return;
    }
    line.parked.park(key, this.#options.clock.now());
    line.parked.hasten(key);
  }

  /** True when no runner has a task of ours. */
  get idle(): boolean {
    for (const { lane } of this.#lines.values()) if (lane.inFlight > 0) return false;
    return true;
  }

  figures(): { unmatched: number; runners: number; handlers: LineFigures[] } {
    return {
      unmatched: this.unmatched,
      runners: this.#placement.shared,
      handlers: [...this.#lines.values()].map((line) => line.figures()),
    };
  }

  close(): void {
    clearTimeout(this.#recheck);
    this.#placement.close();
    for (const timer of this.#laters) clearTimeout(timer);
    for (const line of this.#lines.values()) {
      line.paused = true;
      line.close();
    }
  }
}

const NO_STATES: States = [];
const keyOfTask = ({ key }: Task): string => key;
const BEHIND: RunResult = { at: "behind" };
const unrun = (): RunResult => ({ at: "unrun" });

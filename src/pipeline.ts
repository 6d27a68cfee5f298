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
 */
import type { EventDraft } from "./event.ts";
import type { Fault } from "./fault.ts";
import type { Task } from "./task.ts";
import { forward, ROUTE_VERSION } from "./tasks/forward.ts";
import type { Batch, Feed } from "./tasks/lane.ts";
import { Line } from "./tasks/line.ts";
import type { LineContext, LineFigures, LineSettings } from "./tasks/line.ts";
import type { ParkedKey } from "./tasks/parked.ts";
import { Placement } from "./tasks/placement.ts";
import { runFitting } from "./tasks/run.ts";
import type { BatchResult, Runners, RunResult } from "./tasks/run.ts";
import { Suspects } from "./tasks/suspects.ts";

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
  parked(handler: number): Promise<readonly ParkedKey[]>;
  readParked(handler: number, key: string, max: number): Promise<readonly Task[]>;
}

export interface PipelineOptions extends Omit<
  LineContext,
  "settle" | "fits" | "takesChained" | "runners" | "quarantined" | "heldBack" | "offended"
> {
  readonly journal: Journal;
  readonly runners: Runners;
  /** True when the uplink takes no more outputs for now: handlers that send to it wait. Looked at again every 250 ms. */
  readonly isFull: (uplink: number) => boolean;
}

/** How many of a key's parked tasks are tried in one go. */
const PARKED_BATCH_MAX = 64;
/** Wait before reading again what the journal could not read. */
const REREAD_MS = 1000;
/** How soon lines that a full uplink holds back are looked at again. */
const HELD_BACK_MS = 250;
/** A timer may come a moment before the clock says so. */
const CLOCK_MS = 10;

export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #journal: Journal;
  readonly #runners: Runners;
  readonly #lines = new Map<number, Line>();
  readonly #suspects: Suspects<Line>;
  readonly #placement: Placement;
  /** Shared ones and the one apart. */
  readonly #runnersMax: number;
  /** Handlers without a line of which a dead letter was redriven: whoever reads their parked tasks reads again. */
  readonly #redriven = new Set<number>();
  #unmatched = 0;
  #recheck: NodeJS.Timeout | undefined;
  /** When lines in quarantine, or held back by their rate, go on. */
  readonly #laters = new Set<NodeJS.Timeout>();

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#journal = options.journal;
    this.#runners = options.runners;
    this.#runnersMax = options.runners.sharedMax + 1;
    this.#suspects = new Suspects(this.#runnersMax);
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
    if (admission === "taken") this.#unmatched++;
    if (packetId === undefined) receiver.committed(tag, undefined);
    return admission;
  }

  // --- run

  #run(line: Line): void {
    if (line.paused || line.quarantine.isOn || this.#isHeldBack(line)) return;
    const { turn, lane } = line;
    const { places } = lane;
    for (let n = 0; n < places.length; n++) {
      const runner = places[(turn + n) % places.length] as number;
      if (this.#suspects.blocks(runner)) continue;
      for (let batch = line.next(runner); batch !== undefined; batch = line.next(runner)) {
        const handed = batch;
        this.#hand(line, handed.runner, handed.tasks, (result) => this.#settle(line, handed, result));
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

  #hand(line: Line, runner: number, tasks: readonly Task[], done: (result: BatchResult) => void): void {
    const { id, route } = line.settings;
    if (route) {
      queueMicrotask(() => done({ version: ROUTE_VERSION, results: forward(tasks) }));
      return;
    }
    this.#suspects.handed(runner);
    const states = this.#journal.state(id, tasks.map(keyOfTask));
    if (!(states instanceof Promise)) {
      runFitting(this.#runners, runner, id, tasks, states, done);
      return;
    }
    states.then(
      (read) => runFitting(this.#runners, runner, id, tasks, read, done),
      (error: unknown) => {
        this.#options.log.error({ handler: line.settings.name, err: error }, "state could not be read");
        setTimeout(() => done({ version: line.version, results: tasks.map(unrun) }), REREAD_MS);
      },
    );
  }

  // --- settle

  #settle(line: Line, batch: Batch, { version, results }: BatchResult): void {
    if (!line.settings.route) this.#suspects.back(batch.runner);
    line.version = version;
    const again: Task[] = [];
    let crashed: Task[] | undefined;
    /** So many were run when the slice was over. */
    let ran: number | undefined;
    /** Keys of which a state was refused: what ran on with it is as if it had not. */
    let refused: Set<string> | undefined;
    for (let i = 0; i < batch.tasks.length; i++) {
      const task = batch.tasks[i] as Task;
      let result = results[i] as RunResult;
      const refusal = refused?.has(task.key) === true ? BEHIND : line.refused(task, result);
      if (refusal !== undefined) {
        (refused ??= new Set()).add(task.key);
        result = refusal;
      }
      if (result.at === "unrun" && ran === undefined) ran = i;
      if (result.at === "crashed") (crashed ??= []).push(task);
      else if (!line.settle(task, result)) again.push(task);
    }
    if (crashed === undefined) {
      this.#placement.served(line, batch.tasks.length);
      this.#returned(line, batch, again, ran);
    } else {
      const runner = this.#placement.trials(batch.runner);
      this.#suspects.hold(line, batch, runner, crashed, again);
      this.#try(runner);
    }
  }

  #returned(line: Line, batch: Batch, again: readonly Task[], ran?: number): void {
    line.returned(batch, again, ran);
    if (line.paused) this.#letGo(line);
    else this.#run(line);
  }

  // --- what was in the hands of a runner that died is tried alone

  #try(runner: number): void {
    const trial = this.#suspects.next(runner);
    if (trial === undefined) {
      if (!this.#suspects.blocks(runner)) this.runAll();
      return;
    }
    const { line, task } = trial;
    const over = (again = false): void => {
      const last = this.#suspects.tried(trial, again);
      if (last !== undefined) this.#returned(last.line, last.batch, last.again.sort(bySeq));
      this.#try(runner);
    };
    if (line.paused) {
      over(true);
      return;
    }
    // An earlier suspect of its key may wait for a further try by now.
    if (task.parked ? line.parked.stopped(task.key) : line.parked.has(task.key)) {
      if (!task.parked) line.park(task);
      over();
      return;
    }
    // What is there already may be what ends the runner; more than that does not come.
    const isAlone = this.#suspects.isFree(runner);
    this.#hand(line, runner, [task], ({ version, results }) => {
      this.#suspects.back(runner);
      line.version = version;
      const first = results[0] as RunResult;
      const result = line.refused(task, first) ?? first;
      if (result.at === "crashed" && (!isAlone || (result.byItself && !trial.isDoubted))) {
        // Somebody else may have ended it, a short memory or an operator; hardly twice in the same moment.
        trial.isDoubted ||= isAlone;
        this.#suspects.untried(trial);
        this.#try(runner);
        return;
      }
      if (result.at === "crashed") {
        const message = "the runner died while this event was the only one in it";
        line.costRunner();
        line.fail(task, { code: "TASK_CRASHED_RUNNER", message }, true);
      } else if (!line.settle(task, result)) {
        this.#suspects.untried(trial);
        setImmediate(() => this.#try(runner));
        return;
      }
      over();
    });
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
    line.settings = settings;
    line.paused = false;
    line.quarantine.lift();
    if (settings.trust === "known") line.standing.prove();
    else if (settings.trust === "fresh") line.standing.renew();
    this.#placement.settle(line);
    this.#run(line);
  }

  /** All handlers that there were at the start are attached. */
  begun(): void {
    this.#placement.begun();
  }

  /** The runner where a version of the handler is to be loaded. */
  placeFor(handler: number, trust: LineSettings["trust"]): number {
    const line = this.#lines.get(handler);
    if (trust === "same" && line !== undefined) return line.lane.places[0] as number;
    return trust === "known" ? 0 : this.#placement.newcomer(handler);
  }

  #open(settings: LineSettings): Line {
    const { uplink, local, wanted, hopsMax, nameOf, clock, random, log, lossesMax, provenAfterMs } = this.#options;
    const context: LineContext = {
      runners: this.#runnersMax,
      settle: (task, outcome, version) => this.#journal.settle(task, outcome, version),
      fits: (task, state, bytesMax) => this.#journal.fits(task, state, bytesMax),
      takesChained: () => this.#journal.takesChained(),
      uplink,
      local,
      wanted,
      hopsMax,
      nameOf,
      clock,
      random,
      log,
      lossesMax,
      provenAfterMs,
      offended: () => setImmediate(() => this.#placement.settle()), // Not in the middle of a batch.
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
      unmatched: this.#unmatched,
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

const bySeq = (a: Task, b: Task): number => a.seq - b.seq;
const keyOfTask = (task: Task): string => task.key;
const BEHIND: RunResult = { at: "behind" };
const unrun = (): RunResult => ({ at: "unrun" });

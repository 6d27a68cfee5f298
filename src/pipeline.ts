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
 * P10 At a start nothing is run before all handlers are there: what one publishes is for those that come after it, too.
 */
import type { EventDraft } from "./event.ts";
import type { Fault } from "./fault.ts";
import type { Task } from "./task.ts";
import { forward, ROUTE_VERSION } from "./tasks/forward.ts";
import type { Batch } from "./tasks/lane.ts";
import type { Line } from "./tasks/line.ts";
import type { LineFigures } from "./tasks/line-figures.ts";
import { Lines, REREAD_MS } from "./tasks/lines.ts";
import type { LinesJournal, LinesOptions } from "./tasks/lines.ts";
import { runFitting } from "./tasks/run.ts";
import type { BatchResult, Destination, Runners, RunResult, Settle, States } from "./tasks/run.ts";
import { Trials } from "./tasks/trials.ts";

export type Admission = "taken" | "later" | "refused";

export interface Receiver {
  committed(tag: number, fault: Fault | undefined): void;
}

interface Journal extends LinesJournal {
  append(event: EventDraft, wanted: readonly number[], receiver: Receiver, tag: number, packetId?: number): Admission;
  state(handler: number, keys: readonly string[]): (string | undefined)[] | Promise<(string | undefined)[]>;
}

export interface PipelineOptions extends LinesOptions {
  readonly journal: Journal;
  /** True when the uplink takes no more outputs for now: handlers that send to it wait. Looked at again every 250 ms. */
  readonly isFull: (uplink: number) => boolean;
}

/** Wait before looking again at lines that a full uplink holds back. */
const HELD_BACK_MS = 250;

export class Pipeline {
  /** The handlers and routes that are worked on. */
  readonly lines: Lines;
  /** Events that nobody wanted. */
  unmatched = 0;
  readonly #options: PipelineOptions;
  readonly #journal: Journal;
  readonly #runners: Runners;
  readonly #trials: Trials;
  #recheck: NodeJS.Timeout | undefined;

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#journal = options.journal;
    this.#runners = options.runners;
    this.#trials = new Trials(options.runners.sharedMax + 1, {
      hand: (line, to, tasks, done) => this.#hand(line, to, tasks, done),
      returned: (line, batch, again) => this.#returned(line, batch, again),
      free: () => this.lines.runAll(),
    });
    this.lines = new Lines(options, this.#trials.suspects, (line) => this.#run(line));
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
    if (this.lines.isOpening || line.paused || line.held || line.quarantine.isOn || this.#isHeldBack(line)) return;
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
    if (!line.isHeldBack(this.#options.isFull)) return false;
    this.#recheck ??= setTimeout(() => {
      this.#recheck = undefined;
      this.lines.runAll();
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
      if (batch.side === "live") this.lines.placement.served(line, batch.tasks.length);
      this.#returned(line, batch, again, ran);
    } else {
      const runner = this.lines.placement.trials(batch.runner);
      this.#trials.suspects.hold(line, batch, runner, crashed, again);
      setImmediate(() => this.#trials.go(runner)); // All of a dead runner's batches come back now, and one of them is chosen.
    }
  }

  #returned(line: Line, batch: Batch, again: readonly Task[], ran?: number): void {
    line.returned(batch, again, ran);
    if (line.paused) this.lines.letGo(line);
    else this.#run(line);
  }

  figures(): { unmatched: number; runners: number; handlers: LineFigures[] } {
    return { unmatched: this.unmatched, runners: this.lines.placement.shared, handlers: this.lines.figures() };
  }

  close(): void {
    clearTimeout(this.#recheck);
    this.lines.close();
  }
}

const NO_STATES: States = [];
const keyOfTask = ({ key }: Task): string => key;
const BEHIND: RunResult = { at: "behind" };
const unrun = (): RunResult => ({ at: "unrun" });

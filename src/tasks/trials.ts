/**
 * Trials: what was in the hands of a runner that died runs again one task at a time, with nothing beside it, until it is
 * known which of them did it (suspects.ts, P4).
 */
import type { Task } from "../task.ts";
import type { Batch, Side } from "./lane.ts";
import type { Line } from "./line.ts";
import type { BatchResult, RunResult } from "./run.ts";
import { Suspects } from "./suspects.ts";
import type { Trial } from "./suspects.ts";

export interface TrialsDoors {
  /** Hands tasks to a runner; `done` is called once, later. */
  readonly hand: (
    line: Line,
    to: { readonly runner: number; readonly side: Side },
    tasks: readonly Task[],
    done: (result: BatchResult) => void,
  ) => void;
  /** The batch is through; `again` of it go out once more. */
  readonly returned: (line: Line, batch: Batch, again: readonly Task[]) => void;
  /** A runner is no longer kept for its suspects. */
  readonly free: () => void;
}

export class Trials {
  readonly suspects: Suspects<Line>;
  readonly #doors: TrialsDoors;

  constructor(runners: number, doors: TrialsDoors) {
    this.suspects = new Suspects(runners, (line) => line.quarantine.recent);
    this.#doors = doors;
  }

  /** Tries the next suspect of `runner`, when none is being tried there. */
  go(runner: number): void {
    const { suspects } = this;
    for (let trial = suspects.next(runner); trial !== undefined; trial = suspects.next(runner)) {
      const { line, task } = trial;
      if (line.paused || line.held || line.quarantine.isOn) {
        this.#over(trial, true); // It waits with what else there is of the handler.
      } else if (task.parked ? line.parked.stopped(task.key) : line.parked.has(task.key)) {
        // An earlier suspect of its key may wait for a further try by now.
        if (!task.parked) line.park(task);
        this.#over(trial, false);
      } else {
        this.#try(runner, trial);
        return;
      }
    }
    if (!suspects.blocks(runner)) this.#doors.free();
  }

  /** Its task is settled, or has to go out once more (`again`). */
  #over(trial: Trial<Line>, again: boolean): void {
    const last = this.suspects.tried(trial, again);
    if (last !== undefined) this.#doors.returned(last.line, last.batch, last.again.sort(bySeq));
  }

  #try(runner: number, trial: Trial<Line>): void {
    const { suspects } = this;
    const { line, task, held } = trial;
    // What is there already may be what ends the runner; more than that does not come.
    const isAlone = suspects.isFree(runner);
    const side = line.sideOf(held.batch);
    // It is handed out with the state that there is now: what was removed before is no matter of its own (P9).
    line.lane.heed(task.key);
    this.#doors.hand(line, { runner, side }, [task], (answer) => {
      suspects.back(runner);
      line.begin(answer, 1);
      const first = answer.results[0] as RunResult;
      const result = line.refused(task, first) ?? first;
      if (result.at === "crashed" && (!isAlone || (result.byItself && !trial.isDoubted))) {
        // Somebody else may have ended it, a short memory or an operator; hardly twice in the same moment.
        trial.isDoubted ||= isAlone;
        suspects.untried(trial);
        this.go(runner);
        return;
      }
      if (result.at === "crashed") {
        const message = "the runner died while this event was the only one in it";
        line.costRunner();
        line.fail(task, { code: "TASK_CRASHED_RUNNER", message }, true);
      } else if (line.lane.voided?.has(task.key) === true || !line.settle(task, result)) {
        suspects.untried(trial);
        setImmediate(() => this.go(runner));
        return;
      }
      line.ended();
      this.#over(trial, false);
      this.go(runner);
    });
  }
}

const bySeq = (a: Task, b: Task): number => a.seq - b.seq;

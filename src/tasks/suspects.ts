/**
 * Tasks that were in a runner's hands when it died. One of them may have killed it, and only a trial tells which: they
 * run again one at a time, with nothing else in the runner that is kept for it. Whichever takes that down again did it
 * (G5).
 *
 * While a runner has suspects, nothing else goes to it. There are never more than runners can hold in flight.
 */
import type { Batch } from "./lane.ts";
import type { Task } from "../task.ts";

export interface Suspect<Line> {
  readonly line: Line;
  readonly task: Task;
}

/** A batch of a dead runner whose suspects are being tried; its lane gets it back when the last one is. */
interface Held<Line> {
  readonly line: Line;
  readonly batch: Batch;
  /** Where they are tried. */
  readonly runner: number;
  readonly again: Task[];
  open: number;
}

interface Trial<Line> extends Suspect<Line> {
  readonly held: Held<Line>;
  /** A runner has ended by itself while it was alone in it. */
  isDoubted: boolean;
}

export class Suspects<Line> {
  readonly #trials: Trial<Line>[][];
  readonly #trying: boolean[];
  /** Batches in each runner's hands, trials among them. */
  readonly #batches: number[];

  constructor(runners: number) {
    this.#trials = Array.from({ length: runners }, () => []);
    this.#trying = Array.from({ length: runners }, () => false);
    this.#batches = Array.from({ length: runners }, () => 0);
  }

  /** A batch goes to `runner`. */
  handed(runner: number): void {
    this.#batches[runner] = (this.#batches[runner] as number) + 1;
  }

  /** It is back, whatever became of it. */
  back(runner: number): void {
    this.#batches[runner] = (this.#batches[runner] as number) - 1;
  }

  /** Nothing is in that runner: what is tried there now is tried alone, for nothing else may come. */
  isFree(runner: number): boolean {
    return this.#batches[runner] === 0;
  }

  /** Whether `runner` is kept for its suspects. */
  blocks(runner: number): boolean {
    return (this.#trials[runner] as Trial<Line>[]).length > 0 || this.#trying[runner] === true;
  }

  /**
   * `crashed` are those of the batch that were in flight, `again` those that will go out once more by themselves. They are
   * tried in `runner`.
   */
  hold(line: Line, batch: Batch, runner: number, crashed: readonly Task[], again: Task[]): void {
    const held: Held<Line> = { line, batch, runner, again, open: crashed.length };
    for (const task of crashed) (this.#trials[runner] as Trial<Line>[]).push({ line, task, held, isDoubted: false });
  }

  /** The next one to try, when none is being tried. */
  next(runner: number): Trial<Line> | undefined {
    if (this.#trying[runner] === true) return undefined;
    const trial = (this.#trials[runner] as Trial<Line>[]).shift();
    if (trial !== undefined) this.#trying[runner] = true;
    return trial;
  }

  /**
   * The trial is over: its task is settled, or has to go out once more (`again`). Returns the batch when this was its last
   * suspect.
   */
  tried(trial: Trial<Line>, again: boolean): Held<Line> | undefined {
    const { held } = trial;
    this.#trying[held.runner] = false;
    if (again) held.again.push(trial.task);
    held.open--;
    return held.open === 0 ? held : undefined;
  }

  /** The trial did not take place. It stays the next one, for what comes after it may be of its key. */
  untried(trial: Trial<Line>): void {
    const { runner } = trial.held;
    this.#trying[runner] = false;
    (this.#trials[runner] as Trial<Line>[]).unshift(trial);
  }
}

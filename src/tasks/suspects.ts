/**
 * Tasks that were in a runner's hands when it died. One of them may have killed it, and only a trial tells which: they
 * run again one at a time, with nothing else in the runner that is kept for it. Whichever takes that down again did it
 * (G5).
 *
 * While a runner has suspects, nothing else goes to it. There are never more than runners can hold in flight.
 *
 * Whose have cost runners lately are tried last: those of others are not to wait until the last of them is. Where nobody is
 * known for it, those come first that the dead runner was given last: it works on what it has had for longest.
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

export interface Trial<Line> extends Suspect<Line> {
  readonly held: Held<Line>;
  /** A runner has ended by itself while it was alone in it. */
  isDoubted: boolean;
}

export class Suspects<Line> {
  /** By runner and line; lines in the order in which the dead runner was given theirs, and each line's in its own. */
  readonly #trials: Map<Line, Trial<Line>[]>[];
  readonly #lossesOf: (line: Line) => number;
  readonly #trying: boolean[];
  /** Batches in each runner's hands, trials among them. */
  readonly #batches: number[];

  /** `lossesOf`: how many runners a line has cost lately. */
  constructor(runners: number, lossesOf: (line: Line) => number) {
    this.#lossesOf = lossesOf;
    this.#trials = Array.from({ length: runners }, () => new Map<Line, Trial<Line>[]>());
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
    return this.#at(runner).size > 0 || this.#trying[runner] === true;
  }

  /**
   * `crashed` are those of the batch that were in flight, `again` those that will go out once more by themselves. They are
   * tried in `runner`.
   */
  hold(line: Line, batch: Batch, runner: number, crashed: readonly Task[], again: Task[]): void {
    const held: Held<Line> = { line, batch, runner, again, open: crashed.length };
    const trials = this.#at(runner).get(line) ?? [];
    this.#at(runner).set(line, trials);
    for (const task of crashed) trials.push({ line, task, held, isDoubted: false });
  }

  /** The next one to try, when none is being tried. */
  next(runner: number): Trial<Line> | undefined {
    if (this.#trying[runner] === true) return undefined;
    const line = this.#leastSuspect(runner);
    if (line === undefined) return undefined;
    const trials = this.#at(runner).get(line) as Trial<Line>[];
    const trial = trials.shift() as Trial<Line>;
    if (trials.length === 0) this.#at(runner).delete(line);
    this.#trying[runner] = true;
    return trial;
  }

  #leastSuspect(runner: number): Line | undefined {
    let least: Line | undefined;
    let losses = Infinity;
    for (const line of this.#at(runner).keys()) {
      const own = this.#lossesOf(line);
      if (own > losses) continue;
      least = line;
      losses = own;
    }
    return least;
  }

  #at(runner: number): Map<Line, Trial<Line>[]> {
    return this.#trials[runner] as Map<Line, Trial<Line>[]>;
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

  /** The trial did not take place. It stays the next one of its line, for what comes after it may be of its key. */
  untried(trial: Trial<Line>): void {
    const { line, held } = trial;
    this.#trying[held.runner] = false;
    this.#at(held.runner).set(line, [trial, ...(this.#at(held.runner).get(line) ?? [])]);
  }
}

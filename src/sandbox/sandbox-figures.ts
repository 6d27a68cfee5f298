/** What the sandbox tells of itself. */
import type { Supervisor } from "./supervisor.ts";

export interface SandboxFigures extends RunnersFigures {
  /** 1 where the kernel limits what a runner takes, else 0. */
  readonly memoryCgroup: number;
  readonly batches: number;
  readonly tasks: number;
  readonly handlers: number;
  /** By handler. */
  readonly logLinesDropped: Readonly<Record<string, number>>;
}

/** Of all runners together. */
interface RunnersFigures {
  /** Those that have a process, or are about to. */
  readonly runnersAwake: number;
  readonly runnersReady: number;
  /** Processes in reserve, for a while after a loss. */
  readonly runnersSpare: number;
  readonly runnersStarted: number;
  readonly runnersLost: number;
  readonly killedForMemory: number;
  readonly killedForTime: number;
  readonly killedForNonsense: number;
  /** As far as runners have told: they do while they work. */
  readonly isolates: number;
  readonly isolatesRested: number;
  readonly isolatesYielded: number;
  readonly rssBytes: number;
  readonly batchesInFlight: number;
}

export function sumOf(supervisors: readonly Supervisor[]): RunnersFigures {
  const sum = {
    runnersAwake: 0,
    runnersReady: 0,
    runnersSpare: 0,
    runnersStarted: 0,
    runnersLost: 0,
    killedForMemory: 0,
    killedForTime: 0,
    killedForNonsense: 0,
    isolates: 0,
    isolatesRested: 0,
    isolatesYielded: 0,
    rssBytes: 0,
    batchesInFlight: 0,
  };
  for (const { isAwake, isReady, spare, rssBytes, inFlight, figures, isolates } of supervisors) {
    if (isAwake) sum.runnersAwake++;
    if (isReady) sum.runnersReady++;
    if (spare.pid > 0) sum.runnersSpare++;
    sum.rssBytes += rssBytes;
    sum.batchesInFlight += inFlight;
    sum.runnersStarted += figures.started;
    sum.runnersLost += figures.lost;
    sum.killedForMemory += figures.killedForMemory;
    sum.killedForTime += figures.killedForTime;
    sum.killedForNonsense += figures.killedForNonsense;
    sum.isolates += isolates.alive;
    sum.isolatesRested += isolates.rested;
    sum.isolatesYielded += isolates.yielded;
  }
  return sum;
}

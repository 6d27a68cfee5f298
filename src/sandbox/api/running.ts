/** A task on its way through the isolate. */
import type { Draft } from "./answer.ts";
import type { Context } from "./context.ts";
import type { UnderWay } from "./asks.ts";
import { Refusal, thrownAt } from "./failure.ts";

/** A task that runs, or has just ended. */
export interface Running {
  readonly draft: Draft;
  readonly context: Context;
  readonly key: number;
  /** When its handler was called, and what its clock said. */
  readonly startedMs: number;
  readonly atMs: number;
  /** The answer, and the key's state, as they were before it. */
  readonly answerBefore: string;
  readonly stateBefore: string | undefined;
  /** The version that wrote that state; 0: not known. */
  readonly writerBefore: number;
  /** That was another one, and it was made what this one wants: it is written again in any case. */
  isMigrated?: boolean;
}

/** Why a task that waits is cut off: its time is up, or `cpuMs` of processor time are. `asked`: the fetch that it waits for. */
export function timeUp(timeoutMs: number, cpuMs: number | undefined, asked: UnderWay | undefined): Refusal {
  if (cpuMs !== undefined) return new Refusal("SANDBOX_CPU", `took more than ${cpuMs} ms of processor time`);
  if (asked !== undefined) {
    const why = `a fetch from ${asked.host} was under way when the ${timeoutMs} ms that an event may take were over`;
    return thrownAt(new Refusal("SANDBOX_TIMEOUT", why), asked.origin);
  }
  const message = `a promise that the handler waits for was not settled within ${timeoutMs} ms`;
  return new Refusal("SANDBOX_TIMEOUT", message);
}

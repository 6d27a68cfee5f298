/** What passes between the pipeline and whatever runs tasks: the sandbox's runners, or the routes. */
import type { Failure, Task } from "../task.ts";
import type { Side } from "./lane.ts";

/** An output as a handler gave it: what it leaves out is filled in from the handler's config and the event. */
export interface RawOutput {
  /** JSON text as UTF-8 when `json`, else opaque bytes. A view that is valid during `done` only. */
  readonly data: Uint8Array;
  readonly json: boolean;
  readonly to?: readonly string[];
  readonly type?: string;
  readonly subject?: string;
  /** For ctx.publish: goes to local devices on this topic, and to no uplink. */
  readonly publish?: { readonly topic: string; readonly qos: 0 | 1 | 2; readonly retain: boolean };
}

export type RunResult =
  /** `state` is the key's new state as JSON text, "" to remove it, undefined when it did not change. */
  | { readonly at: "done"; readonly outputs: readonly RawOutput[]; readonly state: string | undefined }
  /** `final`: it need not be tried again. `cost`: what it did took its isolate, or its runner, with it. */
  | { readonly at: "failed"; readonly failure: Failure; readonly final: boolean; readonly cost?: "isolate" | "runner" }
  /** An earlier task of its key in the same batch failed. */
  | { readonly at: "behind" }
  /** The runner was lost with it in its hands. `byItself`: not because the gateway killed it for what it did. */
  | { readonly at: "crashed"; readonly byItself: boolean }
  /** It was not started, which costs no try. */
  | { readonly at: "unrun" };

/** Time on the clock, processor time and the isolate's heap (0: nobody looked), as the runner says; left out where nobody does. */
export interface Spent {
  readonly tookMs?: number;
  readonly cpuMs?: number;
  readonly heapBytes?: number;
}

export interface BatchResult extends Spent {
  /** The version that ran the batch. */
  readonly version: number;
  /** The time that the tasks' clocks began with, milliseconds since 1970. */
  readonly startMs?: number;
  /** One a task, in the batch's order. */
  readonly results: readonly RunResult[];
}

export interface RunsWhere {
  readonly slot?: Side;
  /** That it is meant for: where that is gone the live one runs it, or nobody what was a shadow's. */
  readonly version?: number | undefined;
  readonly isShadow?: boolean;
  readonly atMs?: number;
  /** Aligned with the states: the versions that wrote them. */
  readonly stateVersions?: readonly number[] | undefined;
}

export interface Runners {
  /** The most that share the proven handlers, numbered from 0. One more, after them, is apart (places.ts). */
  readonly sharedMax: number;
  /** Processor time that a runner's main thread has had; undefined where that cannot be known, or it is not up. */
  busyMs(runner: number): number | undefined;
  /** Resolves when the runner is ready for work. */
  wake(runner: number): Promise<void>;
  /** Makes sure that the first event of `handler` in that runner finds everything built. False: it could not be done. */
  prepare(runner: number, handler: number): Promise<boolean>;
  /**
   * Runs `batch` in order. `states` are aligned with it; a key's first task has the key's state. With the slot "candidate"
   * on the version that is tried beside the live one; with `atMs` the tasks' clocks begin with that.
   */
  run(
    runner: number,
    handler: number,
    batch: readonly Task[],
    states: readonly (string | undefined)[],
    done: (result: BatchResult) => void,
    options?: RunsWhere,
  ): void;
}

/** Characters of state that go out with one batch. A frame has 64 MB, and an isolate has to take them all at once. */
const STATE_CHARS_MAX = 2 * 1024 * 1024;

export type States = readonly (string | undefined)[];

/** `states` are those that the tasks were handed out with. */
export type Settle = (result: BatchResult, states: States) => void;

export interface Destination {
  readonly runner: number;
  readonly side: Side;
}

interface RunsAt extends Destination {
  /** What is tried when the tasks are handed out. */
  readonly candidate?: { readonly version: number } | undefined;
}

/** As `runners.run` in `runner`, but of a batch whose states are too much for one go the rest comes back `unrun`. */
export function runFitting(
  runners: Runners,
  { runner, side, candidate }: RunsAt,
  handler: number,
  tasks: readonly Task[],
  states: readonly (string | undefined)[],
  stateVersions: readonly number[] | undefined,
  done: (result: BatchResult) => void,
): void {
  const where = { slot: side, version: side === "live" ? undefined : candidate?.version, stateVersions };
  const count = fitting(states);
  if (count >= tasks.length) {
    runners.run(runner, handler, tasks, states, done, where);
    return;
  }
  const rest = tasks.slice(count).map((): RunResult => ({ at: "unrun" }));
  const ended = (result: BatchResult): void => done({ ...result, results: [...result.results, ...rest] });
  runners.run(runner, handler, tasks.slice(0, count), states.slice(0, count), ended, where);
}

/** So many tasks, the first at least, have states that go out together. */
function fitting(states: readonly (string | undefined)[]): number {
  let chars = 0;
  for (let i = 0; i < states.length; i++) {
    chars += states[i]?.length ?? 0;
    if (chars > STATE_CHARS_MAX && i > 0) return i;
  }
  return states.length;
}

/** Which of a handler's versions is meant, and how it is run. */

/**
 * Where a handler's version runs: the live one, one that is tried beside it, and one on which past events are run again.
 * Each slot has one version of a handler at a time.
 */
export type Slot = "live" | "candidate" | "replay";

export interface LoadOptions {
  readonly slot?: Slot;
  readonly makesRequests?: boolean;
}

export interface RunOptions {
  readonly slot?: Slot;
  /** The version that it is meant for; another one in the slot does not run it. */
  readonly version?: number | undefined;
  /** Where what it is meant for is gone nobody runs it; otherwise the live version does. */
  readonly isShadow?: boolean;
  /** Milliseconds since 1970. */
  readonly atMs?: number | undefined;
  readonly isCaptured?: boolean;
  /** By which versions of the handler the states were written, aligned with them; 0 where that is not known. */
  readonly stateVersions?: readonly number[] | undefined;
  /** Of a captured run: for each task the time that its clock begins with. Each is run with its own state then. */
  readonly startsMs?: readonly number[];
}

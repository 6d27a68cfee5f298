/** Who looks at what becomes of events, one by one. */
import type { Failure, Output, Task } from "../task.ts";

export interface Outcomes {
  /** Somebody looks at each event. Asked once a batch. */
  readonly isWatched: boolean;
  /** `outputs`: views that are good until this returns. */
  done(what: Ended, outputs: readonly Output[]): void;
  failed(what: Ended, failure: Failure, more: { readonly tries: number; readonly letter: string | undefined }): void;
}

export interface Ended {
  readonly handler: string;
  readonly version: number;
  readonly task: Task;
  /** Mean time of the batch's events, where it is known. */
  readonly ms: number | undefined;
  readonly status: "done" | "retry" | "dead";
}

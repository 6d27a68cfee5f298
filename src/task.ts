/**
 * Leaf: the task (one event to be run by one handler), what running it came to, and the output.
 */

/** One event to be run by one handler. Small on purpose: a window of these is all that memory holds of a backlog. */
export interface Task {
  /** Id of the handler or route, from the journal. */
  readonly handler: number;
  /** The event's sequence number in the journal. */
  readonly seq: number;
  /** The event's record lies in `page` at `at` (see event.ts). Shared with other tasks; never written to. */
  readonly page: Buffer;
  readonly at: number;
  /** What orders it and scopes its state. */
  readonly key: string;
  /** Tries that have failed so far. */
  readonly attempt: number;
  /** True when the task waits in the journal's parked records rather than in the log of events. */
  readonly parked: boolean;
}

/** Why a task failed, as an operator reads it. Bounded: the journal cuts each text at 4 KB. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  /** Positions point into the user's own source. */
  readonly stack?: string;
}

/** What a handler wants sent. */
export interface Output {
  /** Journal ids of the uplinks it goes to, one entry in each one's outbox. */
  readonly to: readonly number[];
  /** JSON text as UTF-8 when `json`, else opaque bytes. A view; copied when it is staged. */
  readonly data: Uint8Array;
  readonly json: boolean;
  /** CloudEvents type and subject. */
  readonly type: string;
  readonly subject: string;
  /** For ctx.publish and for uplinks with a {topic} template: the topic it should go out on, or "" for the uplink's own. */
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Of ctx.publish: ids of the handlers that listen to its topic, rising. They get it as an event, in the same commit. */
  readonly wanted?: readonly number[] | undefined;
}

/** What running a task came to. */
export type Outcome =
  /** `state` is the key's new state as JSON text, "" to remove it, undefined when it did not change. */
  | { readonly at: "done"; readonly outputs: readonly Output[]; readonly state: string | undefined }
  /** It failed and will be tried again at `dueMs` (wall time); later tasks of its key wait behind it. `isFree`: that was no try. */
  | { readonly at: "retry"; readonly dueMs: number; readonly failure: Failure; readonly isFree?: boolean }
  /** It failed for good. */
  | { readonly at: "dead"; readonly failure: Failure }
  /** It did not run: an earlier task of its key waits for a further try, and it queues up behind that one. */
  | { readonly at: "behind" };

/** An output as an uplink reads it back from its outbox. Views into a page; not kept after the delivery. */
export interface OutboxEntry {
  /** Rises by one per uplink: CloudEvents extension sluiceseq. */
  readonly seq: number;
  readonly eventSeq: number;
  /** The event's lineage, or "": see event.ts. */
  readonly lineage: string;
  /** Which of its task's outputs it is, from 0. */
  readonly position: number;
  readonly handler: number;
  readonly version: number;
  readonly timeMs: number;
  readonly key: string;
  readonly type: string;
  readonly subject: string;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly json: boolean;
  readonly data: Buffer;
}

/** An output's id (G3): the same after any re-run of its task. */
export function outputId(event: string, handler: string, position: number): string {
  return `${event}.${handler}.${position}`;
}

/**
 * What the uplinks need of the journal: one feed per uplink to take from, and a place to hand receipts to.
 */
import type { Failure, OutboxEntry } from "../task.ts";

/** The waiting outputs of one uplink, oldest first. It refills itself from disk; what it holds in memory is bounded. */
export interface OutboxFeed {
  /** The next entry in the order of `seq`, or undefined when there is none in memory at the moment. */
  take(): OutboxEntry | undefined;
  /** Entries in memory that can be taken. */
  readonly size: number;
  /** Entries without a receipt, in memory and on disk, taken or not. */
  readonly waiting: number;
  /** Bytes of the same. */
  readonly waitingBytes: number;
  /** False once the entry has a receipt, or the journal gave it up because it was full. */
  isWaiting(seq: number): boolean;
  close(): void;
}

/** What became of an entry. It is handed in only when that is final (G3). */
export interface Receipt {
  readonly seq: number;
  readonly verdict: "delivered" | "rejected" | "expired" | "dropped";
  /** Why it was rejected. */
  readonly failure?: Failure;
}

/** How much of a backlog a feed may hold in memory. */
export interface FeedLimits {
  readonly entriesMax: number;
  readonly bytesMax: number;
  /** Under `refuse` nobody else may drop its outputs either, when the journal is full. */
  readonly whenFull: "drop-oldest" | "refuse";
}

export interface Outboxes {
  /** `wake` is called when a feed that had nothing to take has entries again. */
  outbox(uplink: string, limits: FeedLimits, wake: () => void): OutboxFeed;
  /** Stages the receipts; they are durable with the next commit, and until then a crash means that entries are sent again. */
  received(uplink: string, receipts: readonly Receipt[]): void;
}

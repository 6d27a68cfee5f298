/**
 * What a kind of uplink has to do. The delivery loop owns order, waits, limits and receipts; a kind only carries a batch
 * over and says what the other side has of it.
 */
import type { z } from "zod";
import type { Fault } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Failure, OutboxEntry } from "../task.ts";
import type { Clock } from "../time.ts";
import type { Envelopes } from "./envelope.ts";

export interface Uplink {
  /** Batches that may be outstanding. More than 1 only where the connection itself keeps them in order. */
  readonly window: number;
  /** Most entries in a batch, and most bytes of data; a single bigger entry makes a batch of its own. */
  readonly batchCountMax: number;
  readonly batchBytesMax: number;
  /**
   * Carries `batch` (1 or more entries, rising `seq`) to the other side. Never rejects, except for a bug. When `signal`
   * aborts it resolves soon, with what was acknowledged until then. Connecting is part of sending.
   */
  send(batch: readonly OutboxEntry[], signal: AbortSignal): Promise<Verdict>;
  /** Finds out whether the other side would take events, without sending one. Rejects with a {@link Fault}. */
  test(signal: AbortSignal): Promise<void>;
  /** Gives back sockets and files. Nothing is outstanding any more when it is called. */
  close(): Promise<void>;
}

/** What came of a batch. An empty `fault` and `refused` mean that every entry is acknowledged or rejected. */
export interface Verdict {
  /** How many entries, from the first on, the other side has for good. */
  readonly acked: number;
  /** Entries among the first `acked` that the other side will never take. */
  readonly rejected?: readonly { readonly index: number; readonly failure: Failure }[];
  /** Why the rest is not acknowledged; it is sent again after a wait. */
  readonly fault?: Fault;
  /**
   * The other side will never take the rest as it is: one entry is bad, it did not say which, or all are too much. Only
   * of a kind whose window is 1, for batches behind this one would overtake it.
   */
  readonly refused?: { readonly failure: Failure; readonly tooLarge: boolean };
  /** The other side was reached, was well, and hung up on this batch: an entry of it may be what it cannot bear. */
  readonly suspect?: boolean;
  /** The other side asked for this wait. */
  readonly retryAfterMs?: number;
}

export interface UplinkContext {
  readonly name: string;
  readonly gatewayId: string;
  /** Relative paths in the settings are relative to this folder. */
  readonly folder: string;
  readonly envelopes: Envelopes;
  readonly handlerName: (handler: number) => string;
  readonly clock: Clock;
  readonly log: Log;
}

/** One line in the table of kinds. Opening does not wait for the other side: an uplink may be down for days. */
export interface UplinkKind<Schema extends z.ZodType = z.ZodType> {
  readonly settings: Schema;
  open(settings: z.output<Schema>, context: UplinkContext): Uplink;
}

/** A batch that is outstanding, and the receipts that its verdict is worth. */
import type { OutboxEntry } from "../task.ts";
import type { Receipt } from "./outbox.ts";
import type { Verdict } from "./uplink.ts";

export interface Flight {
  /** At least one. */
  readonly entries: readonly OutboxEntry[];
  readonly bytes: number;
  readonly abort: AbortController;
  /** Set for a batch that jumps over a suspected entry to see whether others get through. */
  readonly suspected: OutboxEntry | undefined;
  /** The deadline, and after it the end of patience. */
  timer: NodeJS.Timeout | undefined;
}

export function flightOf(entries: readonly OutboxEntry[], bytes: number, suspected?: OutboxEntry): Flight {
  return { entries, bytes, abort: new AbortController(), suspected, timer: undefined };
}

/** `lone`: a refused batch was down to one entry, which is thereby rejected. */
export function receiptsOf(flight: Flight, verdict: Verdict): { readonly receipts: Receipt[]; readonly lone: boolean } {
  const { entries, suspected } = flight;
  const receipts: Receipt[] = [];
  const acked = Math.min(verdict.acked, entries.length);
  for (let i = 0; i < acked; i++) {
    receipts.push({ seq: (entries[i] as OutboxEntry).seq, verdict: "delivered" });
  }
  for (const { index, failure } of verdict.rejected ?? []) {
    if (index < acked) receipts[index] = { seq: (entries[index] as OutboxEntry).seq, verdict: "rejected", failure };
  }
  const last = entries[acked];
  const lone = verdict.refused !== undefined && last !== undefined && acked === entries.length - 1;
  if (lone && verdict.refused !== undefined) {
    receipts.push({ seq: last.seq, verdict: "rejected", failure: verdict.refused.failure });
  }
  if (suspected !== undefined && receipts[0]?.verdict === "delivered") {
    const message = "the other side hung up each time this output was sent alone, and took another one in between";
    receipts.push({ seq: suspected.seq, verdict: "rejected", failure: { code: "UPLINK_POISON", message } });
  }
  return { receipts, lone };
}

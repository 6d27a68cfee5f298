/** A batch that is outstanding, and what comes of it when its verdict is there. */
import type { Failure, OutboxEntry } from "../task.ts";
import type { Receipt } from "./outbox.ts";
import type { Verdict } from "./uplink.ts";

export interface Flight {
  /** At least one. */
  readonly entries: readonly OutboxEntry[];
  readonly bytes: number;
  readonly abort: AbortController;
  /** Set for a batch that jumps over a suspected entry to see whether others get through: that one and what lies around. */
  readonly probe: Probe | undefined;
  /** Its only entry has had its chances: it is rejected when the other side hangs up on it once more. */
  readonly condemned: boolean;
  /** The deadline, and after it the end of patience. */
  timer: NodeJS.Timeout | undefined;
}

export interface Probe {
  readonly suspected: OutboxEntry;
  readonly skipped: readonly OutboxEntry[];
}

/** What a verdict comes to. */
export interface Landing {
  readonly receipts: Receipt[];
  /** Entries without a receipt, in no particular order. */
  readonly left: readonly OutboxEntry[];
  /** A refused batch was down to one entry, which is thereby rejected. */
  readonly lone: boolean;
}

export function flightOf(
  entries: readonly OutboxEntry[],
  bytes: number,
  { probe, condemned = false }: { readonly probe?: Probe | undefined; readonly condemned?: boolean } = {},
): Flight {
  return { entries, bytes, abort: new AbortController(), probe, condemned, timer: undefined };
}

export function land({ entries, probe, condemned }: Flight, verdict: Verdict): Landing {
  const receipts: Receipt[] = [];
  const acked = Math.min(verdict.acked, entries.length);
  for (let i = 0; i < acked; i++) {
    receipts.push({ seq: (entries[i] as OutboxEntry).seq, verdict: "delivered" });
  }
  for (const { index, failure } of verdict.rejected ?? []) {
    if (index < acked) receipts[index] = { seq: (entries[index] as OutboxEntry).seq, verdict: "rejected", failure };
  }
  let left = acked === entries.length ? NOTHING : entries.slice(acked);
  const [last] = left;
  const lone = verdict.refused !== undefined && last !== undefined && left.length === 1;
  if (lone && verdict.refused !== undefined) {
    receipts.push({ seq: last.seq, verdict: "rejected", failure: verdict.refused.failure });
    left = NOTHING;
  }
  if (condemned && verdict.suspect === true && last !== undefined) {
    receipts.push({ seq: last.seq, verdict: "rejected", failure: POISON });
    left = NOTHING;
  }
  if (probe !== undefined) {
    left = [...left, ...probe.skipped];
    // Of the same key, the suspected entry may not follow any more; of another, it gets a last chance.
    const overtaken = receipts[0]?.verdict === "delivered" && entries[0]?.key === probe.suspected.key;
    if (overtaken) receipts.push({ seq: probe.suspected.seq, verdict: "rejected", failure: POISON });
    else left = [probe.suspected, ...left];
  }
  return { receipts, left, lone };
}

const POISON: Failure = {
  code: "UPLINK_POISON",
  message: "the other side hung up each time this output was sent alone, and took another one in between",
};
const NOTHING: readonly OutboxEntry[] = [];

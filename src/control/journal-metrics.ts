/** Metrics of the journal: what it holds, what it costs, and what it could not keep. */
import { byLabel, counter, gauge } from "./metric.ts";
import type { Metric } from "./metric.ts";

export const journalMetrics: readonly Metric[] = [
  gauge("journal_size_bytes", "Bytes the journal holds.", ({ status }) => status.journal.bytes),
  gauge("journal_size_max_bytes", "Its limit: journal.sizeMax.", ({ status }) => status.journal.sizeMaxBytes),
  byLabel("gauge", "journal_part_bytes", "part", "Bytes of the journal's parts.", ({ figures: { journal } }) => ({
    events: journal.eventBytes,
    outboxes: journal.outboxBytes,
    parked: journal.parkedBytes,
    dead: journal.deadBytes,
    state: journal.stateBytes,
  })),
  gauge(
    "journal_disk_free_bytes",
    "What the disk of the data folder has left.",
    ({ figures }) => figures.journal.diskFreeBytes,
  ),
  gauge(
    "journal_disk_reserve_bytes",
    "What it has to have left for events to be taken: the store needs it to give room back.",
    ({ figures }) => figures.journal.diskReserveBytes,
  ),
  gauge("journal_full", "1 while the journal takes no events, else 0.", ({ figures }) => figures.journal.full),
  gauge("journal_failing", "1 while the store cannot be written, else 0.", ({ figures }) => figures.journal.failing),
  gauge(
    "journal_damage_ranges",
    "Ranges known to be damaged at rest; 0 on a healthy box.",
    ({ status }) => status.damage.length,
  ),
  counter("journal_commits_total", "Commits: synced batches.", ({ figures }) => figures.journal.commits),
  counter(
    "journal_commit_seconds_total",
    "Time spent in commits; by commits_total it is the mean.",
    ({ figures }) => figures.journal.commitMs / 1000,
  ),
  gauge(
    "journal_commit_max_seconds",
    "The longest commit since the start.",
    ({ figures }) => figures.journal.commitMsMax / 1000,
  ),
  gauge("journal_staged_bytes", "Bytes waiting for the disk.", ({ figures }) => figures.journal.stagedBytes),
  gauge("journal_feed_bytes", "Bytes of the backlog that are in memory.", ({ figures }) => figures.journal.feedBytes),
  gauge(
    "journal_record_bytes",
    "Bytes of what tasks came to, kept for replays.",
    ({ figures }) => figures.journal.recordBytes,
  ),
  counter("journal_records_total", "Tasks of which that was recorded.", ({ figures }) => figures.journal.records),
  counter(
    "journal_record_rows_dropped_total",
    "Rows of such records that went before their events: at their limit, or for want of room.",
    ({ figures }) => figures.journal.recordRowsDropped,
  ),
  gauge(
    "journal_claims",
    "QoS 2 messages between their two acknowledgements.",
    ({ figures }) => figures.journal.claims,
  ),
  counter("journal_refused_total", "Events refused, full or failing.", ({ figures }) => figures.journal.refused),
  counter(
    "journal_chained_total",
    "Events that handlers made with ctx.publish.",
    ({ figures }) => figures.journal.chained,
  ),
  byLabel(
    "counter",
    "journal_dropped_total",
    "reason",
    "Tasks and outputs dropped, by reason.",
    ({ figures: { journal } }) => ({
      full: journal.dropped.full,
      damaged: journal.dropped.damaged,
      asked: journal.dropped.asked,
      dead: journal.dropped.dead,
    }),
  ),
  counter(
    "journal_write_failures_total",
    "Batches that could not be written and were written again.",
    ({ figures }) => figures.journal.writeFailures,
  ),
  counter(
    "journal_reopens_total",
    "Times the store was closed and opened again.",
    ({ figures }) => figures.journal.reopens,
  ),
  counter("journal_read_errors_total", "Reads that failed.", ({ figures }) => figures.journal.readErrors),
  counter(
    "journal_mark_failures_total",
    "Writes of the witness that failed.",
    ({ figures }) => figures.journal.markFailures,
  ),
  counter("journal_damaged_total", "Reports of damage since the start.", ({ figures }) => figures.journal.damaged),
  counter(
    "journal_late_settlements_total",
    "Outcomes of tasks that had ended already.",
    ({ figures }) => figures.journal.lateSettlements,
  ),
  byLabel(
    "counter",
    "journal_state_reads_total",
    "from",
    "Reads of handlers' state, by where it was.",
    ({ figures: { journal } }) => ({
      memory: journal.stateHits,
      disk: journal.stateMisses,
    }),
  ),
  counter(
    "journal_state_expired_total",
    "States of keys that were not written for longer than `state.ttl`, and are gone.",
    ({ figures }) => figures.journal.stateExpired,
  ),
  counter(
    "journal_trimmed_pages_total",
    "Pages removed because nobody needs them.",
    ({ figures }) => figures.journal.trimmedPages,
  ),
];

/**
 * The journal's plain numbers, for metrics.
 */
import type { Core } from "./core.ts";
import { droppedOf } from "./ledger.ts";
import type { Dropped } from "./ledger.ts";
import { consumersOf } from "./open.ts";

export interface JournalFigures {
  /** Counters since start. */
  readonly commits: number;
  /** Time spent in commits, milliseconds, and the longest. */
  readonly commitMs: number;
  readonly commitMsMax: number;
  readonly writeFailures: number;
  readonly reopens: number;
  readonly readErrors: number;
  readonly refused: number;
  readonly chained: number;
  readonly lateSettlements: number;
  readonly damaged: number;
  readonly markFailures: number;
  readonly stateHits: number;
  readonly stateMisses: number;
  readonly stateExpired: number;
  readonly trimmedPages: number;
  /** Counters since the data folder was made: why tasks and outputs were dropped. */
  readonly dropped: Dropped;
  /** Gauges. */
  readonly stagedBytes: number;
  readonly usedBytes: number;
  readonly sizeMaxBytes: number;
  /** What the disk has left, and what it is to keep: below that events are refused. */
  readonly diskFreeBytes: number;
  readonly diskReserveBytes: number;
  /** What is missing until it has room to spare again. */
  readonly diskWantedBytes: number;
  readonly isDiskShort: boolean;
  readonly eventBytes: number;
  readonly outboxBytes: number;
  readonly parkedTasks: number;
  readonly parkedBytes: number;
  readonly deadLetters: number;
  readonly deadBytes: number;
  readonly stateBytes: number;
  /** The same by handler, of those that have any. */
  readonly stateBytesOf: Readonly<Record<string, number>>;
  /** What tasks came to, kept for replays; entries since start, and rows forgotten before their events. */
  readonly recordBytes: number;
  readonly records: number;
  readonly recordRowsDropped: number;
  readonly claims: number;
  readonly feedBytes: number;
  /** 1 while events are not taken. */
  readonly full: number;
  readonly failing: number;
  /** It has failed for so long that nothing is taken before it can be written again. */
  readonly hasGivenUp: boolean;
}

export function figuresOf(core: Core, trimmedPages: number): JournalFigures {
  const { writer, header } = core;
  let outboxBytes = 0;
  let feedBytes = 0;
  for (const outbox of core.outboxes) {
    if (outbox === undefined) continue;
    outboxBytes += outbox.uplink.bytes;
    feedBytes += outbox.feed?.bytes ?? 0;
  }
  for (const feed of core.feeds) feedBytes += feed?.bytes ?? 0;
  let parkedTasks = 0;
  for (const handler of core.handlers) parkedTasks += handler?.parked ?? 0;
  return {
    commits: writer.commits,
    commitMs: writer.commitMs,
    commitMsMax: writer.commitMsMax,
    writeFailures: writer.failures,
    reopens: writer.reopens,
    readErrors: core.disk.readErrors,
    refused: core.refused,
    chained: core.chained.events,
    lateSettlements: core.late,
    damaged: core.damage.count,
    markFailures: core.mark.failures,
    stateHits: core.states.hits,
    stateMisses: core.states.misses,
    stateExpired: core.states.expired,
    trimmedPages,
    dropped: droppedOf(consumersOf(core), header.lost),
    stagedBytes: writer.stagedBytes,
    usedBytes: core.used,
    sizeMaxBytes: core.limits.sizeMaxBytes,
    diskFreeBytes: core.diskRoom.freeBytes,
    diskReserveBytes: core.diskRoom.reserveBytes,
    diskWantedBytes: core.diskRoom.wantedBytes,
    isDiskShort: core.diskRoom.isShort,
    eventBytes: header.bytes,
    outboxBytes,
    parkedTasks,
    parkedBytes: core.parked.bytes,
    deadLetters: core.dead.count,
    deadBytes: core.dead.bytes,
    stateBytes: core.states.bytes,
    stateBytesOf: Object.fromEntries(stateOf(core)),
    recordBytes: core.records.bytes,
    records: core.records.entries,
    recordRowsDropped: core.records.droppedEarly,
    claims: core.claims.count,
    feedBytes,
    full: core.full === "no" ? 0 : 1,
    failing: writer.failing ? 1 : 0,
    hasGivenUp: writer.hasGivenUp,
  };
}

function* stateOf(core: Core): Generator<[string, number]> {
  for (const handler of core.handlers) if (handler?.hasState) yield [handler.name, handler.stateBytes];
}

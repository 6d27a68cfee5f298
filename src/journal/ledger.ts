/**
 * The ledger (G4). `accepted = done + dead + expired + dropped + pending`, and per uplink `emitted = delivered + expired +
 * dropped + rejected + waiting`: every accepted event and every output is in exactly one column.
 */
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";

export interface EventColumns {
  /** One per event and handler or route that wants it. */
  readonly accepted: number;
  readonly done: number;
  /** Dead letters there are. */
  readonly dead: number;
  readonly expired: number;
  readonly dropped: number;
  readonly pending: number;
}

export interface UplinkColumns {
  readonly emitted: number;
  readonly delivered: number;
  readonly expired: number;
  readonly dropped: number;
  /** Rejected outputs that are kept as dead letters. */
  readonly rejected: number;
  readonly waiting: number;
}

export interface Ledger {
  readonly events: EventColumns;
  readonly uplinks: Readonly<Record<string, UplinkColumns>>;
}

/** Why things were dropped. */
export interface Dropped {
  /** A size limit was reached under `drop-oldest`. */
  readonly full: number;
  /** The record was damaged or missing. */
  readonly damaged: number;
  /** A person asked for it, or the uplink gave it up. */
  readonly asked: number;
  /** There were more dead letters than are kept. */
  readonly dead: number;
}

export function handlerColumns(handler: Consumer): EventColumns {
  const accepted = handler.column(COLUMN.arrived);
  const done = handler.column(COLUMN.done);
  const dead = handler.column(COLUMN.dead);
  const expired = handler.column(COLUMN.expired);
  const { dropped } = handler;
  return { accepted, done, dead, expired, dropped, pending: accepted - done - dead - expired - dropped };
}

export function uplinkColumns(uplink: Consumer): UplinkColumns {
  const { accepted, done, dead, expired, dropped, pending } = handlerColumns(uplink);
  return { emitted: accepted, delivered: done, expired, dropped, rejected: dead, waiting: pending };
}

/** `lost`: tasks whose very arrival was lost with damage (header.ts). */
export function ledgerOf(handlers: Iterable<Consumer>, uplinks: Iterable<Consumer>, lost: number): Ledger {
  const sum = { accepted: lost, done: 0, dead: 0, expired: 0, dropped: lost, pending: 0 };
  for (const handler of handlers) {
    const columns = handlerColumns(handler);
    sum.accepted += columns.accepted;
    sum.done += columns.done;
    sum.dead += columns.dead;
    sum.expired += columns.expired;
    sum.dropped += columns.dropped;
    sum.pending += columns.pending;
  }
  return {
    events: sum,
    uplinks: Object.fromEntries([...uplinks].map((uplink) => [uplink.name, uplinkColumns(uplink)])),
  };
}

export function droppedOf(consumers: Iterable<Consumer>, lost: number): Dropped {
  const sum = { full: 0, damaged: lost, asked: 0, dead: 0 };
  for (const consumer of consumers) {
    sum.full += consumer.column(COLUMN.droppedFull);
    sum.damaged += consumer.column(COLUMN.droppedDamaged);
    sum.asked += consumer.column(COLUMN.droppedAsked);
    sum.dead += consumer.column(COLUMN.droppedDead);
  }
  return sum;
}

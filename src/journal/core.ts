/**
 * The parts of an open journal, as the files of this room pass them to one another. The door is journal.ts.
 */
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import type { Chained } from "./chained.ts";
import type { Claims } from "./claims.ts";
import type { Consumer } from "./consumer.ts";
import type { Damage } from "./damage.ts";
import type { DeadRows } from "./dead.ts";
import type { Disk } from "./disk.ts";
import type { DiskRoom } from "./disk-room.ts";
import type { Header } from "./header.ts";
import type { LogReader } from "./log.ts";
import type { Mark } from "./mark.ts";
import type { UplinkFeed } from "./outbox-feed.ts";
import type { Page, PageWriter } from "./page.ts";
import type { Parked } from "./parked.ts";
import type { Records } from "./records.ts";
import type { States } from "./state.ts";
import type { HandlerFeed } from "./task-feed.ts";
import type { Repeats } from "./repeats.ts";
import type { Ticks } from "./ticks.ts";
import type { Writer } from "./writer.ts";

export interface Limits {
  readonly sizeMaxBytes: number;
  readonly retainMs: number;
  readonly whenFull: "refuse" | "drop-oldest";
  readonly stagedBytesMax: number;
  readonly feedTasksMax: number;
  readonly feedBytesMax: number;
  readonly parkedMax: number;
  readonly parkedBytesMax: number;
  readonly deadMax: number;
  readonly deadBytesMax: number;
  readonly claimsMax: number;
  /** Of records of what tasks came to; 0: none are kept. */
  readonly recordsBytesMax: number;
}

export interface OutboxLimits {
  /** When the journal is full under `drop-oldest`: whether outputs of this one may go with the oldest tasks. */
  readonly whenFull?: "drop-oldest" | "refuse" | undefined;
  /** How much of the backlog the feed may hold in memory. */
  readonly entriesMax?: number | undefined;
  readonly bytesMax?: number | undefined;
}

/** An uplink's outbox: its page in the making, its pages on disk that are known, its feed. */
export interface Outbox {
  readonly uplink: Consumer;
  readonly writer: PageWriter;
  /** Pages that the feed has seen and that are not all settled, in order. */
  readonly pages: Page[];
  limits: OutboxLimits;
  feed: UplinkFeed | undefined;
  /** A page was damaged or dropped: what is left of it must be looked for. */
  ragged: boolean;
}

/** Looks whether there is room for events (room.ts). */
export interface RoomWatch {
  /** A group is on disk. */
  landed(): void;
  /** A sweep (retention.ts) has ended. */
  swept(): void;
  /** Writing has failed for so long that events are refused. */
  givenUp(): void;
}

export interface Core {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly header: Header;
  /** By id. */
  readonly handlers: Consumer[];
  readonly outboxes: Outbox[];
  readonly feeds: (HandlerFeed | undefined)[];
  readonly disk: Disk;
  readonly diskRoom: DiskRoom;
  readonly reader: LogReader;
  readonly damage: Damage;
  readonly mark: Mark;
  readonly states: States;
  readonly records: Records;
  readonly parked: Parked;
  readonly dead: DeadRows;
  readonly claims: Claims;
  readonly ticks: Ticks;
  readonly repeats: Repeats;
  readonly writer: Writer;
  readonly events: PageWriter;
  /** Events that outputs have made. */
  readonly chained: Chained;
  /** Outboxes with a page in the making. */
  readonly filling: Outbox[];
  /** Sizes of the commit records that are kept, oldest first. */
  readonly recordBytes: number[];
  recordBytesTotal: number;
  /** Number of the next event that a commit will bring. */
  committedHead: number;
  /** Bytes that commits have brought since start. */
  position: number;
  /** Tasks accepted, over all handlers. */
  accepted: number;
  /** Settlements of tasks that were not in hand any more: dropped meanwhile, or settled before. */
  late: number;
  refused: number;
  /** Somebody was told `later`. */
  roomWanted: boolean;
  /** Bytes of everything kept, as of the last commit. */
  used: number;
  /** Of pages that were deleted, and whose room on the disk the store was not asked to give back. */
  deletedBytes: number;
  /** Events are not taken: `refuse` is for good until something is settled, `later` while room is being made. */
  full: "no" | "later" | "refuse";
  room: RoomWatch;
}

/** Events below this number are not needed by any handler. */
export function settledBelow(core: Core): number {
  let floor = core.header.head;
  for (const handler of core.handlers) {
    if (handler !== undefined && handler.waiting > 0) floor = Math.min(floor, handler.baseSeq);
  }
  return Math.floor(floor);
}

/** Beyond this share of sizeMax tasks are not handed out: their outputs would have no room. */
const BRIM = 1.1;

export function isBrimming(core: Core): boolean {
  return core.used >= core.limits.sizeMaxBytes * BRIM || core.diskRoom.isBrimming;
}

/** There is no room for events. */
export function isFull(core: Core): boolean {
  return core.used >= core.limits.sizeMaxBytes || core.diskRoom.isShort;
}

/** Bytes of all that is kept, what is staged included. */
export function usedBytes(core: Core): number {
  let bytes = core.header.bytes + core.parked.bytes + core.dead.bytes + core.states.bytes + core.writer.stagedBytes;
  bytes += core.records.bytes;
  for (const outbox of core.outboxes) if (outbox !== undefined) bytes += outbox.uplink.bytes;
  return bytes;
}

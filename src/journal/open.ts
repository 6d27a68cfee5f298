/**
 * Building an open journal out of what is on disk.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import { lastCommit } from "./books.ts";
import { Chained } from "./chained.ts";
import { Claims } from "./claims.ts";
import { acknowledge, checkpoint, cut, show } from "./commit.ts";
import { COLUMN, UPLINK } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { Core, Limits, Outbox } from "./core.ts";
import { Damage } from "./damage.ts";
import { DeadRows } from "./dead.ts";
import type { Disk } from "./disk.ts";
import { DiskRoom, freeBytesOf, writeBufferFor } from "./disk-room.ts";
import type { FreeBytes } from "./disk-room.ts";
import { newHeader } from "./header.ts";
import { keys } from "./keys.ts";
import { EVENTS, LogReader } from "./log.ts";
import { dropClaims, forgetNotes } from "./lost.ts";
import { Mark, readMark } from "./mark.ts";
import { PageWriter } from "./page.ts";
import { Parked } from "./parked.ts";
import { adoptPages, believeWitness, countRows } from "./reconcile.ts";
import type { Stale } from "./reconcile.ts";
import { openStore, repairStore } from "./recovery.ts";
import type { RecoveryDoors } from "./recovery.ts";
import { countStates } from "./state-count.ts";
import { States } from "./state.ts";
import { storeCode } from "../store-error.ts";
import { levelStore } from "./store.ts";
import type { StoreFactory } from "./store.ts";
import { Records } from "./records.ts";
import { Repeats } from "./repeats.ts";
import { Ticks } from "./ticks.ts";
import { Writer } from "./writer.ts";

export interface OpenOptions {
  readonly path: string;
  readonly limits: Limits;
  readonly stateCacheBytesMax: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly store: StoreFactory | undefined;
  readonly freeBytes: FreeBytes | undefined;
}

/** Calls of webhooks that are remembered: 10,000 take about 2 MB of memory. */
const REPEATS_MAX = 10_000;
const CACHE_BYTES = 8 * 1024 * 1024;
/** Reopening after write errors: from this attempt on, a store that says it is corrupt is repaired. */
const REPAIR_FROM_ATTEMPT = 3;

export async function openCore(options: OpenOptions): Promise<Core> {
  const { path, clock, log, freeBytes = freeBytesOf(path) } = options;
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new Fault("JOURNAL_UNOPENABLE", `The data folder cannot be made: ${messageOf(cause)}`, {
      where: path,
      cause,
    });
  }
  const damage = new Damage(path, log);
  const markPath = join(path, "journal.mark");
  const mark = readMark(markPath);
  const witness = mark.at === "read" ? mark.witness : undefined;
  const writeBufferBytes = await writeBufferFor(path, options.limits.sizeMaxBytes, freeBytes);
  const diskRoom = new DiskRoom(writeBufferBytes, freeBytes);
  await diskRoom.look();
  const factory = options.store ?? levelStore({ writeBufferBytes, cacheBytes: CACHE_BYTES });
  const recovery: RecoveryDoors = { path: join(path, "journal"), factory, damage, clock, log };
  const { disk, books, sound, notes } = await openStore(recovery, witness?.commit ?? 0);

  if (mark.at === "damaged")
    damage.report({ where: "mark", from: -1, to: -1, what: "both slots are damaged" }, mark.bytes);
  else if (mark.at === "read" && mark.damaged)
    damage.report({ where: "mark", from: -1, to: -1, what: "a slot is damaged" });
  else if (mark.at === "absent" && books.header !== undefined) {
    damage.report({
      where: "mark",
      from: -1,
      to: -1,
      what: "journal.mark is missing: a loss of the last commits would not be seen",
    });
  }

  const header = books.header ?? newHeader(witness?.id ?? randomBytes(6).toString("hex"));
  const previous = header.commit;
  header.commit = Math.max(header.commit, witness?.commit ?? 0);
  const core = build(options, {
    disk,
    diskRoom,
    damage,
    recovery,
    header,
    factory,
    mark: await openMark(markPath, disk),
  });
  for (const handler of books.handlers.values()) core.handlers[handler.id] = handler;
  for (const uplink of books.uplinks.values()) core.outboxes[uplink.id] = newOutbox(uplink);
  for (const consumer of consumersOf(core)) {
    if (consumer.kind === UPLINK) header.uplinkNext = Math.max(header.uplinkNext, consumer.id + 1);
    else {
      header.handlerNext = Math.max(header.handlerNext, consumer.id + 1);
      core.accepted += consumer.column(COLUMN.arrived);
    }
  }
  core.recordBytes.push(...books.recordBytes);
  core.recordBytesTotal = books.recordBytes.reduce((sum, bytes) => sum + bytes, 0);

  const stale: Stale = [...books.unsound];
  if (!sound || mark.at === "damaged") {
    const from = Math.min(...books.missing.map(({ head }) => head ?? header.tail), header.head);
    await adoptPages(core, from);
    if (witness !== undefined) believeWitness(core, witness);
  }
  await countRows(core, stale);
  await countStates(core, !sound || mark.at === "damaged");
  // Behind all that changes a consumer: it checkpoints them as they stand.
  if (!sound || mark.at === "damaged") await forgetRecords(core, stale);
  dropClaims(core, notes);
  core.committedHead = header.head;
  for (const key of stale) core.writer.group.del(key);
  core.mark.begin({
    id: header.id,
    commit: header.commit,
    head: header.head,
    accepted: core.accepted + header.lost,
    uplinks: core.outboxes
      .filter((outbox) => outbox !== undefined)
      .map(({ uplink }) => ({ id: uplink.id, head: uplink.committed })),
  });
  // What recovery decided must be on disk before anything is decided on top of it; and a new journal's id as well.
  core.writer.group.dirty ||= !sound || previous === 0;
  await core.writer.synced();
  await forgetNotes(recovery.path);
  return core;
}

async function openMark(path: string, disk: Disk): Promise<Mark> {
  try {
    return new Mark(path);
  } catch (cause) {
    await disk.close().catch(() => undefined);
    throw new Fault("JOURNAL_UNOPENABLE", `The journal's mark cannot be opened: ${messageOf(cause)}`, {
      where: path,
      cause,
    });
  }
}

/** The chain of commit records has been broken: it starts anew, and everything it carried is checkpointed. */
async function forgetRecords(core: Core, stale: Stale): Promise<void> {
  await core.disk.walk(
    { ...keys.commits(0), values: false },
    (key) => {
      stale.push(key);
      return true;
    },
    () => undefined,
    1000,
  );
  const { header, writer } = core;
  header.firstKept = writer.group.number;
  core.recordBytes.length = 0;
  core.recordBytesTotal = 0;
  for (const consumer of consumersOf(core)) writer.group.touch(consumer);
  checkpoint(core, writer.group);
  writer.group.dirty = true;
}

interface Parts {
  readonly disk: Disk;
  readonly diskRoom: DiskRoom;
  readonly damage: Damage;
  readonly recovery: RecoveryDoors;
  readonly factory: StoreFactory;
  readonly header: Core["header"];
  readonly mark: Mark;
}

function build(options: OpenOptions, parts: Parts): Core {
  const { clock, log } = options;
  const { disk, diskRoom, damage, header, mark } = parts;
  // One commit must not take the reserve.
  const stagedBytesMax = Math.min(options.limits.stagedBytesMax, diskRoom.reserveBytes / 4);
  const limits = { ...options.limits, stagedBytesMax };
  const handlers: Consumer[] = [];
  const outboxes: Outbox[] = [];
  const names = {
    journal: header.id,
    handler: (id: number) => handlers[id]?.name ?? `handler ${id}`,
    uplink: (id: number) => outboxes[id]?.uplink.name ?? `uplink ${id}`,
  };
  const reader = new LogReader(
    disk,
    damage,
    (number) => (number === EVENTS ? "events" : `outbox ${names.uplink(number)}`),
    (number) => (number === EVENTS ? header.tail : (outboxes[number]?.uplink.progress.base ?? 0)),
  );
  const writer = new Writer(
    {
      cut: (group) => cut(core, group),
      write: (operations) => disk.write(operations),
      reopen: async (number, attempt, error) => {
        const lost = await reopen(parts, number, attempt, error);
        if (lost) for (const handler of handlers) if (handler?.hasState) handler.stateUnsure++;
      },
      acknowledge: (group) => acknowledge(core, group),
      landed: (group) => {
        show(core, group);
        core.room.landed();
      },
      givenUp: () => core.room.givenUp(),
      clock,
      log,
    },
    header.commit,
  );
  const states = new States({
    disk,
    damage,
    cacheBytesMax: options.stateCacheBytesMax,
    bytes: header.stateBytes,
    clock,
    counted: (handler) => {
      writer.group.touch(handler);
      writer.schedule();
    },
  });
  const core: Core = {
    limits,
    clock,
    log,
    header,
    handlers,
    outboxes,
    feeds: [],
    disk,
    diskRoom,
    reader,
    damage,
    mark,
    states,
    records: new Records({ bytesMax: limits.recordsBytesMax }, states, () => clock.now()),
    parked: new Parked(disk),
    dead: new DeadRows(disk, names, header.deadNext),
    claims: new Claims(limits.claimsMax),
    ticks: new Ticks(),
    repeats: new Repeats(REPEATS_MAX),
    writer,
    events: new PageWriter(EVENTS),
    chained: new Chained(limits.sizeMaxBytes, handlers),
    filling: [],
    recordBytes: [],
    recordBytesTotal: 0,
    committedHead: header.head,
    position: 0,
    accepted: 0,
    late: 0,
    refused: 0,
    roomWanted: false,
    used: 0,
    deletedBytes: diskRoom.wantedBytes > 0 ? 1 : 0,
    full: "no",
    room: { landed: nothing, swept: nothing, givenUp: nothing },
  };
  return core;
}

function nothing(): void {}

export function newOutbox(uplink: Consumer): Outbox {
  return { uplink, writer: new PageWriter(uplink.id), pages: [], limits: {}, feed: undefined, ragged: false };
}

export function* consumersOf(core: Core): Generator<Consumer> {
  for (const handler of core.handlers) if (handler !== undefined) yield handler;
  for (const outbox of core.outboxes) if (outbox !== undefined) yield outbox.uplink;
}

/** After a write error: a new store on the same files, which must have every commit up to `number` - 1. True: it has not. */
async function reopen(parts: Parts, number: number, attempt: number, reason: unknown): Promise<boolean> {
  const { disk, recovery, factory, damage } = parts;
  await disk
    .take()
    .catch((error: unknown) => recovery.log.debug({ reason: messageOf(error) }, "closing the store failed"));
  // A damaged table opens well and then fails each time that LevelDB comes to merge it.
  if (attempt >= REPAIR_FROM_ATTEMPT && storeCode(reason) === "LEVEL_CORRUPTION") {
    await disk.give(await repairStore(recovery));
  } else {
    try {
      await disk.give(await factory.open(recovery.path));
    } catch (error) {
      if (storeCode(error) !== "LEVEL_LOCKED") throw error;
      throw new Fault("JOURNAL_LOCKED", "Another gateway has taken the data folder.", { cause: error });
    }
  }
  const last = await lastCommit(disk);
  if (last >= number - 1) return false;
  damage.report({
    where: "commits",
    from: last + 1,
    to: number - 1,
    what: "the store lost commits when writing failed",
  });
  return true;
}

/**
 * Holding the books against the records at start. Parked tasks and dead letters are few by limit and are all looked at;
 * pages are looked at only when something is known to be missing, and only from there on.
 */
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { Core } from "./core.ts";
import { graveOf, readDead } from "./dead.ts";
import { messageOf } from "../fault.ts";
import { keys } from "./keys.ts";
import type { RecordKey } from "./keys.ts";
import { EVENTS } from "./log.ts";
import type { Witness } from "./mark.ts";
import { page } from "./page.ts";
import { isParkedRowSound } from "./parked.ts";
import { handlerColumns } from "./ledger.ts";
import { isSealed } from "./seal.ts";

/** Rows that are of no use any more. */
export type Stale = Buffer[];

/** Finds parked tasks, dead letters, claims and ticks, and counts what is not there any more. */
export async function countRows(core: Core, stale: Stale): Promise<void> {
  await findParked(core, stale);
  await findDead(core, stale);
  await findClaims(core, stale);
  await findTicks(core, stale);
  await findRepeats(core, stale);
  await measureRecords(core);
  const tasks = countBy(core, "task");
  const outputs = countBy(core, "output");
  for (const handler of core.handlers) {
    if (handler !== undefined)
      setRight(core, handler, tasks.get(handler.id) ?? 0, handler.waiting + core.parked.count(handler.id));
  }
  for (const outbox of core.outboxes) {
    if (outbox !== undefined) setRight(core, outbox.uplink, outputs.get(outbox.uplink.id) ?? 0, outbox.uplink.waiting);
  }
}

/** The counters follow the records: what there are fewer of was lost; what there are more of was undone. */
function setRight(core: Core, consumer: Consumer, dead: number, pending: number): void {
  const { columns } = consumer;
  columns[COLUMN.dead] = dead;
  const off = handlerColumns(consumer).pending - pending;
  if (off === 0) return;
  core.log.warn({ consumer: consumer.name, off }, "the ledger did not fit the records and was set right");
  if (off > 0) consumer.add(COLUMN.droppedDamaged, off);
  else consumer.add(COLUMN.done, off);
  const done = consumer.column(COLUMN.done);
  if (done < 0) {
    columns[COLUMN.done] = 0;
    consumer.add(COLUMN.arrived, -done);
  }
  core.writer.group.touch(consumer);
}

async function findParked(core: Core, stale: Stale): Promise<void> {
  for (const handler of core.handlers) {
    if (handler !== undefined) handler.parked = handler.parkedBytes = 0;
  }
  await core.disk.walk(
    keys.parkedAll(),
    (key, row) => {
      const parsed = keys.parkedKey(key);
      const handler = parsed === undefined ? undefined : core.handlers[parsed.handler];
      if (parsed === undefined || handler === undefined || !isParkedRowSound(key, row)) {
        const seq = parsed?.seq ?? -1;
        core.damage.report({ where: "parked", from: seq, to: seq, what: "a parked task is damaged" }, row);
        stale.push(key);
        return true;
      }
      core.parked.found(handler.id, parsed.seq, row.length + key.length);
      handler.parked++;
      handler.parkedBytes += row.length + key.length;
      return true;
    },
    (error) => core.damage.report({ where: "parked", from: -1, to: -1, what: messageOf(error) }),
  );
}

async function findDead(core: Core, stale: Stale): Promise<void> {
  await core.disk.walk(
    keys.deadFrom(0),
    (key, row) => {
      const id = keys.deadId(key);
      const dead = readDead(key, row);
      if (dead === undefined) {
        core.damage.report({ where: "dead letters", from: id, to: id, what: "a dead letter is damaged" }, row);
        stale.push(key);
      } else core.dead.found(id, graveOf(dead, row.length));
      return true;
    },
    (error) => core.damage.report({ where: "dead letters", from: -1, to: -1, what: messageOf(error) }),
  );
}

async function findClaims(core: Core, stale: Stale): Promise<void> {
  await core.disk.walk(
    keys.claims(),
    (key, row) => {
      if (isSealed(key, row)) {
        const { device, packetId } = keys.claimOf(key);
        core.claims.found(device, packetId);
      } else {
        core.damage.report({ where: "claims", from: -1, to: -1, what: `row ${key.toString("hex")} is damaged` }, row);
        stale.push(key);
      }
      return true;
    },
    (error) => core.damage.report({ where: "claims", from: -1, to: -1, what: messageOf(error) }),
  );
}

async function findTicks(core: Core, stale: Stale): Promise<void> {
  await core.disk.walk(
    keys.ticks(),
    (key, row) => {
      if (core.ticks.found(key, row)) return true;
      const what = "how far a schedule had ticked is damaged: it begins anew";
      core.damage.report({ where: "ticks", from: -1, to: -1, what }, row);
      stale.push(key);
      return true;
    },
    (error) => core.damage.report({ where: "ticks", from: -1, to: -1, what: messageOf(error) }),
  );
}

async function findRepeats(core: Core, stale: Stale): Promise<void> {
  await core.disk.walk(
    keys.repeats(),
    (key, row) => {
      if (core.repeats.found(key, row)) return true;
      const what = "a call of a webhook is damaged: its repeat would make a second event";
      core.damage.report({ where: "repeats", from: -1, to: -1, what }, row);
      stale.push(key);
      return true;
    },
    (error) => core.damage.report({ where: "repeats", from: -1, to: -1, what: messageOf(error) }),
  );
  core.repeats.sort();
}

/** The keys of the oldest and of the newest row say how much there is. */
async function measureRecords(core: Core): Promise<void> {
  const ends: RecordKey[] = [];
  for (const reverse of [false, true]) {
    await core.disk.walk(
      { ...keys.records(), reverse, limit: 1, values: false },
      (key) => {
        const found = keys.recordKey(key);
        if (found !== undefined) ends.push(found);
        return false;
      },
      (error) => core.damage.report({ where: "records", from: -1, to: -1, what: messageOf(error) }),
      1,
    );
  }
  const [oldest, newest] = ends;
  if (oldest !== undefined && newest !== undefined) core.records.found(oldest, newest);
}

function countBy(core: Core, kind: "task" | "output"): Map<number, number> {
  const counts = new Map<number, number>();
  for (const grave of core.dead.graves()) {
    if (grave.kind === kind) counts.set(grave.consumer, (counts.get(grave.consumer) ?? 0) + 1);
  }
  return counts;
}

/**
 * What the witness knows of and the store does not is lost: reported, counted, and its numbers are not used again.
 */
export function believeWitness(core: Core, witness: Witness): void {
  const { header } = core;
  if (witness.head > header.head) {
    core.damage.report({
      where: "events",
      from: header.head,
      to: witness.head - 1,
      what: "the end of the log is missing",
    });
    header.head = witness.head;
  }
  const lost = witness.accepted - core.accepted - header.lost;
  if (lost > 0) header.lost += lost;
  for (const { id, head } of witness.uplinks) {
    const uplink = core.outboxes[id]?.uplink;
    if (uplink === undefined || head <= uplink.ordinals) continue;
    const where = `outbox ${uplink.name}`;
    core.damage.report({ where, from: uplink.ordinals, to: head - 1, what: "the end of the outbox is missing" });
    uplink.add(COLUMN.arrived, head - uplink.ordinals);
    uplink.ordinals = head;
    uplink.committed = head;
    core.writer.group.touch(uplink);
  }
}

/** Takes over pages that the books do not know of, from event `from` on, and measures every log anew. */
export async function adoptPages(core: Core, from: number): Promise<void> {
  const { header } = core;
  const end = await lastPageEnd(core, EVENTS);
  if (end > header.head) header.head = end;
  await core.reader.read(EVENTS, Math.max(from, header.tail), header.head, (read) => {
    page.slices(read.first, read.page, (id, slice) => {
      const handler = core.handlers[id];
      const ordinals = slice.ordinal + slice.count;
      if (handler === undefined || ordinals <= handler.ordinals) return;
      if (handler.waiting === 0) handler.nextSeq = read.first;
      handler.add(COLUMN.arrived, ordinals - handler.ordinals);
      core.accepted += ordinals - handler.ordinals;
      handler.ordinals = handler.committed = ordinals;
      core.writer.group.touch(handler);
    });
    return true;
  });
  const events = await measure(core, EVENTS, header.tail);
  header.bytes = events.bytes;
  for (const outbox of core.outboxes) {
    if (outbox === undefined) continue;
    const { uplink } = outbox;
    const uplinkEnd = await lastPageEnd(core, uplink.id);
    if (uplinkEnd > uplink.ordinals) {
      uplink.add(COLUMN.arrived, uplinkEnd - uplink.ordinals);
      uplink.ordinals = uplink.committed = uplinkEnd;
    }
    uplink.bytes = (await measure(core, uplink.id, uplink.progress.base)).bytes;
    outbox.ragged = true;
    core.writer.group.touch(uplink);
  }
}

async function lastPageEnd(core: Core, log: number): Promise<number> {
  let end = 0;
  await core.disk.walk(
    { ...keys.pagesFrom(log, 0), reverse: true, limit: 4 },
    (key, bytes) => {
      const parsed = keys.pageKey(key);
      if (parsed === undefined || !page.isSound(parsed, bytes)) return true;
      end = parsed.first + parsed.count;
      return false;
    },
    () => undefined,
    1,
  );
  return end;
}

async function measure(core: Core, log: number, from: number): Promise<{ bytes: number }> {
  let bytes = 0;
  await core.disk.walk(
    { ...keys.pagesFrom(log, 0), values: false },
    (key) => {
      const parsed = keys.pageKey(key);
      if (parsed !== undefined && parsed.first + parsed.count > from) bytes += parsed.bytes;
      return true;
    },
    () => undefined,
    1000,
  );
  return { bytes };
}

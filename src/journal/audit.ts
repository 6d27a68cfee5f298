/**
 * The audit: the ledger counted anew from the records on disk, without the counters of what waits. It walks every page
 * that still has something waiting, every parked task and every dead letter, and checks each checksum on the way.
 */
import { missingCommits, readBooks } from "./books.ts";
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { Core } from "./core.ts";
import { readDead } from "./dead.ts";
import { keys } from "./keys.ts";
import { handlerColumns, uplinkColumns } from "./ledger.ts";
import type { EventColumns, Ledger, UplinkColumns } from "./ledger.ts";
import { EVENTS } from "./log.ts";
import { page } from "./page.ts";
import { isParkedRowSound } from "./parked.ts";

/**
 * Everything staged must be on disk, and nothing may be staged while it runs: otherwise the columns that it counts
 * belong to different moments.
 */
export async function audit(core: Core): Promise<Ledger> {
  const books = await readBooks(core.disk, core.header.commit);
  if (missingCommits(books) > 0) {
    for (const { from, to } of books.missing) {
      core.damage.report({ where: "commits", from, to, what: "commits are missing: what they changed may be undone" });
    }
  }
  const header = books.header ?? core.header;
  const handlers = [...books.handlers.values()];
  const uplinks = [...books.uplinks.values()];
  const pending = await waitingTasks(core, books.handlers, header.tail, header.head);
  await walkParked(core, (handler) => pending.set(handler, (pending.get(handler) ?? 0) + 1));
  const dead = { task: new Map<number, number>(), output: new Map<number, number>() };
  await walkDead(core, (kind, consumer) => dead[kind].set(consumer, (dead[kind].get(consumer) ?? 0) + 1));

  const sum = { accepted: header.lost, done: 0, dead: 0, expired: 0, dropped: header.lost, pending: 0 };
  for (const handler of handlers) {
    const columns = counted(handlerColumns(handler), dead.task.get(handler.id) ?? 0, pending.get(handler.id) ?? 0);
    for (const name of ["accepted", "done", "dead", "expired", "dropped", "pending"] as const)
      sum[name] += columns[name];
  }
  const byUplink: Record<string, UplinkColumns> = {};
  for (const uplink of uplinks) {
    const waiting = await waitingEntries(core, uplink);
    const columns = counted(handlerColumns(uplink), dead.output.get(uplink.id) ?? 0, waiting);
    byUplink[uplink.name] = {
      ...uplinkColumns(uplink),
      rejected: columns.dead,
      dropped: columns.dropped,
      waiting: columns.pending,
    };
  }
  return { events: sum, uplinks: byUplink };
}

/** What the records no longer have was lost with damage that nobody has come by yet. */
function counted(columns: EventColumns, dead: number, pending: number): EventColumns {
  const lost = columns.pending - pending + (columns.dead - dead);
  return { ...columns, dead, pending, dropped: columns.dropped + Math.max(0, lost) };
}

async function waitingTasks(
  core: Core,
  handlers: ReadonlyMap<number, Consumer>,
  tail: number,
  head: number,
): Promise<Map<number, number>> {
  const waiting = new Map<number, number>();
  await core.reader.read(EVENTS, tail, head, (read) => {
    page.slices(read.first, read.page, (id, slice) => {
      const handler = handlers.get(id);
      if (handler === undefined) return;
      let count = 0;
      for (let i = 0; i < slice.count; i++) if (!handler.progress.isSettled(slice.ordinal + i)) count++;
      waiting.set(id, (waiting.get(id) ?? 0) + count);
    });
    return true;
  });
  return waiting;
}

async function waitingEntries(core: Core, uplink: Consumer): Promise<number> {
  let waiting = 0;
  await core.reader.read(
    uplink.id,
    uplink.progress.base,
    uplink.column(COLUMN.arrived) === 0 ? 0 : uplink.ordinals,
    (read) => {
      for (let seq = read.first; seq < read.first + read.count; seq++) if (!uplink.progress.isSettled(seq)) waiting++;
      return true;
    },
  );
  return waiting;
}

async function walkParked(core: Core, visit: (handler: number) => void): Promise<void> {
  await core.disk.walk(
    keys.parkedAll(),
    (key, row) => {
      const parsed = keys.parkedKey(key);
      if (parsed !== undefined && isParkedRowSound(key, row)) visit(parsed.handler);
      return true;
    },
    () => undefined,
  );
}

async function walkDead(core: Core, visit: (kind: "task" | "output", consumer: number) => void): Promise<void> {
  await core.disk.walk(
    keys.deadFrom(0),
    (key, row) => {
      const dead = readDead(key, row);
      if (dead !== undefined) visit(dead.kind, dead.kind === "task" ? dead.handler : dead.uplink);
      return true;
    },
    () => undefined,
  );
}

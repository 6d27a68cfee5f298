/**
 * One group commit: what is staged becomes a batch, and what is on disk becomes visible.
 */
import { HANDLER } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import { usedBytes } from "./core.ts";
import type { Core } from "./core.ts";
import type { Group } from "./group.ts";
import { checkpointRows, commitRow } from "./header.ts";
import { keys } from "./keys.ts";
import { EVENTS } from "./log.ts";
import type { Witness } from "./mark.ts";
import { page } from "./page.ts";
import type { Operation } from "./store.ts";

/** Commits between two checkpoints: so many commit records are read at start for each consumer. */
const CHECKPOINT_EVERY = 64;
/** Commit records kept, for the check at start that none is missing. They reach further back than LevelDB's own log. */
const RECORDS_MAX = 16_384;
const RECORDS_BYTES_MAX = 8 * 1024 * 1024;
const RECORDS_MIN = 2 * CHECKPOINT_EVERY;

/** Closes the open pages and turns what is staged into the operations of one batch. */
export function cut(core: Core, group: Group): Operation[] {
  const { header, events } = core;
  if (events.count > 0) group.pages.push(events.finish());
  for (const { writer } of core.filling) if (writer.count > 0) group.pages.push(writer.finish());
  core.filling.length = 0;
  for (const written of group.pages) {
    group.operations.push({ type: "put", key: keys.page(written), value: written.page });
    if (written.log === EVENTS) header.bytes += written.bytes;
    else (core.outboxes[written.log] as Core["outboxes"][number]).uplink.bytes += written.bytes;
  }
  core.states.cut(group);
  core.records.cut(group);
  header.commit = group.number;
  header.dead = core.dead.count;
  header.deadBytes = core.dead.bytes;
  header.deadNext = core.dead.next;
  header.stateBytes = Math.max(0, core.states.bytes);
  trimRecords(core, group);
  if (group.number - header.checkpoint >= CHECKPOINT_EVERY) checkpoint(core, group);
  const row = commitRow(header, group.consumers);
  core.recordBytes.push(row.value.length);
  core.recordBytesTotal += row.value.length;
  group.operations.push({ type: "put", key: row.key, value: row.value });
  group.head = header.head;
  group.accepted = core.accepted + header.lost;
  return group.operations;
}

/** Both copies of every consumer that changed since the last checkpoint. */
export function checkpoint(core: Core, group: Group): void {
  core.header.checkpoint = group.number;
  core.header.commit = group.number;
  const changed: Consumer[] = [];
  const look = (consumer: Consumer): void => {
    if (!consumer.unchecked) return;
    consumer.unchecked = false;
    changed.push(consumer);
  };
  for (const handler of core.handlers) if (handler !== undefined) look(handler);
  for (const outbox of core.outboxes) if (outbox !== undefined) look(outbox.uplink);
  for (const { key, value } of checkpointRows(core.header, changed)) {
    group.operations.push({ type: "put", key, value });
  }
}

function trimRecords(core: Core, group: Group): void {
  const { header, recordBytes } = core;
  let count = group.number - header.firstKept;
  let oldest = 0;
  while (count > RECORDS_MAX || (core.recordBytesTotal > RECORDS_BYTES_MAX && count > RECORDS_MIN)) {
    group.operations.push({ type: "del", key: keys.commit(header.firstKept) });
    core.recordBytesTotal -= recordBytes[oldest++] ?? 0;
    header.firstKept++;
    count--;
  }
  if (oldest > 0) recordBytes.splice(0, oldest);
}

/** The group is on disk: witness it, and tell those who wait for that. */
export function acknowledge(core: Core, group: Group): void {
  for (const written of group.pages) {
    core.position += written.bytes;
    if (written.log === EVENTS) core.committedHead = written.first + written.count;
    else (core.outboxes[written.log] as Core["outboxes"][number]).uplink.committed = written.first + written.count;
  }
  core.mark.write(witness(core, group));
  // In the order of arrival, which is the order of acknowledgements [MQTT-4.6.0-2].
  for (let i = 0; i < group.receivers.length; i++) {
    (group.receivers[i] as Group["receivers"][number]).committed(group.tags[i] as number, undefined);
  }
}

/** Lets the consumers see what the group brought them. */
export function show(core: Core, group: Group): void {
  core.states.landed(group);
  core.records.landed(group);
  for (const written of group.pages) {
    if (written.log !== EVENTS) {
      core.outboxes[written.log]?.feed?.offerPage(written);
      continue;
    }
    const last = written.first + written.count - 1;
    page.slices(written.first, written.page, (id, slice) => {
      const handler = core.handlers[id] as Consumer;
      handler.committed = slice.ordinal + slice.count;
      core.feeds[id]?.offer(slice, last);
    });
  }
  core.used = usedBytes(core);
  for (const consumer of group.consumers) {
    if (consumer.kind === HANDLER) core.feeds[consumer.id]?.landed();
    else core.outboxes[consumer.id]?.feed?.landed();
  }
}

function witness(core: Core, group: Group): Witness {
  const uplinks: { id: number; head: number }[] = [];
  for (const outbox of core.outboxes) {
    if (outbox === undefined) continue;
    uplinks.push({ id: outbox.uplink.id, head: outbox.uplink.committed });
  }
  const { header } = core;
  return { id: header.id, commit: group.number, head: group.head, accepted: group.accepted, uplinks };
}

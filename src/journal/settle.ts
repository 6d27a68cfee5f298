/**
 * Settling: what a task came to, and what became of an output, staged as one atomic unit each (G2). Every row and every
 * count of a call goes into the same group, and a group is one batch.
 */
import { eventRecord, eventRecordBytesMax, lineageOf, replayedLineage } from "../event.ts";
import type { Failure, Outcome, Output, Task } from "../task.ts";
import { arrive } from "./arrive.ts";
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { Core, Outbox } from "./core.ts";
import { keys } from "./keys.ts";
import { outputBytesMax, outputRecord, readOutput, writeOutput } from "./output.ts";
import type { Origin } from "./output.ts";
import { PAGE_HEADER_BYTES } from "./page.ts";
import type { Page } from "./page.ts";

/** What became of an entry of an outbox. */
export interface Receipt {
  readonly seq: number;
  readonly verdict: "delivered" | "rejected" | "expired" | "dropped";
  /** Why it was rejected. */
  readonly failure?: Failure;
}

/**
 * `startMs`: what its clock began with, 0 when nobody would run it again.
 * False when the task was not in hand: it was settled or dropped before, and nothing is changed by it now.
 */
export function settle(core: Core, task: Task, outcome: Outcome, version: number, startMs: number): boolean {
  const handler = core.handlers[task.handler] as Consumer;
  const { group } = core.writer;
  if (task.parked) {
    if (outcome.at === "behind") return true;
    if (outcome.at === "retry") {
      if (!core.parked.has(handler.id, task.seq)) return false;
      core.parked.stage(group, handler, task, triesAfter(task, outcome), outcome.dueMs);
      handler.add(COLUMN.retried, 1);
      group.touch(handler);
      return true;
    }
    if (!core.parked.unstage(group, handler, task.key, task.seq)) return false;
  } else {
    const ordinal = handler.ordinalOf(task.seq);
    if (ordinal < 0 || !handler.progress.settle(ordinal)) return false;
  }
  group.touch(handler);
  switch (outcome.at) {
    case "done":
      handler.add(COLUMN.done, 1);
      core.records.stage(group, handler, task, {
        startMs,
        version,
        after: outcome.state,
        outputs: outcome.outputs,
      });
      if (outcome.outputs.length > 0) emit(core, task, outcome.outputs, version);
      if (outcome.state !== undefined) core.states.stage(group, handler, task.key, outcome.state, version);
      return true;
    case "retry":
      handler.add(COLUMN.retried, 1);
      core.parked.stage(group, handler, task, triesAfter(task, outcome), outcome.dueMs);
      return true;
    case "behind":
      core.parked.stage(group, handler, task, task.attempt, 0);
      return true;
    case "dead":
      handler.add(COLUMN.dead, 1);
      core.records.stage(group, handler, task, { startMs, version, failure: outcome.failure });
      core.dead.stage(group, {
        kind: "task",
        handler: handler.id,
        uplink: 0,
        eventSeq: task.seq,
        version,
        attempt: task.attempt + 1,
        key: task.key,
        timeMs: core.clock.now(),
        failure: outcome.failure,
        page: task.page,
        at: task.at,
        end: task.at + eventRecord.length(task.page, task.at),
      });
      return true;
  }
}

function triesAfter({ attempt }: Task, { isFree = false }: { readonly isFree?: boolean }): number {
  return isFree ? attempt : attempt + 1;
}

/** Stages the outputs of a task, each counted. `replay`: they are those of a replay, and are marked with its id. */
export function emit(core: Core, task: Task, outputs: readonly Output[], version: number, replay = ""): void {
  const own = eventRecord.lineage(task.page, task.at);
  const lineage = replay === "" ? own : replayedLineage(task.seq, own, replay);
  const { seq: eventSeq, handler, key } = task;
  const origin = { eventSeq, lineage, handler, version, key, timeMs: core.clock.now() };
  for (let position = 0; position < outputs.length; position++) {
    const output = outputs[position] as Output;
    for (const uplink of output.to) {
      const outbox = core.outboxes[uplink] as Outbox;
      outbox.uplink.add(COLUMN.arrived, 1);
      stageOutput(core, outbox, output, position, origin);
    }
    if (output.wanted !== undefined && output.wanted.length > 0) chain(core, task, output, position, origin);
  }
}

/** What a handler publishes to a topic that handlers listen to is an event, there as soon and as surely as the output. */
function chain(core: Core, task: Task, output: Output, position: number, origin: Origin): void {
  const { page, at } = task;
  const event = {
    kind: "topic",
    topic: output.topic,
    device: eventRecord.device(page, at),
    payload: output.data,
    qos: output.qos,
    retain: output.retain,
    hops: eventRecord.hops(page, at) + 1,
    lineage: lineageOf(task.seq, origin.lineage, task.handler, position),
    timeMs: origin.timeMs,
  } as const;
  const wanted = output.wanted as readonly number[];
  const seq = arrive(core, event, wanted);
  core.chained.made(task.handler, seq, eventRecordBytesMax(event, wanted.length), wanted);
}

/** Appends an output to an outbox; counting it as emitted is the caller's. */
export function stageOutput(core: Core, outbox: Outbox, output: Output, position: number, origin: Origin): void {
  const { uplink, writer } = outbox;
  const { group } = core.writer;
  const bytes = outputBytesMax(output, origin);
  if (!writer.takes(bytes, 0)) group.pages.push(writer.finish());
  if (writer.count === 0) core.filling.push(outbox);
  const into = writer.room(bytes, uplink.ordinals, origin.timeMs);
  const { at } = writer;
  const end = writeOutput(into, at, output, position, origin);
  writer.wrote(end);
  uplink.ordinals++;
  group.bytes += end - at;
  group.touch(uplink);
}

/** Stages receipts. A receipt for an entry that has one already changes nothing. */
export function receive(core: Core, outbox: Outbox, receipts: readonly Receipt[]): void {
  const { uplink } = outbox;
  const { group } = core.writer;
  for (const receipt of receipts) {
    const ordinal = uplink.ordinalOf(receipt.seq);
    if (ordinal < 0 || ordinal >= uplink.committed) continue;
    if (receipt.verdict === "rejected") bury(core, outbox, receipt);
    else if (uplink.progress.settle(ordinal)) uplink.add(COLUMN_OF[receipt.verdict], 1);
    group.touch(uplink);
  }
  releasePages(core, outbox);
}

const COLUMN_OF = { delivered: COLUMN.done, expired: COLUMN.expired, dropped: COLUMN.droppedAsked } as const;

/** A rejected output is kept as a dead letter, with its record. */
function bury(core: Core, outbox: Outbox, receipt: Receipt): void {
  const { uplink } = outbox;
  const record = recordOf(outbox.pages, receipt.seq);
  if (!uplink.progress.settle(receipt.seq)) return;
  if (record === undefined) {
    // Its page is out of memory: nothing is left to keep, but it is counted.
    uplink.add(COLUMN.droppedAsked, 1);
    return;
  }
  const output = readOutput(record.page, record.at, receipt.seq);
  uplink.add(COLUMN.dead, 1);
  core.dead.stage(core.writer.group, {
    kind: "output",
    handler: output.handler,
    uplink: uplink.id,
    eventSeq: output.eventSeq,
    version: output.version,
    attempt: 1,
    key: output.key,
    timeMs: core.clock.now(),
    failure: receipt.failure ?? { code: "UPLINK_REJECTED", message: "The uplink rejected it." },
    page: record.page,
    at: record.at,
    end: record.end,
  });
}

/** Where the record of an entry lies, while its page is in memory: from when it was taken until it is settled. */
function recordOf(pages: readonly Page[], seq: number): { page: Buffer; at: number; end: number } | undefined {
  const found = pages.find(({ first, count }) => seq >= first && seq < first + count);
  if (found === undefined) return undefined;
  let at = PAGE_HEADER_BYTES;
  for (let before = seq - found.first; before > 0; before--) at += outputRecord.length(found.page, at);
  return { page: found.page, at, end: at + outputRecord.length(found.page, at) };
}

/** Deletes the pages of an outbox whose entries are all settled. */
export function releasePages(core: Core, outbox: Outbox): void {
  const { uplink, pages } = outbox;
  const { base } = uplink.progress;
  let released = 0;
  for (const page of pages) {
    if (page.first + page.count > base) break;
    if (page.first > uplink.tail) outbox.ragged = true;
    core.writer.group.del(keys.page(page));
    core.deletedBytes += page.bytes;
    uplink.bytes = Math.max(0, uplink.bytes - page.bytes);
    uplink.tail = Math.max(uplink.tail, page.first + page.count);
    released++;
  }
  if (released > 0) {
    pages.splice(0, released);
    core.writer.group.touch(uplink);
  }
}

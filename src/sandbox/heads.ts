/**
 * What the guest has to know of each task as numbers, in memory that it shares with its runner. The runner's own code is
 * compiled once and always warm; that of an isolate is one of hundreds of copies. So the runner finds out where in a
 * batch's text everything is, and the isolate reads numbers instead of taking bytes apart.
 *
 * One Int32Array for each isolate: index 0 is the task that runs, 1 and 2 the time that the batch begins with, then
 * HEAD_INTS numbers a task. Only our
 * own code in the isolate can get at it, and what it does there can mislead nobody but itself.
 */
import { BATCH_TASKS_MAX, NO_STATE, START_BYTES, TASK_HEAD_BYTES } from "./wire.ts";
import type { RunHead } from "./wire.ts";

/** Offsets are into the text of the batch, of which each character is a byte. */
export const HEAD = {
  attempt: 0,
  /** Index of its key among the batch's keys. */
  key: 1,
  seqHigh: 2,
  seqLow: 3,
  /** Its state is what lies between; -1 when it carries none. */
  stateAt: 4,
  stateEnd: 5,
  topicAt: 6,
  deviceAt: 7,
  payloadAt: 8,
  payloadEnd: 9,
  flags: 10,
  kind: 11,
  timeHigh: 12,
  timeLow: 13,
  /** The lineage of an event that a handler caused lies between here and the topic: nothing, of others. */
  lineageAt: 14,
  /** The version that wrote its state; 0: not known. */
  writerHigh: 15,
  writerLow: 16,
  /** Of a captured run: the time that its clock begins with. */
  startHigh: 17,
  startLow: 18,
  /** What a webhook's call was like lies between here and the payload: nothing, of others. */
  requestAt: 19,
} as const;
export const HEAD_INTS = 20;
const HEADS_TIME = 1;
export const HEADS_AT = 3;
export const HEADS_LENGTH = HEADS_AT + BATCH_TASKS_MAX * HEAD_INTS;

/** Offsets within an event's record, see src/event.ts. */
const RECORD = {
  flags: 4,
  kind: 5,
  timeHigh: 6,
  timeLow: 8,
  topic: 12,
  device: 14,
  wanted: 16,
  hops: 18,
  payload: 20,
  end: 24,
};

/** Fills in the heads of the `count` tasks of a run frame. Throws RangeError when they are not there. */
export function fillHeads(heads: Int32Array, atMs: number, count: number, tasks: Buffer): void {
  if (count > BATCH_TASKS_MAX)
    throw new RangeError(`${count} tasks in a batch, and there is room for ${BATCH_TASKS_MAX}`);
  heads[HEADS_TIME] = Math.floor(atMs / 0x1_0000_0000);
  heads[HEADS_TIME + 1] = atMs | 0;
  let task = 0;
  for (let at = HEADS_AT; at < HEADS_AT + count * HEAD_INTS; at += HEAD_INTS) {
    const stateBytes = tasks.readUInt32BE(task + 10);
    const stateAt = task + TASK_HEAD_BYTES;
    const record = stateBytes === NO_STATE ? stateAt : stateAt + stateBytes;
    let topicAt = record + RECORD.end + 2 * tasks.readUInt16BE(record + RECORD.wanted);
    heads[at + HEAD.lineageAt] = topicAt;
    if (tasks.readUInt16BE(record + RECORD.hops) > 0) {
      const lineageAt = topicAt + 1;
      heads[at + HEAD.lineageAt] = lineageAt;
      topicAt = lineageAt + tasks.readUInt8(topicAt);
    }
    const deviceAt = topicAt + tasks.readUInt16BE(record + RECORD.topic);
    const end = record + tasks.readUInt32BE(record);
    const payloadAt = end - tasks.readUInt32BE(record + RECORD.payload);
    heads[at + HEAD.attempt] = tasks.readUInt16BE(task);
    heads[at + HEAD.key] = tasks.readUInt16BE(task + 2);
    heads[at + HEAD.seqHigh] = tasks.readUInt16BE(task + 4);
    heads[at + HEAD.seqLow] = tasks.readInt32BE(task + 6);
    heads[at + HEAD.stateAt] = stateBytes === NO_STATE ? -1 : stateAt;
    heads[at + HEAD.stateEnd] = record;
    heads[at + HEAD.topicAt] = topicAt;
    heads[at + HEAD.deviceAt] = deviceAt;
    heads[at + HEAD.requestAt] = deviceAt + tasks.readUInt16BE(record + RECORD.device);
    heads[at + HEAD.payloadAt] = payloadAt;
    heads[at + HEAD.payloadEnd] = end;
    heads[at + HEAD.flags] = tasks[record + RECORD.flags] as number;
    heads[at + HEAD.kind] = tasks[record + RECORD.kind] as number;
    heads[at + HEAD.timeHigh] = tasks.readUInt16BE(record + RECORD.timeHigh);
    heads[at + HEAD.timeLow] = tasks.readInt32BE(record + RECORD.timeLow);
    heads[at + HEAD.writerHigh] = tasks.readUInt16BE(task + 14);
    heads[at + HEAD.writerLow] = tasks.readInt32BE(task + 16);
    task = end;
  }
}

/** Fills in the times of the tasks of a captured run. */
export function fillStarts(heads: Int32Array, { atMs, apart, count, tasks }: RunHead): void {
  const starts = tasks.length - count * START_BYTES;
  for (let i = 0; i < count; i++) {
    const startMs = apart ? tasks.readUIntBE(starts + i * START_BYTES, START_BYTES) : atMs;
    const at = HEADS_AT + i * HEAD_INTS;
    heads[at + HEAD.startHigh] = Math.floor(startMs / 0x1_0000_0000);
    heads[at + HEAD.startLow] = startMs | 0;
  }
}

/** A number of 48 bits from its two halves. Runs inside the isolate. */
export function joined(high: number, low: number): number {
  return high * 0x1_0000_0000 + (low >>> 0);
}

/** The time that the clock of the task whose head lies at `at` begins with. Runs inside the isolate. */
export function startOf(heads: Int32Array, at: number, isCaptured: boolean): number {
  const from = isCaptured ? at + HEAD.startHigh : HEADS_TIME;
  return joined(heads[from] as number, heads[from + 1] as number);
}

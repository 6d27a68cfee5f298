/**
 * The wire between the gateway and a runner: length-prefixed frames over a socket pair.
 *
 *     0  u32  length of what follows
 *     4  u8   kind of frame, an index into FRAME_KINDS
 *     5  u32  request id; 0 where none belongs to it
 *     9       body: JSON for what is rare, bytes as below for `run` and `ran`
 *
 * Both ends use this file, but only one trusts the other: what a runner writes may come from hostile code that took it
 * over, so frames are bounded before they are buffered and whoever reads them checks every field.
 *
 * Body of `run`:   u32 serial number of the loaded version, u16 count of tasks, u48 the time that their clocks begin
 *                  with, milliseconds since 1970, u8 1 for a captured run, 2 for one in which tasks have
 *                  times of their own, u48 each behind all tasks, else 0; then per task
 *     0  u16  which try this is, from 1
 *     2  u16  index of its key among the batch's keys
 *     4  u48  sequence number of the event
 *    10  u32  bytes of state, or 0xFFFFFFFF when the key has none (or an earlier task of the batch carries it)
 *    14  u48  the version of the handler that wrote that state, 0 when that is not known
 *    20       state (JSON as UTF-8), then the event's record as it is (see event.ts)
 * Body of `ran`:   u32 µs that the batch took, u32 µs of processor time, u32 bytes of the failure that cost the isolate
 *                  (0: none), that failure as JSON with the index of the task it struck, then the answer's lines (see
 *                  api/answer.ts), UTF-8.
 * Body of `ask`:   what the batch with that request id asks of the gateway, a line of api/asks.ts, UTF-8.
 * Body of `fetched`: u32 id of the ask, u32 bytes of the head, the head as JSON (see fetching.ts), then the bytes of what
 *                  came. The request id is the batch's; whoever has no such batch any more lets it go.
 */
import type { Task } from "../task.ts";

/** Order is meaning; host and runner are always of the same build. */
export const FRAME_KINDS = [
  // host → runner
  "hello",
  "load",
  "unload",
  "inspect",
  "run",
  "fetched",
  // runner → host
  "ready",
  "loaded",
  "inspected",
  "ran",
  "stuck",
  "ask",
  "beat",
] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

export interface Frame {
  readonly kind: FrameKind;
  readonly id: number;
  readonly body: Buffer;
}

const HEAD_BYTES = 9;
/** Longest frame either way. A packet of a device is far below it, and so is any answer within its limits. */
export const FRAME_BYTES_MAX = 64 * 1024 * 1024;
export const NO_STATE = 0xffff_ffff;
const RUN_HEAD_BYTES = 13;
const FETCHED_HEAD_BYTES = 8;
/** What stands before the failure in the body of `ran`. */
export const RAN_HEAD_BYTES = 16;
const MICROSECONDS_MAX = 0xffff_ffff;
const KILOBYTE = 1024;
const KILOBYTES_MAX = 0xffff_ffff;
/** What stands before a task's state in the body of `run`. */
export const TASK_HEAD_BYTES = 20;
/** Tasks in one batch, at most: whoever makes batches keeps to it. */
export const BATCH_TASKS_MAX = 256;
const TRIES_SHOWN_MAX = 0xffff;

/** Reassembles frames from chunks. Frames that lie within one chunk are views into it. */
export class FrameReader {
  readonly #bytesMax: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = 4;

  constructor(bytesMax: number = FRAME_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Calls `each` for every complete frame. Returns what is wrong with the stream, after which it must not be read on. */
  push(chunk: Buffer, each: (frame: Frame) => void): string | undefined {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return undefined;
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#bytes);
    for (;;) {
      this.#wanted = 4;
      if (rest.length < 4) break;
      const length = rest.readUInt32BE(0);
      if (length < HEAD_BYTES - 4) return `a frame of ${length} bytes is too short`;
      if (length > this.#bytesMax) return `a frame of ${length} bytes is longer than ${this.#bytesMax}`;
      this.#wanted = 4 + length;
      if (rest.length < this.#wanted) break;
      const kind = FRAME_KINDS[rest[4] as number];
      if (kind === undefined) return `there is no frame of kind ${rest[4]}`;
      each({ kind, id: rest.readUInt32BE(5), body: rest.subarray(HEAD_BYTES, this.#wanted) });
      rest = rest.subarray(this.#wanted);
    }
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    return undefined;
  }
}

function head(frame: Buffer, kind: FrameKind, id: number): void {
  frame.writeUInt32BE(frame.length - 4, 0);
  frame[4] = FRAME_KINDS.indexOf(kind);
  frame.writeUInt32BE(id, 5);
}

/** A frame whose body is `value` as JSON. */
export function jsonFrame(kind: FrameKind, id: number, value: unknown): Buffer {
  return textFrame(kind, id, JSON.stringify(value ?? null));
}

export function textFrame(kind: FrameKind, id: number, text: string): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + Buffer.byteLength(text));
  frame.utf8Write(text, HEAD_BYTES);
  head(frame, kind, id);
  return frame;
}

/** Of a time of a task's own. */
export const START_BYTES = 6;

export interface RunHead {
  readonly serial: number;
  readonly count: number;
  readonly atMs: number;
  readonly captured: boolean;
  /** Each task has a time of its own. */
  readonly apart: boolean;
  /** The tasks, from here to the end of the body. */
  readonly tasks: Buffer;
}

export function readRunHead(body: Buffer): RunHead {
  return {
    serial: body.readUInt32BE(0),
    count: body.readUInt16BE(4),
    atMs: body.readUIntBE(6, 6),
    captured: body[12] !== 0,
    apart: body[12] === 2,
    tasks: body.subarray(RUN_HEAD_BYTES),
  };
}

/** With which time a batch's clocks begin, and whether nothing real goes into it (api/clock.ts). */
export interface BatchTime {
  readonly atMs: number;
  readonly captured: boolean;
  /** Of a captured run: the time that each task's clock begins with. Each has its own state then, too. */
  readonly startsMs?: readonly number[] | undefined;
}

/**
 * `states`, and the `versions` that wrote them, are aligned with the batch; a key's first task carries it, the others follow
 * in the isolate.
 */
export function runFrame(
  id: number,
  serial: number,
  { atMs, captured, startsMs }: BatchTime,
  batch: readonly Task[],
  states: readonly (string | undefined)[],
  versions: readonly number[] = [],
): Buffer {
  let size = HEAD_BYTES + RUN_HEAD_BYTES;
  for (let i = 0; i < batch.length; i++) {
    const task = batch[i] as Task;
    const state = states[i];
    size += TASK_HEAD_BYTES + (state === undefined ? 0 : 3 * state.length) + task.page.readUInt32BE(task.at);
  }
  if (startsMs !== undefined) size += START_BYTES * batch.length;
  const frame = Buffer.allocUnsafe(size);
  frame.writeUInt32BE(serial, HEAD_BYTES);
  frame.writeUInt16BE(batch.length, HEAD_BYTES + 4);
  frame.writeUIntBE(atMs, HEAD_BYTES + 6, 6);
  frame[HEAD_BYTES + 12] = captured ? (startsMs === undefined ? 1 : 2) : 0;
  const keys = new Map<string, number>();
  let at = HEAD_BYTES + RUN_HEAD_BYTES;
  for (let i = 0; i < batch.length; i++) {
    const { page, at: record, key, attempt, seq } = batch[i] as Task;
    let keyIndex = startsMs === undefined ? keys.get(key) : undefined;
    const state = keyIndex === undefined ? states[i] : undefined;
    if (startsMs !== undefined) keyIndex = i;
    else if (keyIndex === undefined) keys.set(key, (keyIndex = keys.size));
    frame.writeUInt16BE(Math.min(attempt + 1, TRIES_SHOWN_MAX), at);
    frame.writeUInt16BE(keyIndex, at + 2);
    frame.writeUInt16BE(Math.floor(seq / 0x1_0000_0000), at + 4);
    frame.writeUInt32BE(seq >>> 0, at + 6);
    frame.writeUIntBE(versions[i] ?? 0, at + 14, 6);
    const stateAt = at + TASK_HEAD_BYTES;
    if (state === undefined || state === "") {
      frame.writeUInt32BE(NO_STATE, at + 10);
      at = stateAt;
    } else {
      const stateBytes = frame.utf8Write(state, stateAt);
      frame.writeUInt32BE(stateBytes, at + 10);
      at = stateAt + stateBytes;
    }
    at += page.copy(frame, at, record, record + page.readUInt32BE(record));
  }
  if (startsMs !== undefined) for (const startMs of startsMs) at = frame.writeUIntBE(startMs, at, START_BYTES);
  const used = frame.subarray(0, at);
  head(used, "run", id);
  return used;
}

/** What running a batch took. */
export interface Spent {
  /** Time on the clock, from its turn to its answer. */
  readonly tookMs: number;
  readonly cpuMs: number;
  /** What its isolate's heap took at the end, in whole kilobytes; 0 when nobody looked. */
  readonly heapBytes: number;
}

/** `failure` is what took the isolate down in the middle of the batch. */
export function ranFrame(id: number, lines: string, failure: unknown, { tookMs, cpuMs, heapBytes }: Spent): Buffer {
  const failed = failure === undefined ? "" : JSON.stringify(failure);
  const failedBytes = Buffer.byteLength(failed);
  const frame = Buffer.allocUnsafe(HEAD_BYTES + RAN_HEAD_BYTES + failedBytes + 3 * lines.length);
  frame.writeUInt32BE(Math.min(MICROSECONDS_MAX, Math.round(tookMs * 1000)), HEAD_BYTES);
  frame.writeUInt32BE(Math.min(MICROSECONDS_MAX, Math.round(cpuMs * 1000)), HEAD_BYTES + 4);
  frame.writeUInt32BE(Math.min(KILOBYTES_MAX, Math.ceil(heapBytes / KILOBYTE)), HEAD_BYTES + 8);
  frame.writeUInt32BE(failedBytes, HEAD_BYTES + 12);
  frame.utf8Write(failed, HEAD_BYTES + RAN_HEAD_BYTES);
  const at = HEAD_BYTES + RAN_HEAD_BYTES + failedBytes;
  const used = frame.subarray(0, at + frame.utf8Write(lines, at));
  head(used, "ran", id);
  return used;
}

/** `body` is what came, when something did. */
export function fetchedFrame(id: number, ask: number, headText: string, body: Buffer | undefined): Buffer {
  const headBytes = Buffer.byteLength(headText);
  const frame = Buffer.allocUnsafe(HEAD_BYTES + FETCHED_HEAD_BYTES + headBytes + (body?.length ?? 0));
  frame.writeUInt32BE(ask, HEAD_BYTES);
  frame.writeUInt32BE(headBytes, HEAD_BYTES + 4);
  frame.utf8Write(headText, HEAD_BYTES + FETCHED_HEAD_BYTES);
  body?.copy(frame, HEAD_BYTES + FETCHED_HEAD_BYTES + headBytes);
  head(frame, "fetched", id);
  return frame;
}

export function readFetchedHead(body: Buffer): { readonly id: number; readonly head: string; readonly rest: Buffer } {
  const restAt = FETCHED_HEAD_BYTES + body.readUInt32BE(4);
  return {
    id: body.readUInt32BE(0),
    head: body.utf8Slice(FETCHED_HEAD_BYTES, restAt),
    rest: body.subarray(restAt),
  };
}

/**
 * What a task came to, as it is kept for replays: with what it was run, and what came of it. Big endian:
 *
 *     0  u32  length of the whole entry
 *     4  u16  handler
 *     6  u8   bit 0: a dead letter
 *             bits 1-2 state before: 0 none, 1 here, 2 not kept (too long, or not known)
 *             bits 3-4 state after:  0 as before, 1 here ("" when it was removed), 2 its digest
 *             bit 5 outputs: their digest
 *     7  u8   tries that had failed before, at most 255
 *     8  u48  number of the event
 *    14  u48  time that its clock began with, milliseconds since 1970
 *    20  u48  version
 *    26  u16  key bytes      28  u32  bytes of the state before      32  u32  after      36  u32  of the outputs
 *    40  u48  version that had written the state before; 0: there was none, or it is not known
 *    46  key, state before, state after (UTF-8), outputs (output-bytes.ts); of a dead letter its code and message instead
 *
 * Texts of more than {@link KEPT_BYTES_MAX} are not kept, but a digest of them, so that it still shows whether a replay
 * comes to the same.
 */
import { digestOf, outputsBytesMax, writeOutputs } from "../output-bytes.ts";
import type { Failure, Output, Task } from "../task.ts";

const HEADER_BYTES = 46;
const KEPT_BYTES_MAX = 8 * 1024;
const FAILURE_CHARS_MAX = 256;

/** A state before the task, `undefined` when there was none, and the version that wrote it. */
export type Before =
  | { readonly at: "kept"; readonly state: string | undefined; readonly version: number }
  /** It was too long to be kept, or not in memory. */
  | { readonly at: "unknown" };

/** As it is, or only its digest. */
export type Kept = { readonly at: "here"; readonly bytes: Buffer } | { readonly at: "digest"; readonly digest: Buffer };

export interface Recorded {
  readonly handler: number;
  readonly seq: number;
  readonly version: number;
  readonly startMs: number;
  readonly attempt: number;
  readonly key: string;
  readonly before: Before;
  /** State after it; undefined: unchanged. Empty: removed. */
  readonly after: Kept | undefined;
  /** Of a dead letter: "CODE: message". It has neither outputs nor a state then. */
  readonly failure: string | undefined;
  readonly outputs: Kept;
}

/** What has been staged for a task that is about to be recorded. */
export interface Came {
  readonly startMs: number;
  readonly version: number;
  readonly before: Before;
  readonly after: string | undefined;
  readonly outputs: readonly Output[];
  readonly failure: Failure | undefined;
}

export function recordBytesMax(task: Task, came: Came): number {
  const { before, after, outputs } = came;
  const state = before.at === "kept" ? (before.state?.length ?? 0) : 0;
  const texts = task.key.length + Math.min(state, KEPT_BYTES_MAX) + Math.min(after?.length ?? 0, KEPT_BYTES_MAX);
  return HEADER_BYTES + 3 * (texts + 2 * FAILURE_CHARS_MAX) + outputsBytesMax(outputs);
}

/** Writes the entry at `at`, where there is {@link recordBytesMax}, and returns the offset after it. */
export function writeRecord(into: Buffer, at: number, task: Task, came: Came): number {
  const { before, after, outputs, failure } = came;
  let flags = failure === undefined ? 0 : 1;
  let end = at + HEADER_BYTES;
  const keyBytes = into.utf8Write(task.key, end);
  end += keyBytes;
  const beforeAt = end;
  if (before.at === "unknown") flags |= 2 << 1;
  else if (before.state !== undefined) {
    const written = kept(into, end, before.state);
    flags |= (written < 0 ? 2 : 1) << 1;
    if (written > 0) end += written;
  }
  const afterAt = end;
  if (after !== undefined) {
    const written = kept(into, end, after);
    flags |= (written < 0 ? 2 : 1) << 3;
    end = written < 0 ? end + digestOf(after).copy(into, end) : end + written;
  }
  const outputsAt = end;
  if (failure === undefined) {
    end = writeOutputs(into, end, outputs);
    if (end - outputsAt > KEPT_BYTES_MAX) {
      flags |= 1 << 5;
      end = outputsAt + digestOf(into.subarray(outputsAt, end)).copy(into, outputsAt);
    }
  } else end += into.utf8Write(failureText(failure), end);
  into.writeUInt32BE(end - at, at);
  into.writeUInt16BE(task.handler, at + 4);
  into[at + 6] = flags;
  into[at + 7] = Math.min(task.attempt, 255);
  into.writeUIntBE(task.seq, at + 8, 6);
  into.writeUIntBE(came.startMs, at + 14, 6);
  into.writeUIntBE(came.version, at + 20, 6);
  into.writeUInt16BE(keyBytes, at + 26);
  into.writeUInt32BE(afterAt - beforeAt, at + 28);
  into.writeUInt32BE(outputsAt - afterAt, at + 32);
  into.writeUInt32BE(end - outputsAt, at + 36);
  into.writeUIntBE(before.at === "kept" ? before.version : 0, at + 40, 6);
  return end;
}

/** As a recorded failure is compared. */
export function failureText({ code, message }: Failure): string {
  return `${code}: ${message}`.slice(0, FAILURE_CHARS_MAX);
}

/** The entry at `at`; it holds views into `row`. */
export function readRecord(row: Buffer, at: number): Recorded {
  const flags = row[at + 6] as number;
  const beforeAt = at + HEADER_BYTES + row.readUInt16BE(at + 26);
  const afterAt = beforeAt + row.readUInt32BE(at + 28);
  const outputsAt = afterAt + row.readUInt32BE(at + 32);
  const end = outputsAt + row.readUInt32BE(at + 36);
  const [before, after] = [(flags >> 1) & 0b11, (flags >> 3) & 0b11];
  const isDead = (flags & 1) !== 0;
  return {
    handler: row.readUInt16BE(at + 4),
    seq: row.readUIntBE(at + 8, 6),
    startMs: row.readUIntBE(at + 14, 6),
    version: row.readUIntBE(at + 20, 6),
    attempt: row[at + 7] as number,
    key: row.utf8Slice(at + HEADER_BYTES, beforeAt),
    before:
      before === 2
        ? { at: "unknown" }
        : {
            at: "kept",
            state: before === 0 ? undefined : row.utf8Slice(beforeAt, afterAt),
            version: row.readUIntBE(at + 40, 6),
          },
    after: after === 0 ? undefined : part(row.subarray(afterAt, outputsAt), after === 2),
    failure: isDead ? row.utf8Slice(outputsAt, end) : undefined,
    outputs: isDead ? part(NOTHING, false) : part(row.subarray(outputsAt, end), (flags & (1 << 5)) !== 0),
  };
}

export const record = {
  length: (row: Buffer, at: number): number => row.readUInt32BE(at),
  handler: (row: Buffer, at: number): number => row.readUInt16BE(at + 4),
} as const;

const NOTHING = Buffer.alloc(0);

function part(bytes: Buffer, isDigest: boolean): Kept {
  return isDigest ? { at: "digest", digest: bytes } : { at: "here", bytes };
}

/** Bytes written; -1: it is too long. */
function kept(into: Buffer, at: number, text: string): number {
  if (text.length > KEPT_BYTES_MAX) return -1;
  const bytes = into.utf8Write(text, at);
  return bytes > KEPT_BYTES_MAX ? -1 : bytes;
}

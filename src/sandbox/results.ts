/**
 * What running tasks came to, and how it is read out of a runner's answer. A runner may have been taken over by the
 * code it runs, so nothing in an answer is believed: each line is checked, and an answer that breaks a rule is a fault
 * of the runner, not of a task.
 */
import { isUtf8 } from "node:buffer";
import type { Failure, Task } from "../task.ts";
import { isJson } from "./json.ts";
import { RAN_HEAD_BYTES } from "./wire.ts";
import type { Spent } from "./wire.ts";

/** An output as a handler gave it; what it leaves out is filled in from the handler's config and the event. */
export interface RawOutput {
  /** JSON text as UTF-8 when `json`, else opaque bytes. A view that is valid during `done` only. */
  readonly data: Uint8Array;
  readonly json: boolean;
  readonly to?: readonly string[];
  readonly type?: string;
  readonly subject?: string;
  /** For ctx.publish: goes to local devices on this topic, and to no uplink. */
  readonly publish?: { readonly topic: string; readonly qos: 0 | 1 | 2; readonly retain: boolean };
}

export type RunResult =
  /** `state` is the key's new state as JSON text, "" to remove it, undefined when it did not change. */
  | { readonly at: "done"; readonly outputs: readonly RawOutput[]; readonly state: string | undefined }
  /** `final`: the handler threw a DeadLetter. `cost`: it was stopped with its isolate, or could not be and cost its runner. */
  | { readonly at: "failed"; readonly failure: Failure; readonly final: boolean; readonly cost?: "isolate" | "runner" }
  /** An earlier task of its key in the same batch failed. */
  | { readonly at: "behind" }
  /**
   * The runner was lost with it in its hands, or it may be what cost the isolate: to be run alone. `byItself`: the runner
   * was not killed by the gateway for what it did.
   */
  | { readonly at: "crashed"; readonly byItself: boolean }
  /** It was not started, which costs no try. */
  | { readonly at: "unrun" };

export interface BatchResult extends Spent {
  /** The version that ran the batch. */
  readonly version: number;
  /** The time that the tasks' clocks began with, milliseconds since 1970: a captured run repeats from it. 0: it was not sent. */
  readonly startMs: number;
  /** One a task, in the batch's order. */
  readonly results: readonly RunResult[];
}

export type LogLevel = "debug" | "info" | "warn" | "error";
export interface ResultLimits {
  readonly outputsMax: number;
  /** Characters of one task's outputs as JSON. */
  readonly resultBytesMax: number;
  readonly logCharsMax: number;
  readonly stateBytesMax: number;
}

/** The handler's side of reading an answer. */
export interface AnswerReader {
  /** Makes positions in a stack point into the user's source. */
  readonly failure: (failure: Failure) => Failure;
  readonly log: (level: LogLevel, message: string, task: Task | undefined) => void;
  /** The name of an uplink, which may stand in a fault. */
  readonly uplink: (name: string) => string;
  /** So many of its log lines went beyond its budget. */
  readonly dropped: (lines: number, task: Task | undefined) => void;
  readonly limits: ResultLimits;
}

/** An answer that breaks the rules. */
export class WireError extends Error {}

const LEVELS: Record<string, LogLevel> = { "2": "debug", "3": "info", "4": "warn", "5": "error" };
const LOG_LINES_MAX = 10_000;
const DROPPED_DIGITS_MAX = 12;
const TEXT_CHARS_MAX = 4096;
const UPLINKS_MAX = 64;
/** What a line has besides its text. */
const LINE_BYTES = 64;
const NEWLINE = 10;
const NOTHING: readonly RawOutput[] = [];
const BEHIND: RunResult = { at: "behind" };
const UNRUN: RunResult = { at: "unrun" };
const CRASHED: RunResult = { at: "crashed", byItself: false };
const ENDED: RunResult = { at: "crashed", byItself: true };
const DONE_QUIETLY: RunResult = { at: "done", outputs: NOTHING, state: undefined };

/** Letters of lines, see api/answer.ts. */
const line = {
  log: 0x6c,
  dropped: 0x64,
  address: 0x61,
  output: 0x6f,
  text: 0x78,
  bytes: 0x62,
  state: 0x73,
  done: 0x2e,
  failed: 0x21,
  behind: 0x7e,
  unrun: 0x2d,
};

/** Reads the body of a `ran` frame for `batch`. Throws WireError. */
export function readAnswer(body: Buffer, batch: readonly Task[], reader: AnswerReader): RunResult[] {
  if (body.length < RAN_HEAD_BYTES) throw new WireError("an answer ends before its head does");
  const linesAt = RAN_HEAD_BYTES + body.readUInt32BE(12);
  if (linesAt > body.length) throw new WireError("an answer's failure is longer than the answer");
  if (!isUtf8(body.subarray(RAN_HEAD_BYTES))) throw new WireError("an answer is not UTF-8");
  const results = readLines(body, linesAt, batch, reader);
  if (linesAt === RAN_HEAD_BYTES) {
    if (results.length !== batch.length) throw new WireError(`${results.length} results for ${batch.length} tasks`);
    return results;
  }
  const lost = asRecord(parse(body, RAN_HEAD_BYTES, linesAt), "a failure");
  const index = lost["index"];
  if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= batch.length) {
    throw new WireError("a failure without a task");
  }
  return strike(results, batch, index, reader.failure(asFailure(lost)), "isolate");
}

/** What a runner says that the batch of a `ran` frame took. Of an answer that was read. */
export function readSpent(body: Buffer): Spent {
  return {
    tookMs: body.readUInt32BE(0) / 1000,
    cpuMs: body.readUInt32BE(4) / 1000,
    heapBytes: body.readUInt32BE(8) * 1024,
  };
}

/**
 * Fills in the results of a batch that was cut off at task `index`: what was answered stands, the one that was struck
 * has failed, the rest was not run. When the answers before it are lost too, an earlier task of its key has to run
 * again before it, or the key's order would be broken: then both run again, alone.
 */
export function strike(
  results: RunResult[],
  batch: readonly Task[],
  index: number,
  failure: Failure,
  cost: "isolate" | "runner",
): RunResult[] {
  const { key } = batch[index] as Task;
  const answered = results.length;
  let orderLost = false;
  for (let i = answered; i < index; i++) {
    const sameKey = (batch[i] as Task).key === key;
    orderLost ||= sameKey;
    results.push(sameKey ? CRASHED : UNRUN);
  }
  if (answered <= index) results.push(orderLost ? CRASHED : { at: "failed", failure, final: false, cost });
  for (let i = results.length; i < batch.length; i++) {
    results.push((batch[i] as Task).key === key && !orderLost ? BEHIND : UNRUN);
  }
  return results;
}

/** What becomes of a whole batch: its runner was killed, or ended by itself, or it was never begun. */
export type Fate = "killed" | "ended" | "unrun";
const FATES = { killed: CRASHED, ended: ENDED, unrun: UNRUN };

export function allOf(batch: readonly Task[], fate: Fate): RunResult[] {
  return batch.map(() => FATES[fate]);
}

function readLines(body: Buffer, from: number, batch: readonly Task[], reader: AnswerReader): RunResult[] {
  const { limits } = reader;
  const results: RunResult[] = [];
  let outputs: RawOutput[] | undefined;
  let address: Partial<RawOutput> | undefined;
  let state: string | undefined;
  let failedKeys: Set<string> | undefined;
  let bytes = 0;
  let logLines = 0;
  let at = from;
  while (at < body.length) {
    const end = body.indexOf(NEWLINE, at);
    if (end < 0) throw new WireError("a line without an end");
    const letter = body[at] as number;
    const start = at + 1;
    at = end + 1;
    if (letter === line.log) {
      if (++logLines > LOG_LINES_MAX) throw new WireError("too many log lines");
      if (end - start > LINE_BYTES + 6 * Math.max(limits.logCharsMax, TEXT_CHARS_MAX))
        throw new WireError("a log line without end");
      const level = LEVELS[String.fromCharCode(body[start] as number)];
      const text = parse(body, start + 1, end);
      if (level === undefined || typeof text !== "string") throw new WireError("a log line that is none");
      reader.log(level, text, batch[results.length]);
      continue;
    }
    if (letter === line.dropped) {
      if (++logLines > LOG_LINES_MAX) throw new WireError("too many log lines");
      reader.dropped(asCount(body, start, end), batch[results.length]);
      continue;
    }
    if (results.length >= batch.length) throw new WireError("more results than tasks");
    switch (letter) {
      case line.output:
      case line.text:
      case line.bytes: {
        // A character of JSON is three bytes at the most.
        bytes += end - start;
        if (bytes > LINE_BYTES + 3 * limits.resultBytesMax) throw new WireError("outputs longer than is allowed");
        const data = dataOf(letter, body, start, end);
        outputs ??= [];
        if (outputs.length >= limits.outputsMax) throw new WireError("more outputs than are allowed");
        outputs.push(
          address === undefined
            ? { data, json: letter === line.output }
            : { ...address, data, json: letter === line.output },
        );
        address = undefined;
        break;
      }
      case line.address:
        address = asAddress(parse(body, start, end), reader);
        break;
      case line.state:
        if (end - start > 3 * limits.stateBytesMax) throw new WireError("a state longer than is allowed");
        if (end > start && !isJson(body, start, end)) throw new WireError("a state that is no JSON");
        state = body.utf8Slice(start, end);
        break;
      case line.done:
        results.push(
          outputs === undefined && state === undefined
            ? DONE_QUIETLY
            : { at: "done", outputs: outputs ?? NOTHING, state },
        );
        outputs = address = state = undefined;
        bytes = 0;
        break;
      case line.failed: {
        const failed = asRecord(parse(body, start, end), "a failure");
        (failedKeys ??= new Set()).add((batch[results.length] as Task).key);
        results.push({ at: "failed", failure: reader.failure(asFailure(failed)), final: failed["final"] === true });
        outputs = address = state = undefined;
        bytes = 0;
        break;
      }
      // Both cost no try, so neither may go on for ever.
      case line.behind:
        if (failedKeys?.has((batch[results.length] as Task).key) !== true) throw new WireError("behind nothing");
        results.push(BEHIND);
        break;
      case line.unrun:
        if (results.length === 0) throw new WireError("a batch of which nothing was run");
        results.push(UNRUN);
        break;
      default:
        throw new WireError(`a line that begins with ${letter}`);
    }
  }
  return results;
}

function asCount(body: Buffer, start: number, end: number): number {
  const text = end - start > DROPPED_DIGITS_MAX ? "" : body.latin1Slice(start, end);
  if (!/^[1-9]\d*$/.test(text)) throw new WireError("a count that is none");
  return Number(text);
}

function dataOf(letter: number, body: Buffer, start: number, end: number): Uint8Array {
  if (!isJson(body, start, end)) throw new WireError("an output that is no JSON");
  if (letter === line.output) return body.subarray(start, end);
  const text = parse(body, start, end);
  if (typeof text !== "string") throw new WireError("an output of text or bytes that is none");
  return Buffer.from(text, letter === line.text ? "utf8" : "latin1");
}

/**
 * What the bytes say, which a runner wrote: `JSON.parse` takes seconds for a text that nests a million levels, and this
 * thread is the gateway's. Throws WireError.
 */
export function parse(body: Buffer, start: number, end: number): unknown {
  if (!isJson(body, start, end)) throw new WireError("what should be JSON is none, or nests too deep");
  try {
    return JSON.parse(body.utf8Slice(start, end));
  } catch {
    throw new WireError("what should be JSON is none");
  }
}

/** The whole body of a frame that holds one small JSON text. */
export function parseBody(body: Buffer, bytesMax: number): unknown {
  if (body.length > bytesMax) throw new WireError(`a body of ${body.length} bytes where ${bytesMax} are enough`);
  if (!isUtf8(body)) throw new WireError("a body that is not UTF-8");
  return parse(body, 0, body.length);
}

function asRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new WireError(`${what} that is none`);
  return value as Record<string, unknown>;
}

/** Every text is cut to what an operator reads. */
export function asFailure(failure: Record<string, unknown>): Failure {
  const { code, message, stack } = failure;
  if (typeof code !== "string" || !/^(?:SANDBOX|HANDLER)_[A-Z_]{1,60}$/.test(code))
    throw new WireError("a failure without a code");
  if (typeof message !== "string") throw new WireError("a failure without a message");
  const cut = { code, message: message.slice(0, TEXT_CHARS_MAX) };
  return typeof stack === "string" ? { ...cut, stack: stack.slice(0, 2 * TEXT_CHARS_MAX) } : cut;
}

function asAddress(value: unknown, reader: AnswerReader): Partial<RawOutput> {
  const { to, type, subject, publish } = asRecord(value, "an address");
  const address: { -readonly [K in keyof RawOutput]?: RawOutput[K] } = {};
  if (to !== undefined) {
    if (!Array.isArray(to) || to.length > UPLINKS_MAX) throw new WireError("an address with no list of uplinks");
    address.to = to.map((name) => reader.uplink(shortText(name)));
  }
  if (type !== undefined) address.type = shortText(type);
  if (subject !== undefined) address.subject = shortText(subject);
  if (publish !== undefined) {
    const { topic, qos, retain } = asRecord(publish, "a publish");
    if (qos !== 0 && qos !== 1 && qos !== 2) throw new WireError("a publish without QoS");
    const name = shortText(topic, 65_535);
    if (/[+#\0]/.test(name) || Buffer.byteLength(name) > 65_535)
      throw new WireError("a publish on a topic that is none");
    address.publish = { topic: name, qos, retain: retain === true };
  }
  return address;
}

function shortText(value: unknown, charsMax: number = TEXT_CHARS_MAX): string {
  if (typeof value !== "string" || value === "" || value.length > charsMax) throw new WireError("a text that is none");
  return value;
}

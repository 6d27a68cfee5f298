/**
 * What a task asks of the gateway: requests to be made. Nothing in an isolate can reach out, so an ask is a line of text
 * that leaves with the reply (reply.ts), each in a frame of its own, and its answer is a call of the guest later on.
 *
 *     f{"id","url","method","headers":[name, value, …],"redirect","body":"bytes"}   a fetch; body left out when there is none
 *     x<id>                                                                         that fetch is not wanted any more
 *
 * An ask belongs to the task that made it and goes with it. Here is the last place inside where it is checked: an ask
 * that breaks a rule of form costs the runner, so whatever a handler has made of the web's classes must not get through.
 */
import { ASK_LIMITS } from "../ask-limits.ts";
import type { AskLimits } from "../ask-limits.ts";
import { Refusal, thrownAt, withCode } from "./failure.ts";
import {
  Bytes,
  Failing,
  Table,
  bare,
  exec,
  isView,
  jsonParse,
  jsonStringify,
  mapClear,
  mapDelete,
  mapGet,
  mapSet,
  mapSize,
} from "./primordials.ts";
import { fromBytes, toBytes } from "./text.ts";

/** As the web's fetch gives it. */
export interface Asked {
  readonly url: string;
  readonly method: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly redirect: string;
  readonly body: Uint8Array | undefined;
}

/** As the gateway gives it, see fetching.ts. */
interface AnswerHead {
  readonly failed: { readonly code: string; readonly message: string; readonly final: boolean } | null;
  readonly url: string;
  readonly redirected: boolean;
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly hasBody: boolean;
}

export interface Answered extends Omit<AnswerHead, "failed" | "hasBody"> {
  readonly bytes: Uint8Array | undefined;
}

/** What becomes of an ask: exactly one of both is called, or none when the task ends before. */
export interface Asker {
  readonly answered: (answer: Answered) => void;
  readonly failed: (error: Error) => void;
}

/** An ask that is under way, for people. */
export interface UnderWay {
  /** The host, and the port where it is not the usual one. */
  readonly host: string;
  /** Made where the ask was: its stack is what leads a person there. */
  readonly origin: Error;
}

interface Pending extends Asker {
  readonly line: string;
  readonly url: string;
  readonly origin: Error;
  /** Whether it has left the isolate. */
  sent: boolean;
}

/** Of an address without user and password, which none that is sent has. */
const HOST = /^https?:\/\/([^/?#@]{1,260})/;

export class Asks {
  readonly #limits: AskLimits;
  readonly #captured: boolean;
  readonly #changed: () => void;
  readonly #pending = new Table<number, Pending>();
  /** In the order in which they were made: the lines that have not left. */
  #queue: number[] = bare([]);
  #aborts = "";
  #lastId = 0;
  /** Of the batch: bytes of all bodies. */
  #bodyBytes = 0;
  /** Both as they were when the task began. */
  #lastIdBefore = 0;
  #bodyBytesBefore = 0;
  #isOpen = false;

  /** `captured`: the run is to be repeated, so nothing is asked for. `changed` is called when `text` may have. */
  constructor(limits: AskLimits, captured: boolean, changed: () => void) {
    this.#limits = limits;
    this.#captured = captured;
    this.#changed = changed;
  }

  open(): void {
    this.#isOpen = true;
    this.#lastIdBefore = this.#lastId;
    this.#bodyBytesBefore = this.#bodyBytes;
  }

  /** The task has ended: what it asked for is not wanted any more. */
  close(): void {
    this.#isOpen = false;
    if (mapSize(this.#pending) === 0) return;
    for (let id = 1; id <= this.#lastId; id++) if (mapGet(this.#pending, id)?.sent === true) this.#aborts += `x${id}\n`;
    mapClear(this.#pending);
    this.#queue = bare([]);
  }

  /** A batch begins: whoever was asked before has forgotten it all. */
  reset(): void {
    this.close();
    this.#aborts = "";
    this.#lastId = 0;
    this.#bodyBytes = 0;
  }

  /** Whether the batch has asked for so much that none of its further tasks is to begin. */
  get areMany(): boolean {
    return this.#lastId >= ASK_LIMITS.batchAsks || this.#bodyBytes >= ASK_LIMITS.batchBodyBytes;
  }

  /** The one that waits for the longest. */
  get oldest(): UnderWay | undefined {
    for (let id = this.#lastIdBefore + 1; id <= this.#lastId; id++) {
      const pending = mapGet(this.#pending, id);
      if (pending !== undefined) return { host: exec(HOST, pending.url)?.[1] ?? "?", origin: pending.origin };
    }
    return undefined;
  }

  /** What is to leave with the reply: first what is not wanted any more, then what is. */
  get text(): string {
    let text = this.#aborts;
    for (let i = 0; i < this.#queue.length; i++) text += mapGet(this.#pending, this.#queue[i] as number)?.line ?? "";
    return text;
  }

  /** The reply has left. */
  sent(): void {
    this.#aborts = "";
    if (this.#queue.length === 0) return;
    for (let i = 0; i < this.#queue.length; i++) {
      const pending = mapGet(this.#pending, this.#queue[i] as number);
      if (pending !== undefined) pending.sent = true;
    }
    this.#queue = bare([]);
  }

  /** Throws an error with a code. Returns what takes the ask back. */
  ask(asked: Asked, asker: Asker): () => void {
    if (!this.#isOpen) throw new Refusal("SANDBOX_LATE", "fetches are for the time that an event takes");
    if (this.#captured) {
      throw withCode(new TypeError("a captured run makes no requests"), "HANDLER_FETCH_DENIED", true);
    }
    const { fetchesMax, fetchesPerEvent } = this.#limits;
    if (this.#lastId - this.#lastIdBefore >= fetchesPerEvent) {
      throw new Refusal("SANDBOX_FETCHES_TOO_MANY", `more than ${fetchesPerEvent} fetches of one event`);
    }
    if (mapSize(this.#pending) >= fetchesMax) {
      throw new Refusal("SANDBOX_FETCHES_TOO_MANY", `more than ${fetchesMax} fetches of one event at a time`);
    }
    const id = this.#lastId + 1;
    const line = `f${this.#lineOf(id, asked)}\n`;
    this.#lastId = id;
    const { answered, failed } = asker;
    mapSet(this.#pending, id, { answered, failed, line, url: asked.url, origin: new Failing(), sent: false });
    this.#queue[this.#queue.length] = id;
    this.#changed();
    return () => this.#takeBack(id);
  }

  /** `head` is JSON, `body` has a character for each byte. */
  settle(id: number, head: string, body: string): void {
    const pending = mapGet(this.#pending, id);
    if (pending === undefined) return;
    mapDelete(this.#pending, id);
    const answer = jsonParse(head) as AnswerHead;
    if (answer.failed !== null) {
      const { code, message, final } = answer.failed;
      pending.failed(withCode(thrownAt(new TypeError(message), pending.origin), code, final));
      return;
    }
    const { url, redirected, status, statusText, headers } = answer;
    const bytes = answer.hasBody ? toBytes(body) : undefined;
    pending.answered({ url, redirected, status, statusText, headers, bytes });
  }

  #takeBack(id: number): void {
    const pending = mapGet(this.#pending, id);
    if (pending === undefined) return;
    mapDelete(this.#pending, id);
    if (pending.sent) this.#aborts += `x${id}\n`;
    this.#changed();
  }

  #lineOf(id: number, { url, method, headers, redirect, body }: Asked): string {
    const line: Record<string, unknown> = bare({
      id,
      url: text("its address", url, ASK_LIMITS.urlChars),
      method: text("its method", method, ASK_LIMITS.methodChars),
      redirect: redirect === "manual" || redirect === "error" ? redirect : "follow",
      headers: headerList(headers),
    });
    if (body !== undefined) line["body"] = this.#bodyOf(body);
    return jsonStringify(line);
  }

  #bodyOf(body: unknown): string {
    if (!isView(body)) throw invalid("its body is no bytes");
    const { fetchRequestBytesMax } = this.#limits;
    const bytes = new Bytes(body.buffer as ArrayBuffer, body.byteOffset, body.byteLength);
    if (bytes.length > fetchRequestBytesMax) {
      throw new Refusal("SANDBOX_FETCH_TOO_LARGE", `the body of a fetch is longer than ${fetchRequestBytesMax} bytes`);
    }
    const text = fromBytes(bytes);
    const bodyBytes = this.#bodyBytes + text.length;
    if (bodyBytes - this.#bodyBytesBefore > ASK_LIMITS.eventBodyBytes) {
      const most = `${ASK_LIMITS.eventBodyBytes} bytes`;
      throw new Refusal(
        "SANDBOX_FETCH_TOO_LARGE",
        `the bodies of one event's fetches are longer than ${most} together`,
      );
    }
    this.#bodyBytes = bodyBytes;
    return text;
  }
}

function invalid(why: string): Refusal {
  return new Refusal("HANDLER_FETCH_INVALID", `a request cannot be made: ${why}`);
}

function text(what: string, value: unknown, charsMax: number): string {
  if (typeof value !== "string" || value === "") throw invalid(`${what} is no text`);
  if (value.length > charsMax) throw invalid(`${what} is longer than ${charsMax} characters`);
  return value;
}

function headerList(given: readonly unknown[]): string[] {
  const list: string[] = bare([]);
  let chars = 0;
  const count = given.length;
  if (!(count <= 2 * ASK_LIMITS.headers)) throw invalid(`it has more than ${ASK_LIMITS.headers} headers`);
  for (let i = 0; i < count; i++) {
    const each = given[i];
    if (typeof each !== "string") throw invalid("a header is no text");
    chars += each.length;
    list[i] = each;
  }
  if (chars > ASK_LIMITS.headerChars) throw invalid(`its headers are longer than ${ASK_LIMITS.headerChars} characters`);
  return list;
}

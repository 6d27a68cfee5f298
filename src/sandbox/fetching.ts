/**
 * In the gateway: what the batches of one runner have asked for and not got yet.
 *
 * A runner may have been taken over, so what it asks is checked here as an answer of it is: only for a batch that is in
 * its hands, with the grants of that batch's handler, in the form and within the limits that the guest keeps to
 * (api/asks.ts); whoever breaks them is no guest of ours. What an ask means (its origin, its headers) is checked by whoever
 * makes the request, and is an ordinary failure. How much a batch may ask for is bounded as well: the guest keeps to that
 * by refusing an event's fetches, and by beginning no further event.
 *
 * Whatever a batch has asked for is aborted when the batch is over or its runner is lost.
 */
import { isUtf8 } from "node:buffer";
import type { Fetch, FetchAsk, FetchEnd, FetchGrant } from "../fetch.ts";
import type { HandlerLimits } from "../limits.ts";
import { ASK_LIMITS } from "./ask-limits.ts";
import type { AskLimits } from "./ask-limits.ts";
import { parse, WireError } from "./results.ts";
import { fetchedFrame } from "./wire.ts";

/** What may be asked in the name of a version. */
export interface Asker {
  readonly handler: string;
  readonly grants: readonly FetchGrant[];
  readonly limits: AskLimits &
    Pick<HandlerLimits, "fetchMs" | "fetchResponseBytesMax"> & { readonly timeoutMs: number };
  readonly fetch: Fetch;
}

/** What a batch has asked for so far. A guest counts as well, and keeps within all of this. */
interface Batch {
  /** By the ask's id: what aborts it. */
  readonly open: Map<number, () => void>;
  asks: number;
  aborts: number;
  lastId: number;
  frameBytes: number;
}

/** The runner, to be answered. */
interface Ear {
  /** `written` is called when the frame has left, or never will. */
  send(frame: Buffer, written: () => void): void;
}

const LETTER = { fetch: 0x66, abort: 0x78 };
const ID_MAX = 0xffff_ffff;
/** A character of JSON is six bytes at the most, and what else is in a line is short. */
const CHAR_BYTES = 6;
const LINE_BYTES = 4096;
/** Of all but an ask's body. */
const HEAD_CHARS = ASK_LIMITS.headerChars + ASK_LIMITS.urlChars + ASK_LIMITS.methodChars;

export class Fetching {
  /** By the batch's request id. */
  readonly #batches = new Map<number, Batch>();

  /** The body of an `ask` frame for the batch `id`. Throws WireError. */
  hear(runner: Ear, id: number, asker: Asker, body: Buffer): void {
    const batch = this.#batch(id);
    const { open } = batch;
    if (body[0] === LETTER.abort) {
      if (++batch.aborts > batch.asks) throw new WireError("more ends of asks than asks");
      // It may have been answered in the meantime.
      const ask = idOf(body);
      const abort = open.get(ask);
      open.delete(ask);
      abort?.();
      return;
    }
    if (body[0] !== LETTER.fetch) throw new WireError("an ask that is none");
    batch.frameBytes += body.length;
    if (batch.frameBytes > batchBytesMax(asker.limits)) throw new WireError("longer asks than a batch may have");
    const { ask, id: askId } = readAsk(body, asker.limits);
    if (askId <= batch.lastId) throw new WireError("an ask with the number of another one");
    if (askId > batchAsksMax(asker.limits)) throw new WireError("more asks than a batch may have");
    batch.lastId = askId;
    batch.asks++;
    if (open.size >= asker.limits.fetchesMax) throw new WireError("more fetches at a time than are allowed");
    const { handler, grants, limits } = asker;
    const timeoutMs = Math.min(limits.fetchMs, limits.timeoutMs);
    const request = { handler, grants, timeoutMs, responseBytesMax: limits.fetchResponseBytesMax, ask };
    const abort = asker.fetch(request, (end, release) => {
      open.delete(askId);
      const [head, content] = answerOf(end);
      runner.send(fetchedFrame(id, askId, head, content), release);
    });
    open.set(askId, abort);
  }

  #batch(id: number): Batch {
    let batch = this.#batches.get(id);
    if (batch === undefined) {
      batch = { open: new Map(), asks: 0, aborts: 0, lastId: 0, frameBytes: 0 };
      this.#batches.set(id, batch);
    }
    return batch;
  }

  /** The batch has been answered. */
  over(id: number): void {
    const batch = this.#batches.get(id);
    if (batch === undefined) return;
    this.#batches.delete(id);
    for (const abort of batch.open.values()) abort();
  }

  /** The runner is lost. */
  allOver(): void {
    for (const id of [...this.#batches.keys()]) this.over(id);
  }
}

/** Nobody makes requests here. */
export const noFetch: Fetch = (_, done) => {
  const message = "fetches are not made here";
  const answer = setImmediate(() =>
    done({ at: "failed", code: "HANDLER_FETCH_DENIED", message, final: true }, () => undefined),
  );
  return () => clearImmediate(answer);
};

function answerOf(end: FetchEnd): [string, Buffer | undefined] {
  if (end.at === "failed") {
    const { code, message, final } = end;
    return [JSON.stringify({ failed: { code, message, final } }), undefined];
  }
  const { url, redirected, status, statusText, headers, body } = end;
  const head = { failed: null, url, redirected, status, statusText, headers, hasBody: body !== undefined };
  return [JSON.stringify(head), body];
}

function idOf(body: Buffer): number {
  const text = body.length > 11 ? "" : body.latin1Slice(1);
  return asId(/^[1-9]\d*$/.test(text) ? Number(text) : undefined);
}

function asId(value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > ID_MAX)
    throw new WireError("an ask without a number");
  return value;
}

/** The last event begins with one ask, and one byte, less than what would keep it from it. */
function batchAsksMax({ fetchesPerEvent }: AskLimits): number {
  return ASK_LIMITS.batchAsks + fetchesPerEvent;
}

function batchBytesMax(limits: AskLimits): number {
  const bodyChars = ASK_LIMITS.batchBodyBytes + ASK_LIMITS.eventBodyBytes;
  return CHAR_BYTES * bodyChars + batchAsksMax(limits) * (LINE_BYTES + CHAR_BYTES * HEAD_CHARS);
}

function readAsk(body: Buffer, limits: AskLimits): { readonly id: number; readonly ask: FetchAsk } {
  const { fetchRequestBytesMax } = limits;
  const bytesMax = LINE_BYTES + CHAR_BYTES * (fetchRequestBytesMax + HEAD_CHARS);
  if (body.length > bytesMax) throw new WireError(`an ask of ${body.length} bytes`);
  if (!isUtf8(body)) throw new WireError("an ask that is not UTF-8");
  const said = parse(body, 1, body.length);
  if (typeof said !== "object" || said === null) throw new WireError("an ask that is none");
  const { id, url, method, headers, redirect, body: content } = said as Record<string, unknown>;
  if (redirect !== "follow" && redirect !== "error" && redirect !== "manual")
    throw new WireError("an ask that does not know what to do with redirects");
  const ask = {
    url: textOf(url, ASK_LIMITS.urlChars),
    method: textOf(method, ASK_LIMITS.methodChars),
    headers: pairsOf(headers),
    redirect,
    body: content === undefined ? undefined : bytesOf(content, fetchRequestBytesMax),
  } as const;
  return { id: asId(id), ask };
}

function textOf(value: unknown, charsMax: number): string {
  if (typeof value !== "string" || value.length > charsMax) throw new WireError("an ask with a text that is none");
  return value;
}

function bytesOf(value: unknown, bytesMax: number): Buffer {
  if (typeof value !== "string" || value.length > bytesMax) throw new WireError("an ask with a body that is none");
  return Buffer.from(value, "latin1");
}

function pairsOf(value: unknown): (readonly [string, string])[] {
  if (!Array.isArray(value) || value.length % 2 !== 0 || value.length > 2 * ASK_LIMITS.headers)
    throw new WireError("an ask without a list of headers");
  const pairs: (readonly [string, string])[] = [];
  let chars = 0;
  for (let i = 0; i < value.length; i += 2) {
    const pair = [textOf(value[i], ASK_LIMITS.headerChars), textOf(value[i + 1], ASK_LIMITS.headerChars)] as const;
    chars += pair[0].length + pair[1].length;
    pairs.push(pair);
  }
  if (chars > ASK_LIMITS.headerChars) throw new WireError("an ask with too long headers");
  return pairs;
}

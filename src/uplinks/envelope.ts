/**
 * What leaves the gateway: an output as structured CloudEvents 1.0 JSON, in UTF-8.
 *
 * The bytes are written straight into the buffer that goes to the socket or file. What all outputs of a handler's version
 * have in common is made once, and `data` is JSON text already: it is copied, never parsed. `format: raw` is `data` alone.
 *
 * E1  The same entry always gives the same bytes, after a resend or a restart too (G3).
 */
import { eventId, replayOf } from "../event.ts";
import { outputId } from "../task.ts";
import type { OutboxEntry } from "../task.ts";
import { GrowingBuffer } from "./growing-buffer.ts";

export const ENVELOPE_FORMATS = ["cloudevents", "raw"] as const;
export type EnvelopeFormat = (typeof ENVELOPE_FORMATS)[number];

export interface EnvelopesOptions {
  readonly format: EnvelopeFormat;
  readonly gatewayId: string;
  readonly journalId: string;
  readonly handlerName: (handler: number) => string;
}

/** About what an envelope adds to the data, for batch limits. */
export const ENVELOPE_BYTES = 320;

/** Handler versions that are remembered; all are forgotten together when there are more. */
const KNOWN_MAX = 4096;

/** The parts of an envelope that one handler version's outputs share: before the event's number, and between it and the position. */
interface Shared {
  readonly version: number;
  readonly start: string;
  readonly middle: string;
}

export class Envelopes {
  readonly format: EnvelopeFormat;
  readonly #options: EnvelopesOptions;
  readonly #shared = new Map<number, Shared>();
  #second = -1;
  #secondText = "";

  constructor(options: EnvelopesOptions) {
    this.format = options.format;
    this.#options = options;
  }

  /** Writes `entry` at the end of `into` and moves its end. */
  write(into: GrowingBuffer, entry: OutboxEntry): void {
    const data = entry.data;
    if (this.format === "raw") {
      into.reserve(data.length);
      into.bytes.set(data, into.length);
      into.length += data.length;
      return;
    }
    const head = this.#head(entry);
    into.reserve(head.length * 3 + Math.ceil(data.length / 3) * 4 + 2);
    const bytes = into.bytes;
    let end = into.length + bytes.utf8Write(head, into.length);
    if (entry.json) {
      bytes.set(data, end);
      end += data.length;
    } else {
      end += bytes.latin1Write(data.toString("base64"), end);
      bytes[end++] = QUOTE;
    }
    bytes[end++] = BRACE;
    into.length = end;
  }

  /** One envelope by itself. */
  bytes(entry: OutboxEntry): Buffer {
    const into = new GrowingBuffer(entry.data.length + ENVELOPE_BYTES * 2);
    this.write(into, entry);
    return into.written();
  }

  /** The output's id (G3). */
  id(entry: OutboxEntry): string {
    const event = eventId(this.#options.journalId, entry.eventSeq, entry.lineage);
    return outputId(event, this.#options.handlerName(entry.handler), entry.position);
  }

  /** //gateway/handler, as a URI reference. */
  source(entry: OutboxEntry): string {
    const handler = this.#options.handlerName(entry.handler);
    return `//${encodeURIComponent(this.#options.gatewayId)}/${encodeURIComponent(handler)}`;
  }

  /** RFC 3339, UTC, with milliseconds. */
  time(timeMs: number): string {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 20);
    }
    return this.#secondText + THOUSANDTHS[timeMs - second * 1000];
  }

  /** Everything before the data. Attributes that may not be empty in CloudEvents are left out when they are. */
  #head(entry: OutboxEntry): string {
    let shared = this.#shared.get(entry.handler);
    if (shared === undefined || shared.version !== entry.version) shared = this.#learn(entry);
    const subject = entry.subject === "" ? "" : `,"subject":${quoted(entry.subject)}`;
    const key = entry.key === "" ? "" : `,"sluicekey":${quoted(entry.key)}`;
    const type = entry.type === "" ? TYPE_UNKNOWN : quoted(entry.type);
    const event = entry.lineage === "" ? entry.eventSeq.toString(36) : entry.lineage;
    const replay = entry.lineage === "" ? "" : replayOf(entry.lineage);
    const mark = replay === "" ? "" : `,"sluicereplay":"${replay}"`;
    const time = this.time(entry.timeMs);
    return `${shared.start}${event}${shared.middle}${entry.position}","type":${type}${subject},"time":"${time}"${key}${mark},"sluiceseq":${entry.seq}${entry.json ? JSON_DATA : BYTES_DATA}`;
  }

  #learn(entry: OutboxEntry): Shared {
    if (this.#shared.size >= KNOWN_MAX) this.#shared.clear();
    const handler = quoted(this.#options.handlerName(entry.handler)).slice(1, -1);
    const journal = quoted(eventId(this.#options.journalId, 0)).slice(1, -2);
    const source = quoted(this.source(entry));
    const shared: Shared = {
      version: entry.version,
      start: `{"specversion":"1.0","source":${source},"sluiceversion":${entry.version},"id":"${journal}`,
      middle: `.${handler}.`,
    };
    this.#shared.set(entry.handler, shared);
    return shared;
  }
}

const QUOTE = 0x22;
const BRACE = 0x7d;
const TYPE_UNKNOWN = '"sluice.output"';
const JSON_DATA = ',"datacontenttype":"application/json","data":';
const BYTES_DATA = ',"datacontenttype":"application/octet-stream","data_base64":"';
const THOUSANDTHS = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, "0")}Z`);

/** Characters that JSON does not take as they are, and surrogates, which may be alone. */
// oxlint-disable-next-line no-control-regex -- control characters are exactly what it is for
const UNPLAIN = /["\\\u0000-\u001f\ud800-\udfff]/;

/** `text` as a JSON string. */
function quoted(text: string): string {
  return UNPLAIN.test(text) ? JSON.stringify(text) : `"${text}"`;
}

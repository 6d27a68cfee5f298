/** The event as a handler sees it: CloudEvents names, cut out of the batch's text on first use. */
import type { EventKind } from "../../event.ts";
import { matchTopic } from "../../topic.ts";
import type { TopicFilter } from "../../topic.ts";
import {
  Table,
  Time,
  charCodeAt,
  defineProperty,
  freeze,
  inBase,
  isoTime,
  jsonParse,
  mapClear,
  mapGet,
  mapSet,
  mapSize,
  substring,
} from "./primordials.ts";
import { HEAD, joined } from "../heads.ts";
import { fromUtf8, ownCopy, toBytes } from "./text.ts";

export interface EventOrigin {
  readonly journalId: string;
  readonly gatewayId: string;
  readonly filters: readonly TopicFilter[];
}

/** CloudEvents type by kind of trigger, in the order of EVENT_KINDS. */
const KIND_TYPES: Record<EventKind, string> = {
  topic: "sluice.mqtt.publish",
  schedule: "sluice.schedule.tick",
  webhook: "sluice.webhook.call",
  on: "sluice.notice",
};
const TYPES: readonly string[] = [KIND_TYPES.topic, KIND_TYPES.schedule, KIND_TYPES.webhook, KIND_TYPES.on];

/** Topics and devices remembered, with what was derived from them. Forgotten all at once when there are more. */
const REMEMBERED_MAX = 4096;

interface KnownTopic {
  readonly topic: string;
  /** Of an inner topic, `$kind/what/subject`, what it says; of others the type by kind, and the topic. */
  readonly type: string | undefined;
  readonly subject: string;
  readonly params: Readonly<Record<string, string>>;
}

interface KnownDevice {
  readonly device: string;
  readonly source: string;
}

function remember<Value>(table: Map<string, Value>, key: string, value: Value): Value {
  if (mapSize(table) >= REMEMBERED_MAX) mapClear(table);
  mapSet(table, key, value);
  return value;
}

/** Reads events out of a batch's text, of which each character is a byte, by the numbers of heads.ts. */
export class EventReader {
  readonly #origin: EventOrigin;
  readonly #filters: TopicFilter[] = [];
  readonly #topics = new Table<string, KnownTopic>();
  readonly #devices = new Table<string, KnownDevice>();

  constructor(origin: EventOrigin) {
    this.#origin = origin;
    // JSON has no undefined: levels without a name came as null.
    for (const { text, filter, names } of origin.filters) {
      this.#filters[this.#filters.length] = { text, filter, names: names.map((name) => name ?? undefined) };
    }
  }

  /** The event whose head begins at `at` of `heads`, cut out of `text`. */
  read(text: string, heads: Int32Array, at: number): GuestEvent {
    const lineageAt = heads[at + HEAD.lineageAt] as number;
    const topicAt = heads[at + HEAD.topicAt] as number;
    const deviceAt = heads[at + HEAD.deviceAt] as number;
    const requestAt = heads[at + HEAD.requestAt] as number;
    const payloadAt = heads[at + HEAD.payloadAt] as number;
    const topicBytes = substring(text, topicAt, deviceAt);
    const deviceBytes = substring(text, deviceAt, requestAt);
    const known = mapGet(this.#topics, topicBytes) ?? this.#topic(topicBytes);
    const device = mapGet(this.#devices, deviceBytes) ?? this.#device(deviceBytes);
    const flags = heads[at + HEAD.flags] as number;
    return new GuestEvent(
      known.type ?? TYPES[heads[at + HEAD.kind] as number] ?? KIND_TYPES.topic,
      device.source,
      known.subject,
      known.topic,
      known.params,
      device.device,
      (flags & 0b11) as 0 | 1 | 2,
      (flags & 0b100) !== 0,
      substring(text, payloadAt, heads[at + HEAD.payloadEnd]),
      joined(heads[at + HEAD.timeHigh] as number, heads[at + HEAD.timeLow] as number),
      this.#origin.journalId,
      joined(heads[at + HEAD.seqHigh] as number, heads[at + HEAD.seqLow] as number),
      lineageAt === topicAt ? "" : ownCopy(substring(text, lineageAt, topicAt)),
      requestAt === payloadAt ? undefined : jsonParse(fromUtf8(substring(text, requestAt, payloadAt)) as string),
    );
  }

  #topic(bytes: string): KnownTopic {
    const topic = ownCopy(fromUtf8(bytes) ?? bytes);
    let params: Record<string, string> = {};
    for (let i = 0; i < this.#filters.length; i++) {
      const match = matchTopic(this.#filters[i] as TopicFilter, topic);
      if (match === undefined) continue;
      params = match;
      break;
    }
    const known = { topic, ...innerNames(topic), params: freeze(params) };
    return remember(this.#topics, ownCopy(bytes), known);
  }

  #device(bytes: string): KnownDevice {
    const device = ownCopy(fromUtf8(bytes) ?? bytes);
    const { gatewayId } = this.#origin;
    const source = device === "" ? `//${gatewayId}` : `//${gatewayId}/${device}`;
    return remember(this.#devices, ownCopy(bytes), { device, source });
  }
}

const DOLLAR = 0x24;
const SLASH = 0x2f;

/** What an inner topic says (triggers/inner.ts): `$schedule/tick/report`, `$on/device.connected/press-7`. */
function innerNames(topic: string): { readonly type: string | undefined; readonly subject: string } {
  if (charCodeAt(topic, 0) !== DOLLAR) return { type: undefined, subject: topic };
  let first = -1;
  let second = -1;
  for (let i = 1; i < topic.length && second === -1; i++) {
    if (charCodeAt(topic, i) !== SLASH) continue;
    if (first === -1) first = i;
    else second = i;
  }
  if (second === -1) return { type: undefined, subject: topic };
  const kind = substring(topic, 1, first);
  const what = substring(topic, first + 1, second);
  return { type: kind === "on" ? `sluice.${what}` : `sluice.${kind}.${what}`, subject: substring(topic, second + 1) };
}

const UNDECODED = {};

export class GuestEvent {
  type: string;
  source: string;
  subject: string;
  topic: string;
  params: Readonly<Record<string, string>>;
  device: string;
  qos: 0 | 1 | 2;
  retain: boolean;
  /** Of a webhook's call: its method, query and headers. */
  declare readonly request?: unknown;
  readonly #payload: string;
  readonly #timeMs: number;
  readonly #journalId: string;
  readonly #seq: number;
  readonly #lineage: string;
  #data: unknown = UNDECODED;
  #contentType = "";

  constructor(
    type: string,
    source: string,
    subject: string,
    topic: string,
    params: Readonly<Record<string, string>>,
    device: string,
    qos: 0 | 1 | 2,
    retain: boolean,
    payload: string,
    timeMs: number,
    journalId: string,
    seq: number,
    lineage: string,
    request: unknown,
  ) {
    this.type = type;
    this.source = source;
    this.subject = subject;
    this.topic = topic;
    this.params = params;
    this.device = device;
    this.qos = qos;
    this.retain = retain;
    if (request !== undefined) this.request = request;
    this.#payload = payload;
    this.#timeMs = timeMs;
    this.#journalId = journalId;
    this.#seq = seq;
    this.#lineage = lineage;
  }

  get specversion(): string {
    return "1.0";
  }

  get id(): string {
    return `${this.#journalId}-${this.#lineage === "" ? inBase(this.#seq, 36) : this.#lineage}`;
  }

  get time(): string {
    return isoTime(new Time(this.#timeMs));
  }

  get datacontenttype(): string {
    if (this.#data === UNDECODED) this.#decode();
    return this.#contentType;
  }

  get data(): unknown {
    if (this.#data === UNDECODED) this.#decode();
    return this.#data;
  }

  set data(value: unknown) {
    if (this.#data === UNDECODED) this.#decode();
    this.#data = value;
  }

  get bytes(): Uint8Array {
    const bytes = toBytes(this.#payload);
    defineProperty(this, "bytes", { value: bytes, writable: true, configurable: true, enumerable: true });
    return bytes;
  }

  /** JSON when it parses, else text when it is UTF-8, else bytes. */
  #decode(): void {
    const text = fromUtf8(this.#payload);
    if (text === undefined) {
      this.#contentType = "application/octet-stream";
      this.#data = this.bytes;
      return;
    }
    try {
      this.#data = jsonParse(text);
      this.#contentType = "application/json";
    } catch {
      this.#data = text === "" ? "" : ownCopy(text);
      this.#contentType = "text/plain; charset=utf-8";
    }
  }

  /** A CloudEvent in its JSON form, with what MQTT knows beside it. */
  toJSON(): Record<string, unknown> {
    const { specversion, id, source, type, subject, time, datacontenttype, data, topic, params, device, qos, retain } =
      this;
    const { request } = this;
    return {
      specversion,
      id,
      source,
      type,
      subject,
      time,
      datacontenttype,
      data,
      topic,
      params,
      device,
      qos,
      retain,
      ...(request === undefined ? {} : { request }),
    };
  }
}

/**
 * Leaf: the event, in memory and as bytes.
 *
 * An event's record is built once, when it is accepted, and those bytes are what the journal keeps and what a runner
 * gets: nothing is encoded twice. The payload is opaque here; only the isolate parses it.
 *
 * Record layout, big endian:
 *
 *     0  u32  length of the whole record, these four bytes included
 *     4  u8   flags: bits 0-1 QoS, bit 2 retain, bit 3 topic and device are ASCII
 *     5  u8   kind of trigger, an index into EVENT_KINDS
 *     6  u48  time of acceptance, milliseconds since 1970
 *    12  u16  topic bytes
 *    14  u16  device bytes
 *    16  u16  how many handlers want it (W)
 *    18  u16  hops: how many handlers' ctx.publish lie between a device and this event
 *    20  u32  payload bytes
 *    24  u16 × W  ids of the handlers that want it
 *        only when there are hops: u8 length, lineage (ASCII)
 *        topic (UTF-8), device (UTF-8)
 *        of a webhook's call, up to the payload: what the call was like (UTF-8), see triggers/request.ts
 *        payload
 */

/** The kinds of triggers, in the order of their numbers in records. Append only: the numbers are on disk. */
export const EVENT_KINDS = ["topic", "schedule", "webhook", "on"] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** An event on its way in. `payload` is read during the call that gets the draft and not kept after it. */
export interface EventDraft {
  readonly kind: EventKind;
  readonly topic: string;
  /** MQTT client id of the device, or "" when no device caused the event. */
  readonly device: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** How many handlers lie between what began it and this event; 0 for what nobody's handler caused. */
  readonly hops: number;
  /** Which outputs led to it, see {@link lineageOf}; when there are hops, and only then. */
  readonly lineage?: string;
  /** Of a webhook's call: its method, query and headers, as JSON. */
  readonly request?: string;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
}

const HEADER_BYTES = 24;
const TOPIC_ASCII = 0b1000;
/** More hops than this do not fit: a lineage has at most 255 characters, 10 and 10 for each hop. */
export const HOPS_LIMIT = 16;

/** Topic and device are at most 65,535 bytes each (MQTT strings), handlers at most 65,535. */
export function eventRecordBytesMax(event: EventDraft, wantedCount: number): number {
  const lineageBytes = event.hops === 0 ? 0 : 1 + (event.lineage as string).length;
  const textBytes = 3 * (event.topic.length + event.device.length + (event.request?.length ?? 0));
  return HEADER_BYTES + 2 * wantedCount + lineageBytes + textBytes + event.payload.length;
}

/** Writes the record of `event` at `at` and returns the offset after it. `into` has {@link eventRecordBytesMax} left. */
export function writeEventRecord(into: Buffer, at: number, event: EventDraft, wanted: readonly number[]): number {
  const { topic, device, payload } = event;
  let end = at + HEADER_BYTES;
  for (let i = 0; i < wanted.length; i++) end = into.writeUInt16BE(wanted[i] as number, end);
  if (event.hops > 0) {
    const bytes = into.latin1Write(event.lineage as string, end + 1);
    into[end] = bytes;
    end += 1 + bytes;
  }
  const topicBytes = into.utf8Write(topic, end);
  end += topicBytes;
  const deviceBytes = device === "" ? 0 : into.utf8Write(device, end);
  end += deviceBytes;
  if (event.request !== undefined) end += into.utf8Write(event.request, end);
  into.set(payload, end);
  end += payload.length;
  const ascii = topicBytes === topic.length && deviceBytes === device.length;
  into.writeUInt32BE(end - at, at);
  into[at + 4] = event.qos | (event.retain ? 0b100 : 0) | (ascii ? TOPIC_ASCII : 0);
  into[at + 5] = EVENT_KINDS.indexOf(event.kind);
  into.writeUIntBE(event.timeMs, at + 6, 6);
  into.writeUInt16BE(topicBytes, at + 12);
  into.writeUInt16BE(deviceBytes, at + 14);
  into.writeUInt16BE(wanted.length, at + 16);
  into.writeUInt16BE(event.hops, at + 18);
  into.writeUInt32BE(payload.length, at + 20);
  return end;
}

export const eventRecord = {
  length: (page: Buffer, at: number): number => page.readUInt32BE(at),
  qos: (page: Buffer, at: number): 0 | 1 | 2 => ((page[at + 4] as number) & 0b11) as 0 | 1 | 2,
  retain: (page: Buffer, at: number): boolean => ((page[at + 4] as number) & 0b100) !== 0,
  kind: (page: Buffer, at: number): EventKind => EVENT_KINDS[page[at + 5] as number] ?? "topic",
  timeMs: (page: Buffer, at: number): number => page.readUIntBE(at + 6, 6),
  hops: (page: Buffer, at: number): number => page.readUInt16BE(at + 18),
  wantedCount: (page: Buffer, at: number): number => page.readUInt16BE(at + 16),
  /** Id of the `i`-th handler that wants the event, 0 ≤ i < wantedCount. */
  wanted: (page: Buffer, at: number, i: number): number => page.readUInt16BE(at + HEADER_BYTES + 2 * i),
  isWantedBy(page: Buffer, at: number, handler: number): boolean {
    const count = page.readUInt16BE(at + 16);
    for (let i = 0; i < count; i++) {
      if (page.readUInt16BE(at + HEADER_BYTES + 2 * i) === handler) return true;
    }
    return false;
  },
  /** "" of an event without hops. */
  lineage(page: Buffer, at: number): string {
    if (page.readUInt16BE(at + 18) === 0) return "";
    const start = at + HEADER_BYTES + 2 * page.readUInt16BE(at + 16) + 1;
    return page.latin1Slice(start, start + (page[start - 1] as number));
  },
  topic(page: Buffer, at: number): string {
    const start = topicAt(page, at);
    const end = start + page.readUInt16BE(at + 12);
    return ((page[at + 4] as number) & TOPIC_ASCII) !== 0 ? page.latin1Slice(start, end) : page.utf8Slice(start, end);
  },
  device(page: Buffer, at: number): string {
    const start = topicAt(page, at) + page.readUInt16BE(at + 12);
    return page.utf8Slice(start, start + page.readUInt16BE(at + 14));
  },
  /** "" of an event that no webhook's call made. */
  request(page: Buffer, at: number): string {
    const start = topicAt(page, at) + page.readUInt16BE(at + 12) + page.readUInt16BE(at + 14);
    return page.utf8Slice(start, at + page.readUInt32BE(at) - page.readUInt32BE(at + 20));
  },
  /** A view into `page`, not a copy. */
  payload(page: Buffer, at: number): Buffer {
    const end = at + page.readUInt32BE(at);
    return page.subarray(end - page.readUInt32BE(at + 20), end);
  },
} as const;

function topicAt(page: Buffer, at: number): number {
  const start = at + HEADER_BYTES + 2 * page.readUInt16BE(at + 16);
  return page.readUInt16BE(at + 18) === 0 ? start : start + 1 + (page[start] as number);
}

/**
 * An event's id: unique for ever, for the journal's own id is drawn anew with each data folder. What a handler caused is
 * named by its lineage instead of its number, and so by what made it (G3).
 */
export function eventId(journalId: string, seq: number, lineage = ""): string {
  return `${journalId}-${lineage === "" ? seq.toString(36) : lineage}`;
}

/** What an event is about: its topic; of an inner topic, `$kind/what/subject` (triggers/inner.ts), the last part. */
export function subjectOf(topic: string): string {
  if (!topic.startsWith("$")) return topic;
  const second = topic.indexOf("/", topic.indexOf("/") + 1);
  return second === -1 ? topic : topic.slice(second + 1);
}

/**
 * The lineage of the event that output `position` of a task makes: the event that began it all, and for each hop since
 * the journal's number of the handler and the position, all in base 36: "1k~3.0~4.1". `seq` and `lineage` are of the
 * task's event.
 */
export function lineageOf(seq: number, lineage: string, handler: number, position: number): string {
  const before = lineage === "" ? seq.toString(36) : lineage;
  return `${before}~${handler.toString(36)}.${position.toString(36)}`;
}

/**
 * The lineage that stands for a task's event in the ids of what a replay sends: with the replay's id behind it. So they are
 * others than those of the first run, and the same when the replay does it twice.
 */
export function replayedLineage(seq: number, lineage: string, replay: string): string {
  return `${lineage === "" ? seq.toString(36) : lineage}!${replay}`;
}

/** Id of the replay that an output comes of, the last one when there were several; "" when none. */
export function replayOf(lineage: string): string {
  const at = lineage.lastIndexOf("!");
  if (at === -1) return "";
  const end = lineage.indexOf("~", at);
  return lineage.slice(at + 1, end === -1 ? undefined : end);
}

/** Journal numbers of the handlers of a lineage, the first one first. */
export function handlersOf(lineage: string): number[] {
  return lineage
    .split("~")
    .slice(1)
    .map((hop) => Number.parseInt(hop, 36));
}

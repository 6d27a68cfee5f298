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
 *        topic (UTF-8), device (UTF-8), payload
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
  readonly hops: number;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
}

const HEADER_BYTES = 24;
const TOPIC_ASCII = 0b1000;

/** Topic and device are at most 65,535 bytes each (MQTT strings), handlers at most 65,535. */
export function eventRecordBytesMax(event: EventDraft, wantedCount: number): number {
  return HEADER_BYTES + 2 * wantedCount + 3 * (event.topic.length + event.device.length) + event.payload.length;
}

/** Writes the record of `event` at `at` and returns the offset after it. `into` has {@link eventRecordBytesMax} left. */
export function writeEventRecord(into: Buffer, at: number, event: EventDraft, wanted: readonly number[]): number {
  const { topic, device, payload } = event;
  let end = at + HEADER_BYTES;
  for (let i = 0; i < wanted.length; i++) end = into.writeUInt16BE(wanted[i] as number, end);
  const topicBytes = into.utf8Write(topic, end);
  end += topicBytes;
  const deviceBytes = device === "" ? 0 : into.utf8Write(device, end);
  end += deviceBytes;
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
  topic(page: Buffer, at: number): string {
    const start = at + HEADER_BYTES + 2 * page.readUInt16BE(at + 16);
    const end = start + page.readUInt16BE(at + 12);
    return ((page[at + 4] as number) & TOPIC_ASCII) !== 0 ? page.latin1Slice(start, end) : page.utf8Slice(start, end);
  },
  device(page: Buffer, at: number): string {
    const start = at + HEADER_BYTES + 2 * page.readUInt16BE(at + 16) + page.readUInt16BE(at + 12);
    return page.utf8Slice(start, start + page.readUInt16BE(at + 14));
  },
  /** A view into `page`, not a copy. */
  payload(page: Buffer, at: number): Buffer {
    const end = at + page.readUInt32BE(at);
    return page.subarray(end - page.readUInt32BE(at + 20), end);
  },
} as const;

/** An event's id: unique for ever, for the journal's own id is drawn anew with each data folder. */
export function eventId(journalId: string, seq: number): string {
  return `${journalId}-${seq.toString(36)}`;
}

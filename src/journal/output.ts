/**
 * An output's record in its uplink's outbox. Big endian:
 *
 *     0  u32  length of the whole record      14  u16  handler
 *     4  u8   flags: bits 0-1 QoS,            16  u48  version
 *             bit 2 retain, bit 3 JSON        22  u48  time, milliseconds since 1970
 *     5  u8   lineage bytes                   28  u16  key bytes      32  u16  subject bytes
 *     6  u48  event's sequence number         30  u16  type bytes     34  u16  topic bytes
 *    12  u16  position among its task's outputs
 *    36  key, type, subject, topic (UTF-8), lineage of the event (ASCII), data
 */
import type { OutboxEntry, Output } from "../task.ts";

const HEADER_BYTES = 36;

/** Where an output comes from. */
export interface Origin {
  readonly eventSeq: number;
  /** Of the event, or "". */
  readonly lineage: string;
  readonly handler: number;
  readonly version: number;
  readonly key: string;
  readonly timeMs: number;
}

export function outputBytesMax(output: Output, origin: Origin): number {
  const text = origin.key.length + output.type.length + output.subject.length + output.topic.length;
  return HEADER_BYTES + 3 * text + origin.lineage.length + output.data.length;
}

/** Writes the record at `at` and returns the offset after it. Texts are at most 65,535 bytes each. */
export function writeOutput(into: Buffer, at: number, output: Output, position: number, origin: Origin): number {
  let end = at + HEADER_BYTES;
  end += text(into, end, origin.key, at + 28);
  end += text(into, end, output.type, at + 30);
  end += text(into, end, output.subject, at + 32);
  end += text(into, end, output.topic, at + 34);
  const lineageBytes = origin.lineage === "" ? 0 : into.latin1Write(origin.lineage, end);
  end += lineageBytes;
  into.set(output.data, end);
  end += output.data.length;
  into.writeUInt32BE(end - at, at);
  into[at + 4] = output.qos | (output.retain ? 0b100 : 0) | (output.json ? 0b1000 : 0);
  into[at + 5] = lineageBytes;
  into.writeUIntBE(origin.eventSeq, at + 6, 6);
  into.writeUInt16BE(position, at + 12);
  into.writeUInt16BE(origin.handler, at + 14);
  into.writeUIntBE(origin.version, at + 16, 6);
  into.writeUIntBE(origin.timeMs, at + 22, 6);
  return end;
}

function text(into: Buffer, at: number, value: string, lengthAt: number): number {
  const bytes = value === "" ? 0 : into.utf8Write(value, at);
  into.writeUInt16BE(bytes, lengthAt);
  return bytes;
}

/** The entry whose record lies at `at`; its data is a view into `page`. */
export function readOutput(page: Buffer, at: number, seq: number): OutboxEntry {
  const flags = page[at + 4] as number;
  const keyEnd = at + HEADER_BYTES + page.readUInt16BE(at + 28);
  const typeEnd = keyEnd + page.readUInt16BE(at + 30);
  const subjectEnd = typeEnd + page.readUInt16BE(at + 32);
  const topicEnd = subjectEnd + page.readUInt16BE(at + 34);
  const lineageEnd = topicEnd + (page[at + 5] as number);
  return {
    seq,
    eventSeq: page.readUIntBE(at + 6, 6),
    lineage: lineageEnd === topicEnd ? "" : page.latin1Slice(topicEnd, lineageEnd),
    position: page.readUInt16BE(at + 12),
    handler: page.readUInt16BE(at + 14),
    version: page.readUIntBE(at + 16, 6),
    timeMs: page.readUIntBE(at + 22, 6),
    key: page.utf8Slice(at + HEADER_BYTES, keyEnd),
    type: page.utf8Slice(keyEnd, typeEnd),
    subject: subjectEnd === typeEnd ? "" : page.utf8Slice(typeEnd, subjectEnd),
    topic: topicEnd === subjectEnd ? "" : page.utf8Slice(subjectEnd, topicEnd),
    qos: (flags & 0b11) as 0 | 1 | 2,
    retain: (flags & 0b100) !== 0,
    json: (flags & 0b1000) !== 0,
    data: page.subarray(lineageEnd, at + page.readUInt32BE(at)),
  };
}

export const outputRecord = {
  length: (page: Buffer, at: number): number => page.readUInt32BE(at),
  handler: (page: Buffer, at: number): number => page.readUInt16BE(at + 14),
} as const;

/**
 * Leaf: what a task sent, as bytes: equal bytes are equal outputs. So it is kept beside the event that it came of, and
 * compared with what a replay comes to. Big endian; an output after the other:
 *
 *     0  u8   flags: bits 0-1 QoS, bit 2 retain, bit 3 JSON
 *     1  u8   uplinks (N)
 *     2  u16  type bytes      4  u16  subject bytes      6  u16  topic bytes      8  u32  data bytes
 *    12  u16 × N  journal ids of the uplinks, then type, subject, topic (UTF-8), data
 */
import { hash } from "node:crypto";
import type { Output } from "./task.ts";

const HEADER_BYTES = 12;
export function outputsBytesMax(outputs: readonly Output[]): number {
  let bytes = 0;
  for (const { to, type, subject, topic, data } of outputs) {
    bytes += HEADER_BYTES + 2 * to.length + 3 * (type.length + subject.length + topic.length) + data.length;
  }
  return bytes;
}

/** Writes them at `at`, where there is {@link outputsBytesMax}, and returns the offset after them. */
export function writeOutputs(into: Buffer, at: number, outputs: readonly Output[]): number {
  for (const { to, type, subject, topic, data, json, qos, retain } of outputs) {
    let end = at + HEADER_BYTES;
    for (const uplink of to) end = into.writeUInt16BE(uplink, end);
    end += text(into, end, type, at + 2);
    end += text(into, end, subject, at + 4);
    end += text(into, end, topic, at + 6);
    into.set(data, end);
    end += data.length;
    into.writeUInt32BE(data.length, at + 8);
    into[at] = qos | (retain ? 0b100 : 0) | (json ? 0b1000 : 0);
    into[at + 1] = to.length;
    at = end;
  }
  return at;
}

export function outputsAsBytes(outputs: readonly Output[]): Buffer {
  const into = Buffer.allocUnsafe(outputsBytesMax(outputs));
  return into.subarray(0, writeOutputs(into, 0, outputs));
}

/** The outputs again; their data are views into `bytes`. */
export function readOutputs(bytes: Buffer): Output[] {
  const outputs: Output[] = [];
  for (let at = 0; at < bytes.length;) {
    const flags = bytes[at] as number;
    const uplinks = bytes[at + 1] as number;
    const typeAt = at + HEADER_BYTES + 2 * uplinks;
    const subjectAt = typeAt + bytes.readUInt16BE(at + 2);
    const topicAt = subjectAt + bytes.readUInt16BE(at + 4);
    const dataAt = topicAt + bytes.readUInt16BE(at + 6);
    const end = dataAt + bytes.readUInt32BE(at + 8);
    const start = at;
    outputs.push({
      to: Array.from({ length: uplinks }, (_, i) => bytes.readUInt16BE(start + HEADER_BYTES + 2 * i)),
      type: bytes.utf8Slice(typeAt, subjectAt),
      subject: bytes.utf8Slice(subjectAt, topicAt),
      topic: bytes.utf8Slice(topicAt, dataAt),
      data: bytes.subarray(dataAt, end),
      json: (flags & 0b1000) !== 0,
      qos: (flags & 0b11) as 0 | 1 | 2,
      retain: (flags & 0b100) !== 0,
    });
    at = end;
  }
  return outputs;
}

/** SHA-256, for what is too long to be kept. */
export function digestOf(bytes: Uint8Array | string): Buffer {
  return hash("sha256", bytes, "buffer");
}

function text(into: Buffer, at: number, value: string, lengthAt: number): number {
  const bytes = value === "" ? 0 : into.utf8Write(value, at);
  into.writeUInt16BE(bytes, lengthAt);
  return bytes;
}

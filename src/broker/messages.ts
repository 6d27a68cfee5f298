/**
 * A message as a record of the broker's store: u8 flags (QoS, 4: retain), u16 topic bytes, topic, payload. Pure.
 */
import type { LocalMessage } from "./inflight.ts";

export function writeMessage(message: LocalMessage): Buffer {
  const topicBytes = Buffer.byteLength(message.topic);
  const record = Buffer.allocUnsafe(3 + topicBytes + message.payload.length);
  record[0] = message.qos | (message.retain ? 4 : 0);
  record.writeUInt16BE(topicBytes, 1);
  record.utf8Write(message.topic, 3);
  record.set(message.payload, 3 + topicBytes);
  return record;
}

export function readMessage(record: Buffer): LocalMessage {
  const flags = record[0] as number;
  const payloadAt = 3 + record.readUInt16BE(1);
  return {
    topic: record.utf8Slice(3, payloadAt),
    payload: record.subarray(payloadAt),
    qos: Math.min(flags & 3, 2) as 0 | 1 | 2,
    retain: (flags & 4) !== 0,
  };
}

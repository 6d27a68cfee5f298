/** Writes MQTT 3.1.1 PUBLISH packets (QoS 1), many into one buffer. */
import type { GrowingBuffer } from "./growing-buffer.ts";

export const TOPIC_BYTES_MAX = 65_535;
/** [MQTT-2.2.3] */
export const REMAINING_LENGTH_MAX = 268_435_455;
const PUBLISH_QOS1 = 0x32;
const RETAIN = 0x01;

/**
 * Writes one packet at the end of `into`. `payload` writes the payload there; `payloadGuess` is about its bytes. A topic
 * of more than {@link TOPIC_BYTES_MAX} bytes or a packet of more than {@link REMAINING_LENGTH_MAX} takes nothing and returns false.
 */
export function writePublish(
  into: GrowingBuffer,
  topic: string,
  retain: boolean,
  packetId: number,
  payload: (into: GrowingBuffer) => void,
  payloadGuess: number,
): boolean {
  const start = into.length;
  const guessed = lengthBytes(payloadGuess + topic.length + 4);
  const body = start + 1 + guessed;
  into.reserve(topic.length * 3 + 9);
  const topicBytes = into.bytes.utf8Write(topic, body + 2);
  if (topicBytes > TOPIC_BYTES_MAX) return false;
  into.length = into.bytes.writeUInt16BE(topicBytes, body) + topicBytes;
  into.length = into.bytes.writeUInt16BE(packetId, into.length);
  payload(into);
  const remaining = into.length - body;
  if (remaining > REMAINING_LENGTH_MAX) {
    into.length = start;
    return false;
  }
  const needed = lengthBytes(remaining);
  if (needed !== guessed) {
    into.reserve(4);
    into.bytes.copyWithin(body + needed - guessed, body, into.length);
    into.length += needed - guessed;
  }
  const bytes = into.bytes;
  bytes[start] = retain ? PUBLISH_QOS1 | RETAIN : PUBLISH_QOS1;
  let rest = remaining;
  for (let i = 1; i <= needed; i++) {
    bytes[start + i] = i === needed ? rest : (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  return true;
}

function lengthBytes(remaining: number): number {
  if (remaining < 128) return 1;
  if (remaining < 16_384) return 2;
  return remaining < 2_097_152 ? 3 : 4;
}

/**
 * Packets of MQTT 3.1 and 3.1.1 as bytes: how long one is, whether it is well formed, what is in it. Pure.
 *
 * A checker answers with undefined when all is well and with the flaw, as a person reads it, when it is not. What is
 * refused here is what the standard says to close the connection for; aedes lets a quarter of it through.
 */
import { filterFlaw, readText } from "./text.ts";

export const PACKET = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
} as const;

/** The level byte of MQTT 3.1 and 3.1.1. */
export type Level = 3 | 4;

/**
 * Bytes of the packet that starts at `at`, its header included; 0 when too little of it is there to tell; -1 when its
 * length takes more than the four bytes that it may [§2.2.3].
 */
export function packetBytes(bytes: Buffer, at: number, end: number): number {
  let length = 0;
  for (let i = 1; i <= 4; i++) {
    if (at + i >= end) return 0;
    const byte = bytes[at + i] as number;
    length += (byte & 0x7f) * 2 ** (7 * (i - 1));
    if (byte < 0x80) return 1 + i + length;
  }
  return -1;
}

/** A packet's remaining length as its header has it: 7 bits a byte, low ones first. */
export function remainingLength(length: number): Buffer {
  const bytes: number[] = [];
  let left = length;
  do {
    const low = left % 128;
    left = Math.floor(left / 128);
    bytes.push(left > 0 ? low | 0x80 : low);
  } while (left > 0);
  return Buffer.from(bytes);
}

/** Where the body of the packet at `at` starts. Its header is known to be whole. */
export function bodyStart(bytes: Buffer, at: number): number {
  let body = at + 1;
  while ((bytes[body] as number) >= 0x80) body++;
  return body + 1;
}

/** Fixed header bits [MQTT-2.2.2-1, -2]. MQTT 3.1 allows DUP on what is acknowledged. PUBLISH has its own rules. */
export function flagsFlaw(kind: number, flags: number, level: Level): string | undefined {
  const acknowledged = kind === PACKET.pubrel || kind === PACKET.subscribe || kind === PACKET.unsubscribe;
  if (flags === (acknowledged ? 0b0010 : 0)) return undefined;
  if (level === 3 && acknowledged && flags === 0b1010) return undefined;
  return "reserved header flags [MQTT-2.2.2-2]";
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP: two bytes, a packet id that is not 0. */
export function ackFlaw(bytes: Buffer, body: number, end: number): string | undefined {
  if (end - body !== 2) return "an acknowledgement that is not two bytes long";
  if (bytes.readUInt16BE(body) === 0) return "packet id 0 [MQTT-2.3.1-1]";
  return undefined;
}

export interface Requested {
  /** UTF-8. */
  readonly filters: readonly string[];
  readonly flaw: string | undefined;
}

/** The filters of a SUBSCRIBE (`withQos`) or UNSUBSCRIBE. */
export function readFilters(bytes: Buffer, body: number, end: number, withQos: boolean): Requested {
  const filters: string[] = [];
  const flawed = (flaw: string): Requested => ({ filters, flaw });
  if (end - body < 2 || bytes.readUInt16BE(body) === 0) return flawed("packet id 0 or none [MQTT-2.3.1-1]");
  let at = body + 2;
  if (at === end) return flawed("no filter at all [MQTT-3.8.3-3]");
  while (at < end) {
    if (end - at < 2) return flawed("a filter that is cut short");
    const start = at + 2;
    at = start + bytes.readUInt16BE(at);
    if (at + (withQos ? 1 : 0) > end) return flawed("a filter that is cut short");
    const filter = readText(bytes, start, at);
    if (filter === undefined) return flawed("text in a filter that MQTT does not allow [MQTT-1.5.3-1]");
    const flaw = filterFlaw(filter);
    if (flaw !== undefined) return flawed(flaw);
    if (withQos && (bytes[at++] as number) > 2) return flawed("a QoS beyond 2 [MQTT-3.8.3-4]");
    filters.push(filter);
  }
  return { filters, flaw: undefined };
}

/** CONNACK, with the session-present bit clear. */
export function connack(returnCode: number): Buffer {
  return Buffer.from([PACKET.connack << 4, 2, 0, returnCode]);
}

export const PINGRESP = Buffer.from([PACKET.pingresp << 4, 0]);

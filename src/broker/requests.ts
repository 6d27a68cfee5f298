/**
 * What a logged-in device sends besides PUBLISH: checked, answered here or passed on to aedes.
 */
import type { Intake } from "./intake.ts";
import { PACKET, PINGRESP, ackFlaw, flagsFlaw, readFilters } from "./packets.ts";
import type { Level } from "./packets.ts";

export interface RequestGate {
  malformed(flaw: string): void;
  acknowledge(packets: Buffer): void;
  /** The packet is a copy. */
  toAedes(packet: Buffer): void;
  /** A SUBSCRIBE or UNSUBSCRIBE: the next packet is read after its answer; see Outbound.expect. */
  request(packet: Buffer, positions: readonly number[], filters: number): void;
  farewell(packet: Buffer): void;
}

/** One whole packet from `at` to `end`; its body starts at `body`. */
export function takeRequest(
  gate: RequestGate,
  intake: Intake,
  level: Level,
  bytes: Buffer,
  at: number,
  body: number,
  end: number,
): void {
  const first = bytes[at] as number;
  const kind = first >> 4;
  const flaw = flagsFlaw(kind, first & 0b1111, level);
  if (flaw !== undefined) {
    gate.malformed(flaw);
    return;
  }
  switch (kind) {
    case PACKET.connect:
      gate.malformed("a second CONNECT [MQTT-3.1.0-2]");
      return;
    case PACKET.puback:
    case PACKET.pubrec:
    case PACKET.pubrel:
    case PACKET.pubcomp: {
      const ackIsBad = ackFlaw(bytes, body, end);
      if (ackIsBad !== undefined) gate.malformed(ackIsBad);
      else if (kind === PACKET.pubrel) intake.release(bytes.readUInt16BE(body));
      else gate.toAedes(Buffer.from(bytes.subarray(at, end)));
      return;
    }
    case PACKET.subscribe:
    case PACKET.unsubscribe:
      takeFilters(gate, kind, bytes, at, body, end);
      return;
    case PACKET.pingreq:
    case PACKET.disconnect:
      if (body !== end) gate.malformed("a PINGREQ or DISCONNECT with a body");
      else if (kind === PACKET.pingreq) gate.acknowledge(PINGRESP);
      else gate.farewell(Buffer.from(bytes.subarray(at, end)));
      return;
    default:
      gate.malformed("a packet that only servers send, or none of MQTT");
  }
}

function takeFilters(gate: RequestGate, kind: number, bytes: Buffer, at: number, body: number, end: number): void {
  const { filters, flaw } = readFilters(bytes, body, end, kind === PACKET.subscribe);
  if (flaw !== undefined) {
    gate.malformed(flaw);
    return;
  }
  const packet = Buffer.from(bytes.subarray(at, end));
  // MQTT 3.1 may set DUP here, which aedes' parser does not know.
  packet[0] = (kind << 4) | 0b10;
  const unique = [...new Set(filters)];
  // aedes leaves repeated filters out of its SUBACK.
  const positions = unique.length === filters.length ? [] : filters.map((filter) => unique.indexOf(filter));
  gate.request(packet, positions, filters.length);
}

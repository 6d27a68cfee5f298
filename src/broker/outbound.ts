/**
 * The way out to one device: what aedes writes, and the gate's own answers.
 *
 * aedes must never wait for a device: its delivery is one queue for all topics, and one subscriber that does not read
 * would stall them all (STACK.md, aedes). So nothing here pushes back. What the socket does not take is buffered up to
 * `outboundMax`; then whole QoS 0 messages are dropped, and a QoS 1 or 2 message ends the connection, for it may not be
 * dropped; a persistent session finds it in its queue when it returns.
 *
 * aedes corks while it writes a packet, so what arrives here in one go is whole packets.
 */
import type { Socket } from "node:net";
import type { BrokerFigures } from "./figures.ts";
import { PACKET, bodyStart, packetBytes, remainingLength } from "./packets.ts";

/** What any device may have waiting when all together are over their limit, and what answers may take beyond it. */
const SHARE_BYTES = 65_536;

const NOTHING = Buffer.alloc(0);

export interface OutboundLimits {
  readonly outboundMax: number;
  readonly outboundTotalMax: number;
}

export interface OutboundWatch {
  /** aedes' CONNACK; the answer replaces it. */
  connack(returnCode: number): Buffer;
  /** The device reads too slowly for what may not be dropped. */
  overflowed(): void;
  /** The first message was dropped. */
  dropping(): void;
  /** The SUBACK or UNSUBACK that was expected is on its way. */
  answered(): void;
}

export class Outbound {
  readonly #socket: Socket;
  readonly #limits: OutboundLimits;
  readonly #figures: BrokerFigures;
  readonly #watch: OutboundWatch;
  /** brokerCounter of the message that was forwarded to it last; see Persistence.forward. */
  forwarded = -1;
  /** Bytes of replayed and retained messages that aedes has in hand and has not written yet. */
  promised = 0;
  #greeted = false;
  #dropping = false;
  /** What of figures.outboundBytes is ours. */
  #counted = 0;
  /** Positions of the codes in the SUBACK that is expected; empty: take them as they are. */
  #expected: readonly number[] | undefined;

  constructor(socket: Socket, limits: OutboundLimits, figures: BrokerFigures, watch: OutboundWatch) {
    this.#socket = socket;
    this.#limits = limits;
    this.#figures = figures;
    this.#watch = watch;
  }

  /** Whether a QoS 0 message of so many bytes has no room; it is then dropped and counted. */
  drops(bytes: number): boolean {
    const waiting = this.#socket.writableLength;
    if (waiting === 0 || waiting + bytes <= this.#allowed()) return false;
    this.#figures.outboundDropped++;
    if (!this.#dropping) this.#watch.dropping();
    this.#dropping = true;
    return true;
  }

  /** Resolves when so many bytes more may be sent ahead of what the device has read, or it is gone. */
  async room(bytes: number): Promise<void> {
    const isCrowded = (): boolean => {
      const waiting = this.#socket.writableLength + this.promised;
      return waiting > 0 && waiting + bytes > this.#limits.outboundMax / 4 && this.#socket.writable;
    };
    while (isCrowded()) await this.#flushed();
  }

  /** The gate's own answers: whole packets, few bytes each. */
  answer(packets: Buffer): void {
    if (this.#socket.writableLength + packets.length > this.#allowed() + SHARE_BYTES) {
      this.#watch.overflowed();
      return;
    }
    this.#write(packets);
  }

  /** What aedes wrote: whole packets. */
  pass(packets: Buffer): void {
    const crowded = this.#socket.writableLength + packets.length > this.#allowed();
    if (this.#greeted && !crowded && this.#expected === undefined) {
      this.#write(packets);
      return;
    }
    let at = 0;
    while (at < packets.length) {
      const bytes = packetBytes(packets, at, packets.length);
      // A violated assumption about aedes; the bytes still belong on the wire.
      const end = bytes <= 0 ? packets.length : Math.min(at + bytes, packets.length);
      if (!this.#packet(packets.subarray(at, end))) return;
      at = end;
    }
  }

  /**
   * A SUBSCRIBE or UNSUBSCRIBE went to aedes, `answered` tells when the answer comes out. The SUBACK must have a code
   * for each filter [MQTT-3.8.4-5], aedes gives one for each that is not repeated: `positions` says which one is whose.
   */
  expect(positions: readonly number[]): void {
    this.#expected = positions;
  }

  /** Brings the figures up to date; the roster's timer calls it. */
  count(): void {
    const now = this.#socket.destroyed ? 0 : this.#socket.writableLength;
    this.#figures.outboundBytes += now - this.#counted;
    this.#counted = now;
  }

  /** The socket has taken all that waits now, or is gone; not before the next turn. */
  #flushed(): Promise<void> {
    return new Promise((resolve) => this.#socket.write(NOTHING, () => setImmediate(resolve)));
  }

  #allowed(): number {
    return this.#figures.outboundBytes > this.#limits.outboundTotalMax ? SHARE_BYTES : this.#limits.outboundMax;
  }

  #write(packets: Buffer): void {
    this.#socket.write(packets);
    if (this.#socket.writableLength !== this.#counted) this.count();
  }

  /** One packet; false when it ended the connection. */
  #packet(packet: Buffer): boolean {
    const first = packet[0] as number;
    const kind = first >> 4;
    if (!this.#greeted && kind === PACKET.connack) {
      this.#greeted = true;
      this.#write(this.#watch.connack(packet[3] as number));
      return true;
    }
    // Nothing may come before the CONNACK [MQTT-3.2.0-1]; aedes would send a restored session QoS 0 messages.
    if (!this.#greeted) return true;
    if (kind === PACKET.suback || kind === PACKET.unsuback) {
      this.#write(kind === PACKET.suback ? this.#suback(packet) : packet);
      this.#expected = undefined;
      this.#watch.answered();
      return true;
    }
    const spare = kind === PACKET.publish ? 0 : SHARE_BYTES;
    // A packet longer than the limit may go when it goes alone.
    const waiting = this.#socket.writableLength;
    if (waiting === 0 || waiting + packet.length <= this.#allowed() + spare) {
      this.#write(packet);
      return true;
    }
    if (kind === PACKET.publish && (first & 0b110) === 0 && this.drops(packet.length)) return true;
    this.#watch.overflowed();
    return false;
  }

  #suback(packet: Buffer): Buffer {
    const positions = this.#expected ?? [];
    if (positions.length === 0) return packet;
    const codes = bodyStart(packet, 0) + 2;
    const body = [
      ...packet.subarray(codes - 2, codes),
      ...positions.map((position) => packet[codes + position] ?? 0x80),
    ];
    return Buffer.concat([Buffer.of(PACKET.suback << 4), remainingLength(body.length), Buffer.from(body)]);
  }
}

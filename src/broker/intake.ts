/**
 * The hot path of one device: its PUBLISH and PUBREL packets, from the socket to the journal, and their
 * acknowledgements back.
 *
 * I1  Nothing is acknowledged before its commit (G1), and acknowledgements leave in the order of arrival.
 * I2  At most `inflightPerDeviceMax` packets are taken and not settled; then the gate stops reading.
 * I3  A QoS 2 packet id is accepted once between its PUBLISH and its PUBREL, whatever the DUP flag says and whatever
 *     happens to connection and gateway in between.
 * I4  Local sessions get a message after its commit, in the order in which the device sent it.
 * No closure, promise or string is made per packet; a payload is copied only for local sessions.
 */
import type { Fault } from "../fault.ts";
import type { GateContext } from "./context.ts";
import { Inflight } from "./inflight.ts";
import type { Delivery } from "./inflight.ts";
import type { Receiver } from "./ingress.ts";
import { PACKET } from "./packets.ts";

/** What the intake tells its gate. */
export interface IntakeGate {
  /** Stop reading until the matching release; `wait` puts the gate on the list of those who wait. */
  hold(reason: "inflight" | "room" | "local"): void;
  release(reason: "inflight"): void;
  malformed(flaw: string): void;
  /** The journal will not have it: the connection ends without an acknowledgement. */
  refused(fault: Fault | undefined): void;
  noteReserved(topic: string): void;
  acknowledge(acks: Buffer): void;
  /** Nothing is in flight any more. */
  drained(): void;
}

/** Acknowledgement of a PUBLISH by its QoS; 0 is none. */
const ACKS = [0, PACKET.puback, PACKET.pubrec] as const;

export class Intake implements Receiver {
  readonly #context: GateContext;
  readonly #gate: IntakeGate;
  readonly #device: string;
  readonly #claimed: Set<number>;
  readonly #inflight: Inflight;
  readonly #max: number;
  readonly #deliver: (delivery: Delivery, isKept: boolean) => void;
  #isDirty = false;
  #failure: Fault | undefined = undefined;
  /** Wall time of the chunk that is being read. */
  nowMs = 0;

  constructor(context: GateContext, gate: IntakeGate, device: string, claimed: Set<number>) {
    this.#context = context;
    this.#gate = gate;
    this.#device = device;
    this.#claimed = claimed;
    this.#max = context.limits.inflightPerDeviceMax;
    this.#inflight = new Inflight(this.#max);
    const { local } = context;
    this.#deliver = (delivery, isKept) => {
      if (isKept) local.deliver(delivery);
      else local.cancel(delivery.audience);
    };
  }

  get inflight(): number {
    return this.#inflight.size;
  }

  /** One whole PUBLISH; its body is [body, end). False: it was not taken, show it again when the hold has ended. */
  publish(bytes: Buffer, first: number, body: number, end: number): boolean {
    const { topics, ingress, figures, access, local, limits } = this.#context;
    const qos = ((first >> 1) & 0b11) as 0 | 1 | 2 | 3;
    if (qos === 3) return this.#malformed("QoS 3 [MQTT-3.3.1-4]");
    if (qos === 0 && (first & 0b1000) !== 0) return this.#malformed("DUP with QoS 0 [MQTT-3.3.1-2]");
    const topicEnd =
      body + 2 <= end ? body + 2 + (((bytes[body] as number) << 8) | (bytes[body + 1] as number)) : end + 1;
    const payloadAt = qos === 0 ? topicEnd : topicEnd + 2;
    if (payloadAt > end) return this.#malformed("a PUBLISH that is cut short");
    const topic = topics.read(bytes, body + 2, topicEnd);
    if (topic.flaw !== undefined) return this.#malformed(topic.flaw);
    const packetId = qos === 0 ? 0 : ((bytes[topicEnd] as number) << 8) | (bytes[topicEnd + 1] as number);
    if (qos !== 0 && packetId === 0) return this.#malformed("packet id 0 [MQTT-2.3.1-1]");

    if (qos === 2 && this.#claimed.has(packetId)) {
      figures.repeated++;
      return this.#settled(PACKET.pubrec, packetId);
    }
    if (qos === 2 && this.#claimed.size >= limits.unreleasedPerDeviceMax) {
      return this.#malformed("more QoS 2 messages without PUBREL than unreleasedPerDeviceMax");
    }
    if (topic.reserved || !access.publish(this.#device, topic.text)) {
      if (topic.reserved) figures.reservedTopics++;
      else figures.deniedTopics++;
      this.#gate.noteReserved(topic.text);
      return this.#settled(ACKS[qos], packetId);
    }
    const retain = (first & 1) !== 0;
    const payload = bytes.subarray(payloadAt, end);
    let delivery: Delivery | undefined;
    const audience = topics.audience(topic);
    if (retain || audience > 0) {
      if (local.isFull) {
        this.#gate.hold("local");
        return false;
      }
      delivery = { topic: topic.text, payload: Buffer.from(payload), qos, retain, audience: local.reserve(audience) };
    }
    const tag = this.#inflight.add(ACKS[qos], packetId, delivery);
    const event = {
      kind: "topic",
      topic: topic.text,
      device: this.#device,
      payload,
      qos,
      retain,
      hops: 0,
      timeMs: this.nowMs,
    } as const;
    const admission = qos === 2 ? ingress.accept(event, this, tag, packetId) : ingress.accept(event, this, tag);
    if (admission === "taken") {
      figures.published[qos] = (figures.published[qos] as number) + 1;
      if (qos === 2) this.#claimed.add(packetId);
      if (this.#inflight.size >= this.#max) this.#gate.hold("inflight");
      return true;
    }
    this.#inflight.undo();
    if (delivery !== undefined) local.cancel(delivery.audience);
    if (admission === "later") {
      this.#gate.hold("room");
      return false;
    }
    if (qos === 0) figures.refusedQos0++;
    else this.#gate.refused(undefined);
    return true;
  }

  /** One PUBREL, checked. PUBCOMP leaves when the claim's end is on disk, or at once when there is no claim. */
  release(packetId: number): void {
    if (!this.#claimed.delete(packetId)) {
      this.#settled(PACKET.pubcomp, packetId);
      return;
    }
    const tag = this.#inflight.add(PACKET.pubcomp, packetId, undefined);
    this.#context.ingress.release(this.#device, packetId, this, tag);
    if (this.#inflight.size >= this.#max) this.#gate.hold("inflight");
  }

  committed(tag: number, fault: Fault | undefined): void {
    this.#inflight.settle(tag, fault === undefined);
    if (fault !== undefined) this.#failure = fault;
    this.#flushSoon();
  }

  /** After a commit: what is settled leaves, all acknowledgements in one write. */
  flush(): void {
    this.#isDirty = false;
    const inflight = this.#inflight;
    const count = inflight.settled();
    if (count === 0) return;
    const acks = Buffer.allocUnsafe(4 * count);
    let end = 0;
    let lost = false;
    for (let i = 0; i < count; i++) {
      const at = inflight.leave(acks, end, this.#deliver);
      if (at >= 0) {
        // I1: none after a gap.
        if (!lost) end = at;
      } else if (at === -1) {
        lost = true;
      } else {
        this.#context.figures.refusedQos0++;
      }
    }
    this.#context.figures.acked += end / 4;
    if (end > 0) this.#gate.acknowledge(end === acks.length ? acks : acks.subarray(0, end));
    if (lost) this.#gate.refused(this.#failure);
    if (inflight.size <= this.#max / 2) this.#gate.release("inflight");
    if (inflight.size === 0) this.#gate.drained();
  }

  #malformed(flaw: string): boolean {
    this.#gate.malformed(flaw);
    return true;
  }

  /** Nothing to wait for but its turn. */
  #settled(ackType: number, packetId: number): boolean {
    if (ackType === 0) return true;
    this.#inflight.settle(this.#inflight.add(ackType, packetId, undefined), true);
    this.#flushSoon();
    if (this.#inflight.size >= this.#max) this.#gate.hold("inflight");
    return true;
  }

  #flushSoon(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#context.flushSoon(this);
  }
}

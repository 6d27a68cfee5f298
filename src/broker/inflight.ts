/**
 * What one device has in flight, in the order of arrival: a ring, one slot for each packet that was taken from the
 * device and whose commit, acknowledgement or local delivery is still to come.
 *
 * Acknowledgements leave in the order of arrival [MQTT-4.6.0-2, -3] whatever order the commits come in: a slot leaves
 * only from the head.
 */

/** A message that local sessions want once its event is committed. The payload is a copy. */
export interface LocalMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

/** One that has its place in the local delivery already. */
export interface Delivery extends LocalMessage {
  /** How many subscriptions match, at least 1. */
  readonly audience: number;
}

const PENDING = 0;
const DONE = 1;
const LOST = 2;

export class Inflight {
  readonly #mask: number;
  readonly #state: Uint8Array;
  /** Acknowledgement: type << 16 | packet id, or 0 for none. */
  readonly #ack: Uint32Array;
  readonly #local: (Delivery | undefined)[];
  #head = 0;
  #tail = 0;

  /** Holds up to `max` packets. */
  constructor(max: number) {
    const capacity = 2 ** Math.ceil(Math.log2(max + 1));
    this.#mask = capacity - 1;
    this.#state = new Uint8Array(capacity);
    this.#ack = new Uint32Array(capacity);
    this.#local = Array.from<Delivery | undefined>({ length: capacity });
  }

  get size(): number {
    return this.#tail - this.#head;
  }

  /** Takes a slot and returns its tag. `ackType` 0: no acknowledgement. */
  add(ackType: number, packetId: number, local: Delivery | undefined): number {
    const slot = this.#tail & this.#mask;
    this.#state[slot] = PENDING;
    this.#ack[slot] = (ackType << 16) | packetId;
    this.#local[slot] = local;
    return this.#tail++;
  }

  /** Gives the last slot back: its packet was not taken after all. */
  undo(): void {
    this.#tail--;
    this.#local[this.#tail & this.#mask] = undefined;
  }

  settle(tag: number, kept: boolean): void {
    this.#state[tag & this.#mask] = kept ? DONE : LOST;
  }

  /** How many slots at the head are settled. */
  settled(): number {
    let tag = this.#head;
    while (tag < this.#tail && this.#state[tag & this.#mask] !== PENDING) tag++;
    return tag - this.#head;
  }

  /**
   * Takes the slot at the head, which is settled, hands over its message and writes its acknowledgement at `at`. Returns
   * the offset after it, or that the packet was lost: -1 when it wanted an acknowledgement, -2 when it did not.
   */
  leave(into: Buffer, at: number, deliver: (delivery: Delivery, isKept: boolean) => void): number {
    const slot = this.#head++ & this.#mask;
    const kept = this.#state[slot] === DONE;
    const ack = this.#ack[slot] as number;
    const local = this.#local[slot];
    if (local !== undefined) {
      this.#local[slot] = undefined;
      deliver(local, kept);
    }
    if (!kept) return ack === 0 ? -2 : -1;
    if (ack === 0) return at;
    into[at] = (ack >>> 16) << 4;
    into[at + 1] = 2;
    into[at + 2] = (ack >>> 8) & 0xff;
    into[at + 3] = ack & 0xff;
    return at + 4;
  }
}

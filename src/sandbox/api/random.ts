/**
 * Math.random, drawn from the event: the same event gives a handler the same numbers whenever it is run again, so that a
 * further try, or a replay, decides as the first one did. Not for secrets: `crypto` is.
 */
import { charCodeAt, imul } from "./primordials.ts";

const UNIT = 0x1_0000_0000;

export class EventRandom {
  /** Of the handler and the journal; what differs between events is added for each. */
  readonly #salt: number;
  #seqHigh = 0;
  #seqLow = 0;
  #isSeeded = false;
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;

  constructor(salt: string) {
    let hash = 0x811c9dc5;
    for (let i = 0; i < salt.length; i++) hash = imul(hash ^ charCodeAt(salt, i), 0x01000193);
    this.#salt = hash;
  }

  /** The numbers of another event from here on. Costs nothing until one is asked for. */
  begin(seqHigh: number, seqLow: number): void {
    this.#seqHigh = seqHigh;
    this.#seqLow = seqLow;
    this.#isSeeded = false;
  }

  /** 0 ≤ x < 1, 32 bits of it (sfc32 by Chris Doty-Humphrey). */
  next(): number {
    if (!this.#isSeeded) this.#seed();
    const sum = (this.#a + this.#b + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / UNIT;
  }

  /** Bytes of the same kind. */
  readonly fill = (into: Uint8Array): void => {
    for (let at = 0; at < into.length; at++) into[at] = this.next() * 256;
  };

  #seed(): void {
    this.#isSeeded = true;
    this.#a = this.#salt;
    this.#b = this.#seqLow;
    this.#c = this.#seqHigh;
    this.#d = 1;
    for (let i = 0; i < 12; i++) this.next();
  }
}

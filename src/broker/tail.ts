/**
 * A packet that came in pieces, until it is whole. Grows with what has arrived, not with what was announced.
 */
import { packetBytes } from "./packets.ts";

const FIRST_BYTES = 512;

export class Tail {
  #bytes = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Bytes of memory. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** What has arrived. A view that the next packet overwrites. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The packet's length; 0: unknown as yet; -1: malformed. */
  get needed(): number {
    return packetBytes(this.#bytes, 0, this.#length);
  }

  /**
   * Takes from `chunk` at `at` what completes the packet, or all there is, and returns the offset after it. Stops as
   * soon as the packet's length is known to be malformed or beyond `max`.
   */
  fill(chunk: Buffer, at: number, max: number): number {
    let from = at;
    while (from < chunk.length) {
      const needed = this.needed;
      if (needed < 0 || needed > max || (needed > 0 && this.#length >= needed)) break;
      const take = needed === 0 ? 1 : Math.min(needed - this.#length, chunk.length - from);
      this.#append(chunk, from, take, needed);
      from += take;
    }
    return from;
  }

  clear(): void {
    this.#length = 0;
    if (this.#bytes.length > FIRST_BYTES) this.#bytes = Buffer.alloc(0);
  }

  #append(chunk: Buffer, from: number, bytes: number, needed: number): void {
    const length = this.#length + bytes;
    if (length > this.#bytes.length) {
      const double = Math.min(2 * this.#bytes.length, needed === 0 ? FIRST_BYTES : needed);
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, double, length));
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    chunk.copy(this.#bytes, this.#length, from, from + bytes);
    this.#length = length;
  }
}

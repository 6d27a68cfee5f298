/**
 * How far one consumer has come in its log: everything below `base` is settled, and above it a window of bits says
 * which. Ordinals are dense (0, 1, 2, …) per consumer, so the window is a bitmap, and it is all that start-up has to
 * read to know what still waits, however long the backlog.
 *
 * The window is as wide as what is in hand at a time, which the feed bounds (see feed.ts).
 */

const CAPACITY_FIRST = 64;

export class Progress {
  /** Everything below is settled; `base` itself is not. */
  #base: number;
  /** One past the highest settled ordinal, or `base`. */
  #end: number;
  #settledBeyond = 0;
  /** One byte an ordinal, at ordinal & mask. */
  #bits = new Uint8Array(CAPACITY_FIRST);

  constructor(base = 0) {
    this.#base = base;
    this.#end = base;
  }

  get base(): number {
    return this.#base;
  }

  /** How many are settled at or above `base`. */
  get settledBeyond(): number {
    return this.#settledBeyond;
  }

  isSettled(ordinal: number): boolean {
    if (ordinal < this.#base) return true;
    return ordinal < this.#end && this.#bits[ordinal & (this.#bits.length - 1)] === 1;
  }

  /** False when it was settled before. */
  settle(ordinal: number): boolean {
    if (ordinal === this.#base) {
      this.#base++;
      if (this.#end < this.#base) this.#end = this.#base;
      else this.#slide();
      return true;
    }
    if (this.isSettled(ordinal)) return false;
    if (ordinal - this.#base >= this.#bits.length) this.#grow(ordinal - this.#base + 1);
    this.#bits[ordinal & (this.#bits.length - 1)] = 1;
    this.#settledBeyond++;
    if (ordinal >= this.#end) this.#end = ordinal + 1;
    return true;
  }

  /** Settles everything below `ordinal` and returns how many were not before. */
  settleBelow(ordinal: number): number {
    if (ordinal <= this.#base) return 0;
    let settled = ordinal - this.#base;
    const mask = this.#bits.length - 1;
    const end = Math.min(ordinal, this.#end);
    for (let at = this.#base; at < end; at++) {
      if (this.#bits[at & mask] === 0) continue;
      this.#bits[at & mask] = 0;
      this.#settledBeyond--;
      settled--;
    }
    this.#base = ordinal;
    if (this.#end < ordinal) this.#end = ordinal;
    this.#slide();
    return settled;
  }

  /** Bytes that {@link write} needs: base, length, bitmap. */
  get writtenBytes(): number {
    return 8 + ((this.#end - this.#base + 7) >>> 3);
  }

  write(into: Buffer, at: number): number {
    const bytes = (this.#end - this.#base + 7) >>> 3;
    into.writeUIntBE(this.#base, at, 6);
    into.writeUInt16BE(bytes, at + 6);
    at += 8;
    if (bytes === 0) return at;
    into.fill(0, at, at + bytes);
    const mask = this.#bits.length - 1;
    for (let ordinal = this.#base; ordinal < this.#end; ordinal++) {
      if (this.#bits[ordinal & mask] === 1) {
        const bit = ordinal - this.#base;
        into[at + (bit >>> 3)] = (into[at + (bit >>> 3)] as number) | (1 << (bit & 7));
      }
    }
    return at + bytes;
  }

  static read(from: Buffer, at: number): { progress: Progress; at: number } {
    const progress = new Progress(from.readUIntBE(at, 6));
    const bytes = from.readUInt16BE(at + 6);
    for (let bit = 0; bit < bytes * 8; bit++) {
      const set = ((from[at + 8 + (bit >>> 3)] as number) >>> (bit & 7)) & 1;
      if (set === 1) progress.settle(progress.base + bit);
    }
    return { progress, at: at + 8 + bytes };
  }

  /** Moves `base` over what is settled already. */
  #slide(): void {
    const mask = this.#bits.length - 1;
    while (this.#base < this.#end && this.#bits[this.#base & mask] === 1) {
      this.#bits[this.#base & mask] = 0;
      this.#base++;
      this.#settledBeyond--;
    }
  }

  #grow(needed: number): void {
    let capacity = this.#bits.length;
    while (capacity < needed) capacity *= 2;
    const bits = new Uint8Array(capacity);
    const mask = this.#bits.length - 1;
    for (let at = this.#base; at < this.#end; at++) bits[at & (capacity - 1)] = this.#bits[at & mask] as number;
    this.#bits = bits;
  }
}

/**
 * How big the next batch may be. A refused batch halves it, a delivered one doubles it again, and so a single bad entry
 * is found by bisection without ever sending out of order.
 */
export class BatchLimits {
  readonly #countMax: number;
  readonly #bytesMax: number;
  count: number;
  bytes: number;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
    this.count = countMax;
    this.bytes = bytesMax;
  }

  /** Smaller than usual: a bad entry is being looked for, or the other side is being probed. */
  get narrowed(): boolean {
    return this.count < this.#countMax;
  }

  /** A batch of `count` entries was refused. */
  halve(count: number): void {
    this.count = Math.max(1, count >> 1);
  }

  /** A batch of `bytes` was too large. The way back up is slow, or every other batch would be too large again. */
  halveBytes(bytes: number): void {
    this.bytes = Math.max(1, bytes >> 1);
  }

  /** The next batch is a single entry. */
  probe(): void {
    this.count = 1;
  }

  delivered(): void {
    if (this.count < this.#countMax) this.count = Math.min(this.#countMax, this.count * 2);
    if (this.bytes < this.#bytesMax) this.bytes = Math.min(this.#bytesMax, this.bytes + (this.#bytesMax >> 6) + 1);
  }
}

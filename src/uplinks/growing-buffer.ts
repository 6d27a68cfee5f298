/** A buffer that grows while a batch is written into it. The bytes may be handed on without a copy: it is used once. */
export class GrowingBuffer {
  bytes: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** Makes room for `more` bytes after the present end. Read `bytes` anew afterwards. */
  reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const bigger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(bigger, 0, 0, this.length);
    this.bytes = bigger;
  }

  /** What was written, as a view. */
  written(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}

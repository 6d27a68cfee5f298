/** The bytes of an ArrayBuffer or a view, not copied; undefined when it is neither. A detached one has none. */
export function bytesOf(source: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (ArrayBuffer.isView(source)) {
    const { buffer, byteOffset, byteLength } = source as ArrayBufferView<ArrayBuffer>;
    return new Uint8Array(buffer, byteOffset, byteLength);
  }
  if (!isArrayBuffer(source)) return undefined;
  return source.detached ? new Uint8Array(0) : new Uint8Array(source);
}

/** Whether it really is one, whatever prototype it has. */
export function isArrayBuffer(source: unknown): source is ArrayBuffer {
  try {
    byteLengthOf.call(source);
    return true;
  } catch {
    return false;
  }
}

const byteLengthOf = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "byteLength")?.get as (
  this: unknown,
) => number;

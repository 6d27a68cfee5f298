/**
 * Leaf: bytes that are kept for long. Node cuts small buffers from pools of 64 KB; one that stays keeps all of its pool, so
 * that ten thousand of a few bytes, each made at another time, keep 640 MB.
 */
export function ownBytes(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}

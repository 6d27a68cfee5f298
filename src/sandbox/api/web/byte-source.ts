/**
 * Random bytes out of a seed that nobody can foresee: blocks are hashes of a key and a counter, and the key is replaced by
 * a hash of itself after each draw, so that what was drawn cannot be found out from what is left.
 */
import { sha256 } from "@noble/hashes/sha2.js";

const BLOCK_BYTES = 32;
/** What the first byte before the key says. */
const KEY = 0;
const BLOCK = 1;

export function byteSource(seed: Uint8Array): (into: Uint8Array) => void {
  let key: Uint8Array = sha256(seed);
  const hashed = (what: number, counter: number): Uint8Array => {
    const input = new Uint8Array(1 + BLOCK_BYTES + 4);
    input[0] = what;
    input.set(key, 1);
    new DataView(input.buffer).setUint32(1 + BLOCK_BYTES, counter);
    return sha256(input);
  };
  return (into) => {
    for (let at = 0, counter = 0; at < into.length; at += BLOCK_BYTES, counter++) {
      into.set(hashed(BLOCK, counter).subarray(0, Math.min(BLOCK_BYTES, into.length - at)), at);
    }
    key = hashed(KEY, 0);
  };
}

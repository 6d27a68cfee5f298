/**
 * crypto: random values, digests, and HMAC with a raw key. Source: https://w3c.github.io/webcrypto
 *
 * What else crypto.subtle has elsewhere is there to be called, and rejects with a NotSupportedError.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha1 } from "@noble/hashes/legacy.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { byteSource } from "./byte-source.ts";
import { bytesOf } from "./bytes.ts";
import { expose } from "./expose.ts";
import type { WebHost } from "./host.ts";
import { exception } from "./thrown.ts";
import { textOf } from "./text-of.ts";

const RANDOM_BYTES_MAX = 65_536;
const HASHES = { "SHA-1": sha1, "SHA-256": sha256, "SHA-384": sha384, "SHA-512": sha512 } as const;
const INTEGERS = new Set(
  ["Int8", "Uint8", "Uint8Clamped", "Int16", "Uint16", "Int32", "Uint32", "BigInt64", "BigUint64"].map(
    (kind) => `[object ${kind}Array]`,
  ),
);
const USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];

type HashName = keyof typeof HASHES;

/** Only this file makes the objects of these classes. */
const OURS = {};

function refuseOthers(key: unknown): void {
  if (key !== OURS) throw new TypeError("Illegal constructor");
}

let secretOf: (key: CryptoKey) => Uint8Array;

class CryptoKey {
  readonly #secret: Uint8Array;
  readonly #hash: HashName;
  readonly #bits: number;
  readonly #extractable: boolean;
  readonly #usages: readonly string[];

  static {
    secretOf = (key) => key.#secret;
  }

  constructor(
    key?: unknown,
    secret = new Uint8Array(),
    hash: HashName = "SHA-256",
    bits = 0,
    extractable = false,
    usages: readonly string[] = [],
  ) {
    refuseOthers(key);
    this.#secret = secret;
    this.#hash = hash;
    this.#bits = bits;
    this.#extractable = extractable;
    this.#usages = usages;
  }

  get type(): string {
    return "secret";
  }

  get extractable(): boolean {
    return this.#extractable;
  }

  get algorithm(): { name: "HMAC"; length: number; hash: { name: HashName } } {
    return { name: "HMAC", length: this.#bits, hash: { name: this.#hash } };
  }

  get usages(): string[] {
    return [...this.#usages];
  }
}

class SubtleCrypto {
  constructor(key?: unknown) {
    refuseOthers(key);
  }

  async digest(algorithm: unknown, data: unknown): Promise<ArrayBuffer> {
    return alone(HASHES[hashName(algorithm)](readBytes(data, "The data")));
  }

  async importKey(
    format: unknown,
    keyData: unknown,
    algorithm: unknown,
    extractable: unknown,
    keyUsages: Iterable<unknown>,
  ): Promise<CryptoKey> {
    const usages = [...keyUsages].map(textOf);
    for (const usage of usages) {
      if (!USAGES.includes(usage)) throw new TypeError(`"${usage}" is no use of a key`);
    }
    requireHmac(algorithm);
    if (format !== "raw") throw exception("NotSupportedError", "Keys are imported as raw bytes only");
    const { hash, length } = algorithm as { readonly hash?: unknown; readonly length?: unknown };
    const name = hashName(hash);
    const secret = readBytes(keyData, "The key").slice();
    if (usages.length === 0 || usages.some((usage) => usage !== "sign" && usage !== "verify")) {
      throw exception("SyntaxError", "An HMAC key is there to sign, to verify, or both");
    }
    const bitsMax = secret.length * 8;
    if (bitsMax === 0) throw exception("DataError", "An HMAC key of no bytes");
    const bits = length === undefined ? bitsMax : Number(length);
    if (!(bits <= bitsMax && bits > bitsMax - 8)) throw exception("DataError", "The length is not the key's");
    const last = secret.length - 1;
    secret[last] = (secret[last] as number) & (0xff << (bitsMax - bits));
    const sorted = USAGES.filter((usage) => usages.includes(usage));
    return new CryptoKey(OURS, secret, name, bits, Boolean(extractable), sorted);
  }

  async sign(algorithm: unknown, key: unknown, data: unknown): Promise<ArrayBuffer> {
    return alone(signature(algorithm, key, "sign", data));
  }

  /** Takes as long whichever byte of the signature is wrong. */
  async verify(algorithm: unknown, key: unknown, given: unknown, data: unknown): Promise<boolean> {
    const claimed = readBytes(given, "The signature");
    const wanted = signature(algorithm, key, "verify", data);
    if (claimed.length !== wanted.length) return false;
    let different = 0;
    for (let at = 0; at < wanted.length; at++) different |= (wanted[at] as number) ^ (claimed[at] as number);
    return different === 0;
  }

  encrypt(): Promise<never> {
    return notSupported("encrypt");
  }
  decrypt(): Promise<never> {
    return notSupported("decrypt");
  }
  generateKey(): Promise<never> {
    return notSupported("generateKey");
  }
  exportKey(): Promise<never> {
    return notSupported("exportKey");
  }
  deriveKey(): Promise<never> {
    return notSupported("deriveKey");
  }
  deriveBits(): Promise<never> {
    return notSupported("deriveBits");
  }
  wrapKey(): Promise<never> {
    return notSupported("wrapKey");
  }
  unwrapKey(): Promise<never> {
    return notSupported("unwrapKey");
  }
}

class Crypto {
  readonly #random: (into: Uint8Array) => void;
  readonly #subtle = new SubtleCrypto(OURS);

  constructor(key?: unknown, random: (into: Uint8Array) => void = () => {}) {
    refuseOthers(key);
    this.#random = random;
  }

  get subtle(): SubtleCrypto {
    return this.#subtle;
  }

  getRandomValues<View>(into: View): View {
    const bytes = ArrayBuffer.isView(into) ? bytesOf(into) : undefined;
    if (bytes === undefined || !INTEGERS.has(Object.prototype.toString.call(into))) {
      throw exception("TypeMismatchError", "getRandomValues() fills typed arrays of integers");
    }
    if (bytes.length > RANDOM_BYTES_MAX) {
      throw exception("QuotaExceededError", `getRandomValues() fills at most ${RANDOM_BYTES_MAX} bytes at a time`);
    }
    this.#random(bytes);
    return into;
  }

  /** Version 4, of 122 random bits. */
  randomUUID(): string {
    const bytes = new Uint8Array(16);
    this.#random(bytes);
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
    const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }
}

/** An algorithm is a name, or an object with one; case does not count. */
function nameOf(algorithm: unknown): string {
  if (typeof algorithm !== "object" || algorithm === null) return textOf(algorithm).toUpperCase();
  const { name } = algorithm as { readonly name?: unknown };
  if (name === undefined) throw new TypeError("An algorithm has a name");
  return textOf(name).toUpperCase();
}

function hashName(algorithm: unknown): HashName {
  if (algorithm === undefined) throw new TypeError("A hash is needed");
  const name = nameOf(algorithm);
  if (!Object.hasOwn(HASHES, name)) throw exception("NotSupportedError", "Unrecognized algorithm name");
  return name as HashName;
}

function requireHmac(algorithm: unknown): void {
  if (nameOf(algorithm) !== "HMAC") throw exception("NotSupportedError", "Unrecognized algorithm name");
}

function signature(algorithm: unknown, key: unknown, usage: "sign" | "verify", data: unknown): Uint8Array<ArrayBuffer> {
  requireHmac(algorithm);
  if (!(key instanceof CryptoKey)) throw new TypeError("The key is no CryptoKey");
  const bytes = readBytes(data, "The data");
  if (!key.usages.includes(usage)) throw exception("InvalidAccessError", `The key is not there to ${usage}`);
  return hmac(HASHES[key.algorithm.hash.name], secretOf(key), bytes);
}

function readBytes(source: unknown, what: string): Uint8Array<ArrayBuffer> {
  const bytes = bytesOf(source);
  if (bytes === undefined) throw new TypeError(`${what} is an ArrayBuffer or a view of one`);
  return bytes;
}

/** A buffer of these bytes and no others. */
function alone(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  return bytes.length === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

async function notSupported(operation: string): Promise<never> {
  throw exception("NotSupportedError", `crypto.subtle.${operation}() is not supported here`);
}

export function install(host: WebHost): void {
  expose(host, { CryptoKey, SubtleCrypto, Crypto });
  host.global("crypto", new Crypto(OURS, host.repeatable ?? byteSource(host.seed)));
}

/** Text and bytes inside the isolate, where a byte is a character of a latin1 string and no TextDecoder exists. */
import {
  Bytes,
  bare,
  charCodeAt,
  decodeUri,
  exec,
  fromCharCode,
  join,
  jsonParse,
  jsonStringify,
  toPercent,
} from "./primordials.ts";

// oxlint-disable-next-line no-control-regex -- it is about bytes, of which 0 is one
const BEYOND_ASCII = /[^\x00-\x7f]/;
const CHUNK = 1024;

export function isAscii(latin1: string): boolean {
  return exec(BEYOND_ASCII, latin1) === null;
}

/** Bytes as text, or undefined when they are not valid UTF-8. */
export function fromUtf8(latin1: string): string | undefined {
  if (isAscii(latin1)) return latin1;
  try {
    return decodeUri(toPercent(latin1));
  } catch {
    return undefined;
  }
}

/**
 * The same text in memory of its own. A substring keeps the string it was cut from alive, and here that is a whole
 * batch: whoever keeps one beyond the batch keeps a copy.
 */
export function ownCopy(text: string): string {
  return jsonParse(jsonStringify(text)) as string;
}

/** Bytes of a text as UTF-8; a character of four is counted as six, for it is two here. */
export function utf8BytesMax(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const code = charCodeAt(text, i);
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
  }
  return bytes;
}

export function toBytes(latin1: string): Uint8Array {
  const bytes = new Bytes(latin1.length);
  for (let i = 0; i < latin1.length; i++) bytes[i] = charCodeAt(latin1, i);
  return bytes;
}

/**
 * A character each, of which the low byte counts. What JSON would write as an escape of six has 256 added, so that bytes
 * are as long in an answer as they are, whatever they are.
 */
const CHARACTERS: string[] = bare([]);
for (let byte = 0; byte < 256; byte++) {
  const isEscaped = byte < 0x20 || byte === 0x22 || byte === 0x5c;
  CHARACTERS[byte] = fromCharCode(isEscaped ? byte + 256 : byte);
}

export function fromBytes(bytes: Uint8Array): string {
  const parts: string[] = bare([]);
  for (let at = 0; at < bytes.length; at += CHUNK) {
    let part = "";
    const end = at + CHUNK < bytes.length ? at + CHUNK : bytes.length;
    for (let i = at; i < end; i++) part += CHARACTERS[bytes[i] as number];
    parts[parts.length] = part;
  }
  return join(parts, "");
}

/**
 * Whether bytes are one JSON text [RFC 8259], without building what they say. Outputs are passed on as they came, so
 * this is what keeps a runner from writing something else into an uplink. The caller has checked that they are UTF-8.
 */

/** Nesting beyond this is refused; a parser downstream may be recursive. */
const DEPTH_MAX = 500;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const ARRAY_OPEN = 0x5b;
const ARRAY_CLOSE = 0x5d;
const OBJECT_OPEN = 0x7b;
const OBJECT_CLOSE = 0x7d;
const MINUS = 0x2d;
const ZERO = 0x30;

/** Whether `bytes` from `start` to `end` are JSON. No white space is allowed between tokens: JSON.stringify writes none. */
export function isJson(bytes: Uint8Array, start: number, end: number): boolean {
  // A bit per level would do; a small stack of opening brackets reads better and is allocated only when needed.
  let stack: number[] | undefined;
  let depth = 0;
  let at = start;
  for (;;) {
    // A value begins at `at`.
    if (at >= end) return false;
    const first = bytes[at] as number;
    if (first === OBJECT_OPEN || first === ARRAY_OPEN) {
      const closing = first === OBJECT_OPEN ? OBJECT_CLOSE : ARRAY_CLOSE;
      if (bytes[at + 1] === closing && at + 1 < end) {
        at += 2;
      } else {
        if (depth === DEPTH_MAX) return false;
        (stack ??= [])[depth++] = closing;
        at = first === OBJECT_OPEN ? nameEnd(bytes, at + 1, end) : at + 1;
        if (at < 0) return false;
        continue;
      }
    } else {
      at = scalarEnd(bytes, at, end, first);
      if (at < 0) return false;
    }
    // A value has ended before `at`: close what closes here, then go on to the next value.
    for (;;) {
      if (depth === 0) return at === end;
      if (at >= end) return false;
      const closing = (stack as number[])[depth - 1] as number;
      const next = bytes[at] as number;
      if (next === closing) {
        depth--;
        at++;
        continue;
      }
      if (next !== COMMA) return false;
      at = closing === OBJECT_CLOSE ? nameEnd(bytes, at + 1, end) : at + 1;
      if (at < 0) return false;
      break;
    }
  }
}

/** The offset after `"name":`, or -1. */
function nameEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end || bytes[at] !== QUOTE) return -1;
  const after = stringEnd(bytes, at, end);
  return after >= 0 && after < end && bytes[after] === COLON ? after + 1 : -1;
}

function scalarEnd(bytes: Uint8Array, at: number, end: number, first: number): number {
  if (first === QUOTE) return stringEnd(bytes, at, end);
  if (first === 0x74) return wordEnd(bytes, at, end, "true");
  if (first === 0x66) return wordEnd(bytes, at, end, "false");
  if (first === 0x6e) return wordEnd(bytes, at, end, "null");
  return numberEnd(bytes, at, end);
}

function wordEnd(bytes: Uint8Array, at: number, end: number, word: string): number {
  if (at + word.length > end) return -1;
  for (let i = 1; i < word.length; i++) if (bytes[at + i] !== word.charCodeAt(i)) return -1;
  return at + word.length;
}

function stringEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from + 1;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) return at + 1;
    if (byte < 0x20) return -1;
    if (byte !== BACKSLASH) {
      at++;
      continue;
    }
    const escaped = at + 1 < end ? (bytes[at + 1] as number) : 0;
    if (escaped === 0x75) {
      if (at + 6 > end) return -1;
      for (let i = 2; i < 6; i++) if (!isHex(bytes[at + i] as number)) return -1;
      at += 6;
    } else {
      // " \ / b f n r t
      const known =
        escaped === QUOTE ||
        escaped === BACKSLASH ||
        escaped === 0x2f ||
        escaped === 0x62 ||
        escaped === 0x66 ||
        escaped === 0x6e ||
        escaped === 0x72 ||
        escaped === 0x74;
      if (!known) return -1;
      at += 2;
    }
  }
  return -1;
}

function numberEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  if (bytes[at] === MINUS) at++;
  if (at < end && bytes[at] === ZERO) at++;
  else if ((at = digitsEnd(bytes, at, end)) < 0) return -1;
  if (at < end && bytes[at] === 0x2e) {
    at = digitsEnd(bytes, at + 1, end);
    if (at < 0) return -1;
  }
  if (at < end && ((bytes[at] as number) | 0x20) === 0x65) {
    at++;
    if (at < end && (bytes[at] === 0x2b || bytes[at] === MINUS)) at++;
    at = digitsEnd(bytes, at, end);
  }
  return at;
}

/** The offset after one or more digits, or -1. */
function digitsEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && isDigit(bytes[at] as number)) at++;
  return at === from ? -1 : at;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39;
}

function isHex(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}

/** Text to UTF-8 and back, with what is not well-formed replaced by U+FFFD. Source: https://encoding.spec.whatwg.org/#utf-8 */

const REPLACEMENT = 0xfffd;
/** Arguments of one call of String.fromCharCode: many more would not fit on the stack. */
const UNITS_MAX = 4096;

/** The code point at `at`; a surrogate that is alone is U+FFFD. */
function codePointAt(text: string, at: number): number {
  const point = text.codePointAt(at) as number;
  return point >= 0xd800 && point <= 0xdfff ? REPLACEMENT : point;
}

const lengthOf = (point: number): number => (point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4);

/** Writes as many whole characters as fit. `read` counts UTF-16 units, `written` bytes. */
export function encodeUtf8Into(text: string, into: Uint8Array): { read: number; written: number } {
  const room = into.length;
  let read = 0;
  let written = 0;
  while (read < text.length) {
    const unit = text.charCodeAt(read);
    if (unit < 0x80) {
      if (written === room) break;
      into[written++] = unit;
      read++;
      continue;
    }
    const point = codePointAt(text, read);
    const length = lengthOf(point);
    if (written + length > room) break;
    if (length === 2) {
      into[written++] = 0xc0 | (point >> 6);
    } else if (length === 3) {
      into[written++] = 0xe0 | (point >> 12);
      into[written++] = 0x80 | ((point >> 6) & 0x3f);
    } else {
      into[written++] = 0xf0 | (point >> 18);
      into[written++] = 0x80 | ((point >> 12) & 0x3f);
      into[written++] = 0x80 | ((point >> 6) & 0x3f);
    }
    into[written++] = 0x80 | (point & 0x3f);
    read += length === 4 ? 2 : 1;
  }
  return { read, written };
}

export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  let length = text.length;
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) < 0x80) continue;
    const point = codePointAt(text, at);
    const more = lengthOf(point);
    // A character of four bytes is two units long.
    length += more === 4 ? 2 : more - 1;
    if (more === 4) at++;
  }
  const bytes = new Uint8Array(length);
  encodeUtf8Into(text, bytes);
  return bytes;
}

/** UTF-16 units on their way to being a string. */
export class Units {
  #text = "";
  #units: number[] = [];

  /** A code point. */
  push(point: number): void {
    if (point > 0xffff) {
      this.#units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
    } else {
      this.#units.push(point);
    }
    if (this.#units.length >= UNITS_MAX) this.#flush();
  }

  /** Bytes that each are a character of their own. */
  pushLatin1(bytes: Uint8Array, from: number, to: number): void {
    this.#flush();
    for (let at = from; at < to; at += UNITS_MAX) {
      this.#text += String.fromCharCode(...bytes.subarray(at, Math.min(at + UNITS_MAX, to)));
    }
  }

  /** The text so far; it starts anew. */
  take(): string {
    this.#flush();
    const text = this.#text;
    this.#text = "";
    return text;
  }

  #flush(): void {
    if (this.#units.length > 0) this.#text += String.fromCharCode(...this.#units);
    this.#units = [];
  }
}

/** Keeps a character that is cut in two until its other half comes. */
export class Utf8Decoder {
  readonly #fatal: boolean;
  #point = 0;
  #needed = 0;
  #lower = 0x80;
  #upper = 0xbf;

  /** With `fatal`, what is not well-formed throws a TypeError instead of becoming U+FFFD. */
  constructor(fatal: boolean) {
    this.#fatal = fatal;
  }

  decode(bytes: Uint8Array, into: Units, more: boolean): void {
    let at = 0;
    while (at < bytes.length) {
      const byte = bytes[at] as number;
      if (this.#needed > 0) {
        if (byte < this.#lower || byte > this.#upper) {
          // The byte begins something new: it is looked at again.
          this.#needed = 0;
          this.#malformed(into);
        } else {
          at++;
          this.#continue(byte, into);
        }
      } else if (byte < 0x80) {
        const start = at;
        while (at < bytes.length && (bytes[at] as number) < 0x80) at++;
        // A single letter between others is not worth a call.
        if (at - start < 16) for (let each = start; each < at; each++) into.push(bytes[each] as number);
        else into.pushLatin1(bytes, start, at);
      } else {
        at++;
        this.#begin(byte, into);
      }
    }
    if (!more && this.#needed > 0) {
      this.#needed = 0;
      this.#malformed(into);
    }
  }

  #begin(byte: number, into: Units): void {
    this.#lower = 0x80;
    this.#upper = 0xbf;
    if (byte >= 0xc2 && byte <= 0xdf) {
      this.#needed = 1;
      this.#point = byte & 0x1f;
    } else if (byte >= 0xe0 && byte <= 0xef) {
      if (byte === 0xe0) this.#lower = 0xa0;
      if (byte === 0xed) this.#upper = 0x9f;
      this.#needed = 2;
      this.#point = byte & 0xf;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
      if (byte === 0xf0) this.#lower = 0x90;
      if (byte === 0xf4) this.#upper = 0x8f;
      this.#needed = 3;
      this.#point = byte & 0x7;
    } else {
      this.#malformed(into);
    }
  }

  #continue(byte: number, into: Units): void {
    this.#lower = 0x80;
    this.#upper = 0xbf;
    this.#point = (this.#point << 6) | (byte & 0x3f);
    if (--this.#needed === 0) into.push(this.#point);
  }

  #malformed(into: Units): void {
    if (this.#fatal) throw new TypeError("The encoded data was not valid for encoding utf-8");
    into.push(REPLACEMENT);
  }
}

/** All of it, without the byte order mark that it may begin with. */
export function decodeUtf8(bytes: Uint8Array): string {
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const units = new Units();
  new Utf8Decoder(false).decode(marked ? bytes.subarray(3) : bytes, units, false);
  return units.take();
}

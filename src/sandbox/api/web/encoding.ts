/**
 * TextEncoder and TextDecoder. Source: https://encoding.spec.whatwg.org
 *
 * Of the encodings there are those that devices use: UTF-8, UTF-16 with the little end first, and windows-1252, which is
 * what the web means by latin1. A label of another one is a RangeError.
 */
import { bytesOf } from "./bytes.ts";
import { expose } from "./expose.ts";
import type { WebHost } from "./host.ts";
import { Units, Utf8Decoder, encodeUtf8, encodeUtf8Into } from "./utf8.ts";
import { textOf } from "./text-of.ts";

type Encoding = "utf-8" | "utf-16le" | "windows-1252";

const LABELS: Readonly<Record<Encoding, string>> = {
  "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
  "utf-16le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
  "windows-1252":
    "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 " +
    "iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
};

/** What windows-1252 has where latin1 has control characters: 0x80 to 0x9f. */
const WINDOWS_1252 =
  "\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f" +
  "\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178";

const BYTE_ORDER_MARK = "\ufeff";

class TextEncoder {
  get encoding(): string {
    return "utf-8";
  }

  encode(text: unknown = ""): Uint8Array<ArrayBuffer> {
    return encodeUtf8(textOf(text));
  }

  encodeInto(text: unknown, into: unknown): { read: number; written: number } {
    if (!(into instanceof Uint8Array)) throw new TypeError("encodeInto() writes into a Uint8Array");
    return encodeUtf8Into(textOf(text), into);
  }
}

interface Decoder {
  decode(bytes: Uint8Array, into: Units, more: boolean): void;
}

class TextDecoder {
  readonly #encoding: Encoding;
  readonly #fatal: boolean;
  readonly #ignoreBOM: boolean;
  #decoder: Decoder;
  /** Whether a byte order mark may still come. */
  #atStart = true;

  constructor(label: unknown = "utf-8", options: unknown = {}) {
    const { fatal, ignoreBOM } = (options ?? {}) as { readonly fatal?: unknown; readonly ignoreBOM?: unknown };
    this.#encoding = encodingOf(textOf(label));
    this.#fatal = Boolean(fatal);
    this.#ignoreBOM = Boolean(ignoreBOM);
    this.#decoder = decoderOf(this.#encoding, this.#fatal);
  }

  get encoding(): string {
    return this.#encoding;
  }

  get fatal(): boolean {
    return this.#fatal;
  }

  get ignoreBOM(): boolean {
    return this.#ignoreBOM;
  }

  decode(source?: unknown, options: unknown = {}): string {
    const bytes = source === undefined ? new Uint8Array(0) : bytesOf(source);
    if (bytes === undefined) throw new TypeError("decode() reads an ArrayBuffer or a view of one");
    const more = Boolean(((options ?? {}) as { readonly stream?: unknown }).stream);
    const units = new Units();
    try {
      this.#decoder.decode(bytes, units, more);
    } catch (malformed) {
      this.#startAnew();
      throw malformed;
    }
    const text = this.#withoutMark(units.take());
    if (!more) this.#startAnew();
    return text;
  }

  #withoutMark(text: string): string {
    if (!this.#atStart || text === "") return text;
    this.#atStart = false;
    const marked = !this.#ignoreBOM && this.#encoding !== "windows-1252" && text.startsWith(BYTE_ORDER_MARK);
    return marked ? text.slice(1) : text;
  }

  #startAnew(): void {
    this.#atStart = true;
    this.#decoder = decoderOf(this.#encoding, this.#fatal);
  }
}

function encodingOf(label: string): Encoding {
  const wanted = label.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "").toLowerCase();
  for (const [encoding, labels] of Object.entries(LABELS)) {
    if (wanted !== "" && labels.split(" ").includes(wanted)) return encoding as Encoding;
  }
  throw new RangeError(`The "${label}" encoding is not supported`);
}

function decoderOf(encoding: Encoding, fatal: boolean): Decoder {
  if (encoding === "utf-8") return new Utf8Decoder(fatal);
  return encoding === "utf-16le" ? new Utf16Decoder(fatal) : { decode: decodeWindows1252 };
}

function decodeWindows1252(bytes: Uint8Array, into: Units): void {
  for (const byte of bytes) into.push((byte & 0xe0) === 0x80 ? WINDOWS_1252.charCodeAt(byte & 0x1f) : byte);
}

/** Keeps an odd byte, and the first half of a pair of surrogates, until the rest comes. */
class Utf16Decoder {
  readonly #fatal: boolean;
  #byte: number | undefined;
  #lead: number | undefined;

  constructor(fatal: boolean) {
    this.#fatal = fatal;
  }

  decode(bytes: Uint8Array, into: Units, more: boolean): void {
    for (const byte of bytes) {
      if (this.#byte === undefined) {
        this.#byte = byte;
      } else {
        this.#unit((byte << 8) | this.#byte, into);
        this.#byte = undefined;
      }
    }
    if (more) return;
    // Half a unit behind half a pair is one thing that is cut off.
    if (this.#byte !== undefined || this.#lead !== undefined) this.#malformed(into);
  }

  #unit(unit: number, into: Units): void {
    const trails = unit >= 0xdc00 && unit <= 0xdfff;
    if (this.#lead !== undefined) {
      const lead = this.#lead;
      this.#lead = undefined;
      if (trails) {
        into.push(0x10000 + ((lead - 0xd800) << 10) + (unit - 0xdc00));
        return;
      }
      this.#malformed(into);
    }
    if (unit >= 0xd800 && unit <= 0xdbff) this.#lead = unit;
    else if (trails) this.#malformed(into);
    else into.push(unit);
  }

  #malformed(into: Units): void {
    if (this.#fatal) throw new TypeError("The encoded data was not valid for encoding utf-16le");
    into.push(0xfffd);
  }
}

export function install(host: WebHost): void {
  expose(host, { TextEncoder, TextDecoder });
}

/**
 * A source map, read for where positions of a bundle come from. Maps come with handlers, so one may be made to cost:
 * Node's own reader takes three microseconds and 200 bytes for each position, which for the longest map that a version may
 * have is twenty seconds of the gateway's thread. This one makes no object for any, reads no map beyond
 * {@link MAP_CHARS_MAX} and {@link MAPPINGS_CHARS_MAX}, and reads it once, sound or not.
 */

/** As JSON, with the sources' text. */
const MAP_CHARS_MAX = 8 * 1024 * 1024;
/** Of positions, some four characters each. */
const MAPPINGS_CHARS_MAX = 2 * 1024 * 1024;
/** A name of a source stands in every frame. */
const SOURCE_CHARS_MAX = 300;

const COMMA = 0x2c;
const SEMICOLON = 0x3b;
/** Values of Base64's digits by character; -1: none. */
const DIGITS = new Int8Array(128).fill(-1);
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
for (let digit = 0; digit < ALPHABET.length; digit++) DIGITS[ALPHABET.charCodeAt(digit)] = digit;
const CONTINUES = 32;
const BITS = 5;
/** A number has at most 32 bits, in seven digits. */
const SHIFT_MAX = 30;
/** Of a position, at the most. */
const FIELDS = 5;

/** All count from 0. */
export interface Position {
  readonly source: string;
  readonly line: number;
  readonly column: number;
}

export class Positions {
  readonly #sources: readonly unknown[];
  /** Where each line of the bundle begins in the others. */
  readonly #lines: Int32Array;
  readonly #columns: Int32Array;
  /** Aligned: source (-1: none), line and column in it. */
  readonly #origins: Int32Array;

  /** undefined: it is too long, or is no source map. */
  static read(map: string): Positions | undefined {
    if (map === "" || map.length > MAP_CHARS_MAX) return undefined;
    try {
      const { sources, mappings } = JSON.parse(map) as { sources?: unknown; mappings?: unknown };
      if (!Array.isArray(sources) || typeof mappings !== "string") return undefined;
      return mappings.length > MAPPINGS_CHARS_MAX ? undefined : new Positions(sources, mappings);
    } catch {
      return undefined; // A damaged map must not hide the failure that it should explain.
    }
  }

  private constructor(sources: readonly unknown[], mappings: string) {
    this.#sources = sources;
    let [lines, count, isBetween] = [1, 0, true];
    for (let i = 0; i < mappings.length; i++) {
      const character = mappings.charCodeAt(i);
      if (character === SEMICOLON) lines++;
      // Maps have many lines without a position, and may have nothing else.
      const wasBetween = isBetween;
      isBetween = character === SEMICOLON || character === COMMA;
      if (wasBetween && !isBetween) count++;
    }
    this.#lines = new Int32Array(lines + 1);
    this.#columns = new Int32Array(count);
    this.#origins = new Int32Array(count * 3);
    this.#decode(mappings);
  }

  /** Of the file that the module begins with: bundlers put what is imported before what imports it. */
  get entry(): string | undefined {
    return shown(this.#sources.at(-1));
  }

  /** Where what stands there in the bundle comes from. */
  find(line: number, column: number): Position | undefined {
    let low = this.#lines[line] ?? 0;
    const first = low;
    let high = this.#lines[line + 1] ?? 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#columns[middle] as number) <= column) low = middle + 1;
      else high = middle;
    }
    if (low <= first) return undefined;
    const at = (low - 1) * 3;
    const source = shown(this.#sources[this.#origins[at] as number]);
    if (source === undefined) return undefined;
    return { source, line: this.#origins[at + 1] as number, column: this.#origins[at + 2] as number };
  }

  /** Throws when it is none. No object is made, for a number of these are read at a time when something has failed. */
  #decode(mappings: string): void {
    const [lines, columns, origins] = [this.#lines, this.#columns, this.#origins];
    /** Column in the bundle; source, line, column in it, and name: each counts on from the one before. */
    const now = new Int32Array(FIELDS);
    let [line, count, fields, value, shift] = [0, 0, 0, 0, 0];
    for (let i = 0; i <= mappings.length; i++) {
      const character = i < mappings.length ? mappings.charCodeAt(i) : SEMICOLON;
      if (character !== COMMA && character !== SEMICOLON) {
        const digit = character < DIGITS.length ? (DIGITS[character] as number) : -1;
        if (digit < 0 || shift > SHIFT_MAX || fields === FIELDS) throw new Error("no source map");
        value |= (digit & (CONTINUES - 1)) << shift;
        shift += BITS;
        if ((digit & CONTINUES) !== 0) continue;
        now[fields] = (now[fields] as number) + ((value & 1) === 1 ? -(value >>> 1) : value >>> 1);
        fields++;
        value = shift = 0;
        continue;
      }
      if (shift > 0) throw new Error("no source map");
      if (fields > 0) {
        const at = count * 3;
        columns[count] = now[0] as number;
        origins[at] = fields < 4 ? -1 : (now[1] as number);
        origins[at + 1] = now[2] as number;
        origins[at + 2] = now[3] as number;
        count++;
        fields = 0;
      }
      if (character === COMMA) continue;
      lines[++line] = count;
      now[0] = 0;
    }
  }
}

function shown(source: unknown): string | undefined {
  return typeof source === "string" ? source.slice(0, SOURCE_CHARS_MAX).replaceAll(/\s/g, " ") : undefined;
}

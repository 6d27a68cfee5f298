/**
 * Rig: what arrives at a `file` uplink, followed for hours. Of each device the messages come in order, each exactly once,
 * and the counter in the state goes with them; whatever else is seen is a wrong. Nothing is kept but where each is.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

interface Line {
  readonly data: { readonly device: string; readonly n: number; readonly count: number };
}

const CHUNK_BYTES = 1 << 20;
const WRONGS_MAX = 20;

export class Arrivals {
  /** Sentences, the first few. */
  readonly wrongs: string[] = [];
  total = 0;
  readonly #path: string;
  readonly #last = new Map<string, { n: number; count: number }>();
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  #file: number | undefined;
  #rest = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** Reads on to the end, also past a rotation. To be called more often than files are rotated. */
  look(): void {
    for (;;) {
      this.#file ??= opened(this.#path);
      if (this.#file === undefined) return;
      this.#readOn(this.#file);
      if (!isReplaced(this.#file, this.#path)) return;
      this.#readOn(this.#file); // What was written between the reading and the rotation.
      closeSync(this.#file);
      this.#file = undefined;
    }
  }

  /** The number of the last message of a device that has arrived. */
  lastOf(device: string): number {
    return this.#last.get(device)?.n ?? 0;
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }

  #readOn(file: number): void {
    for (;;) {
      const bytes = readSync(file, this.#chunk, 0, CHUNK_BYTES, null);
      if (bytes === 0) return;
      const lines = (this.#rest + this.#chunk.toString("utf8", 0, bytes)).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#take(JSON.parse(line) as Line);
    }
  }

  #take({ data: { device, n, count } }: Line): void {
    this.total++;
    const last = this.#last.get(device) ?? { n: 0, count: 0 };
    if (n !== last.n + 1) this.#wrong(`${device}: message ${n} came after ${last.n}`);
    if (count !== last.count + 1) this.#wrong(`${device}: the counter went from ${last.count} to ${count}`);
    this.#last.set(device, { n, count });
  }

  #wrong(sentence: string): void {
    if (this.wrongs.length < WRONGS_MAX) this.wrongs.push(sentence);
  }
}

function opened(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch {
    return undefined; // Nothing has been written yet.
  }
}

function isReplaced(file: number, path: string): boolean {
  try {
    return statSync(path).ino !== fstatSync(file).ino;
  } catch {
    return false; // In the middle of a rotation: the next look finds it.
  }
}

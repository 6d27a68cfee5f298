/**
 * A store whose reads are slow or fail. It is LevelDB underneath. Like LevelDB it passes over the rows of a table that it
 * cannot open, and says so only at the end of the range; unlike it, it does so for exactly the rows that the test names.
 */
import { levelStore } from "../../src/journal/journal.ts";
import type { StoreFactory } from "../../src/journal/journal.ts";

type Store = Awaited<ReturnType<StoreFactory["open"]>>;
interface Rows<T> {
  nextv(size: number): Promise<T[]>;
  close(): Promise<void>;
}
type Walk = Parameters<Store["iterator"]>[0];

export class ShakyStore implements StoreFactory {
  readonly #level = levelStore({ writeBufferBytes: 1024 * 1024, cacheBytes: 1024 * 1024 });
  /** What reading says at present, if it fails at all. */
  error: (Error & { code: string }) | undefined;
  /** Rows that cannot be read while there is an {@link error}; all reads fail when it is not given. */
  passesOver: ((key: Buffer) => boolean) | undefined;
  /** Awaited between reading rows and handing them over; not where only keys are asked for. */
  held: Promise<void> | undefined;

  /** The box has no file handle left. */
  starve(): void {
    this.error = Object.assign(new Error("IO error: 000005.ldb: Too many open files"), { code: "LEVEL_IO_ERROR" });
  }

  corrupt(): void {
    this.error = Object.assign(new Error("Corruption: block checksum mismatch"), { code: "LEVEL_CORRUPTION" });
  }

  heal(): void {
    this.error = undefined;
    this.passesOver = undefined;
  }

  async open(path: string): Promise<Store> {
    const level = await this.#level.open(path);
    const sound = <T>(read: () => Promise<T>): Promise<T> =>
      this.error !== undefined && this.passesOver === undefined ? Promise.reject(this.error) : read();
    return {
      batch: (operations, options) => level.batch(operations, options),
      get: (key) => sound(() => level.get(key)),
      getMany: (keys) => sound(() => level.getMany(keys)),
      iterator: (walk) => {
        const rows = this.#rows(level.iterator(unlimited(walk)), walk, ([key]) => key);
        const nextv = (size: number): Promise<[Buffer, Buffer][]> =>
          rows.nextv(size).then((found) => Promise.resolve(this.held).then(() => found));
        return { nextv, close: rows.close };
      },
      keys: (walk) => this.#rows(level.keys(unlimited(walk)), walk, (key) => key),
      compactRange: (start, end) => level.compactRange(start, end),
      close: () => level.close(),
    };
  }

  #rows<T>(rows: Rows<T>, { limit = -1 }: Walk, keyOf: (row: T) => Buffer): Rows<T> {
    let left = limit < 0 ? Infinity : limit;
    let passed: Error | undefined;
    const nextv = async (size: number): Promise<T[]> => {
      const wanted = Math.min(size, left);
      const found: T[] = [];
      while (found.length < wanted) {
        if (this.error !== undefined && this.passesOver === undefined) throw this.error;
        const [row] = await rows.nextv(1);
        if (row === undefined) {
          if (passed !== undefined) throw passed;
          break;
        }
        if (this.error !== undefined && this.passesOver?.(keyOf(row)) === true) passed = this.error;
        else found.push(row);
      }
      left -= found.length;
      return found;
    };
    return { nextv, close: () => rows.close() };
  }

  repair(path: string): Promise<void> {
    return this.#level.repair(path);
  }
}

function unlimited(walk: Walk): Walk {
  return { ...walk, limit: -1 };
}

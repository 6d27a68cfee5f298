/**
 * The store as the journal holds it: opened, closed under it after a write error, and opened again. Reads that are under
 * way then are done again; a walk over rows goes on behind the last row that it had.
 *
 * A read that fails is not a row that is gone. What the store says is corrupt is damage, and passed over. Any other error
 * (no file handle is left, no memory, the disk does not answer) may be over in a moment: the read waits and is tried
 * again, and when it goes on failing it rejects. Whoever asked then asks again later, and takes nothing for lost (J4).
 */
import { backoffMs, sleep } from "../time.ts";
import { isDamage, storeCode, wasClosed } from "../store-error.ts";
import type { Operation, Store, Walk } from "./store.ts";

/** Rows that the store calls corrupt are read so often before they count as damaged. */
const DAMAGED_TRIES = 3;
/** Any other error: so many tries, one or two seconds in all. */
const FAILED_TRIES = 10;
const READ_RETRY = { firstMs: 10, maxMs: 500 };
/** Rows at a time, where a range is read to its end. */
const TO_END = 1000;

/** Failures of one read, those since it last got on. */
interface Failures {
  damaged: number;
  failed: number;
}

type Visit = (key: Buffer, value: Buffer) => boolean;

export class Disk {
  #store: Store | undefined;
  #opened: (() => void)[] = [];
  #closed = false;
  readErrors = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  get store(): Store | undefined {
    return this.#store;
  }

  write(operations: Operation[]): Promise<void> {
    if (this.#store === undefined) return Promise.reject(new Error("the store is closed"));
    return this.#store.batch(operations, { sync: true });
  }

  /** Takes the store away from readers; they wait for the next {@link give}. */
  async take(): Promise<void> {
    const store = this.#store;
    this.#store = undefined;
    await store?.close();
  }

  /** A store that comes when the journal has been closed is closed as well: it holds the lock. */
  async give(store: Store): Promise<void> {
    if (this.#closed) return store.close();
    this.#store = store;
    const opened = this.#opened;
    this.#opened = [];
    for (const resolve of opened) resolve();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.take();
    for (const resolve of this.#opened) resolve();
  }

  /** Runs `read` on the open store, again when the store was reopened under it. Rejects when it goes on failing. */
  async reading<T>(read: (store: Store) => Promise<T>): Promise<T> {
    const failures: Failures = { damaged: 0, failed: 0 };
    for (;;) {
      const store = await this.#open();
      try {
        return await read(store);
      } catch (error) {
        if (!(await this.#mayRetry(store, error, failures))) throw error;
      }
    }
  }

  /**
   * Hands the rows of `walk` to `visit` in order, which may end it by returning false. LevelDB passes over what it
   * cannot read and says so only at the end of the range: so one walk sets out how far `size` rows reach, and the rows
   * are those of a second one that was read to its end. Damaged rows are left out, and `broken` hears of them at the end.
   *
   * @throws what the store said, when reading fails otherwise and goes on failing.
   */
  walk(walk: Walk, visit: Visit, broken: (error: unknown) => void, size = 64): Promise<void> {
    return this.#walk(walk, visit, broken, size, true);
  }

  /** The same in one go, for those who see by the keys that something was passed over. */
  skim(walk: Walk, visit: Visit, broken: (error: unknown) => void, size: number): Promise<void> {
    return this.#walk(walk, visit, broken, size, false);
  }

  async #walk(walk: Walk, visit: Visit, broken: (error: unknown) => void, size: number, twice: boolean): Promise<void> {
    let left = walk;
    const failures: Failures = { damaged: 0, failed: 0 };
    for (;;) {
      const store = await this.#open();
      const setsOut = twice && failures.damaged === 0;
      const rows = store.iterator(setsOut ? { ...left, values: false } : left);
      try {
        for (;;) {
          // One row at a time where there is damage: the error comes instead of the rows that were read with it.
          let chunk = await rows.nextv(failures.damaged === 0 ? size : 1);
          const end = chunk.at(-1);
          if (end === undefined) return;
          if (setsOut) chunk = await readToEnd(store, upTo(left, end[0]));
          failures.failed = 0;
          for (const [key, value] of chunk) {
            left = behind(left, key);
            if (!visit(key, value)) return;
          }
        }
      } catch (error) {
        if (await this.#mayRetry(store, error, failures)) continue;
        if (!isDamage(error)) throw error;
        broken(error);
        return;
      } finally {
        await rows.close().catch(() => undefined);
      }
    }
  }

  /** Resolves when it is time for another try, to false when there have been enough. */
  async #mayRetry(store: Store, error: unknown, failures: Failures): Promise<boolean> {
    // What is not of the store is a bug.
    if (!storeCode(error).startsWith("LEVEL_")) return false;
    if (this.#store !== store || wasClosed(error)) {
      await sleep(1);
      return true;
    }
    this.readErrors++;
    if (isDamage(error)) return ++failures.damaged < DAMAGED_TRIES;
    if (++failures.failed >= FAILED_TRIES) return false;
    await sleep(backoffMs(READ_RETRY, failures.failed, Math.random));
    return true;
  }

  async #open(): Promise<Store> {
    for (;;) {
      if (this.#store !== undefined) return this.#store;
      if (this.#closed) throw Object.assign(new Error("the journal is closed"), { code: "JOURNAL_CLOSED" });
      await new Promise<void>((resolve) => this.#opened.push(resolve));
    }
  }
}

export function isClosed(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === "JOURNAL_CLOSED";
}

/** The rows of `walk` up to the one with this key. */
function upTo(walk: Walk, key: Buffer): Walk {
  const bounds = walk.reverse === true ? { gte: key } : { lt: after(key) };
  return { ...walk, ...bounds, limit: -1 };
}

/** What is left of `walk` behind the row with this key. */
function behind(walk: Walk, key: Buffer): Walk {
  return walk.reverse === true ? { ...walk, lt: key } : { ...walk, gte: after(key) };
}

function after(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

async function readToEnd(store: Store, walk: Walk): Promise<[Buffer, Buffer][]> {
  const rows = store.iterator(walk);
  try {
    const all: [Buffer, Buffer][] = [];
    for (;;) {
      const chunk = await rows.nextv(TO_END);
      if (chunk.length === 0) return all;
      for (const row of chunk) all.push(row);
    }
  } finally {
    await rows.close().catch(() => undefined);
  }
}

/**
 * The store as the journal holds it: opened, closed under it after a write error, and opened again. Reads that are under
 * way then are done again; a walk over rows goes on behind the last row that it had.
 */
import { sleep } from "../time.ts";
import { wasClosed } from "./store.ts";
import type { Operation, Store, Walk } from "./store.ts";

/** A read that the disk refuses is tried so often before its rows count as damaged. */
const READ_TRIES = 3;
const READ_RETRY_MS = 50;

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

  give(store: Store): void {
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

  /** Runs `read` on the open store, again when the store was reopened under it. */
  async reading<T>(read: (store: Store) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const store = await this.#open();
      try {
        return await read(store);
      } catch (error) {
        if (this.#store !== store || wasClosed(error)) {
          await sleep(1);
          continue;
        }
        this.readErrors++;
        if (attempt >= READ_TRIES) throw error;
        await sleep(READ_RETRY_MS);
      }
    }
  }

  /**
   * Hands the rows of `walk` to `visit` in order, which may end it by returning false. LevelDB skips what it cannot
   * read and says so only at the end; `broken` hears of it then.
   */
  async walk(
    walk: Walk,
    visit: (key: Buffer, value: Buffer) => boolean,
    broken: (error: unknown) => void,
    size = 64,
  ): Promise<void> {
    let { gte } = walk;
    let errors = 0;
    for (;;) {
      const store = await this.#open();
      const rows = store.iterator({ ...walk, gte });
      try {
        for (;;) {
          // One row at a time after an error: it comes instead of the rows that were read together with it.
          const chunk = await rows.nextv(errors === 0 ? size : 1);
          if (chunk.length === 0) return;
          for (const [key, value] of chunk) {
            gte = Buffer.concat([key, Buffer.of(0)]);
            if (!visit(key, value)) return;
          }
        }
      } catch (error) {
        if (this.#store !== store || wasClosed(error)) {
          await sleep(1);
          continue;
        }
        this.readErrors++;
        if (++errors < READ_TRIES) continue;
        broken(error);
        return;
      } finally {
        await rows.close().catch(() => undefined);
      }
    }
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

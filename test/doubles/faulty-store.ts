/**
 * A store on a disk that fails. It is LevelDB underneath, and fails at the batches that the test names. Like LevelDB 1.20
 * after a write error, it then cannot be trusted: it goes on acknowledging synced writes and loses them, until it has
 * been closed and opened again. Unlike a real disk it fails at exact places, and only for writes, opens and closes.
 */
import { levelStore } from "../../src/journal/journal.ts";
import type { StoreFactory } from "../../src/journal/journal.ts";

type Store = Awaited<ReturnType<StoreFactory["open"]>>;

export interface Fault {
  readonly code: "ENOSPC" | "EIO";
  /** The batch is on disk although the store says it is not. */
  readonly lands?: boolean;
}

export class FaultyStore implements StoreFactory {
  readonly #level = levelStore({ writeBufferBytes: 1024 * 1024, cacheBytes: 1024 * 1024 });
  /** Asked before each batch, counted from 1 over all reopenings. */
  fault: (batch: number) => Fault | undefined = () => undefined;
  /** Further opens that fail. */
  opensFail = 0;
  batches = 0;
  opens = 0;
  /** Writes that were acknowledged by a store that had failed before, and are gone. */
  lost = 0;
  /** Rows that batches touched, newest last. */
  unsynced = 0;

  async open(path: string): Promise<Store> {
    if (this.opensFail > 0) {
      this.opensFail--;
      throw Object.assign(new Error("IO error: no space left on device"), { code: "LEVEL_IO_ERROR" });
    }
    this.opens++;
    const level = await this.#level.open(path);
    let poisoned = false;
    const batch: Store["batch"] = async (operations, options) => {
      this.batches++;
      if (!options.sync) this.unsynced++;
      const fault = this.fault(this.batches);
      if (poisoned && fault === undefined) {
        this.lost++;
        return;
      }
      if (fault === undefined) return level.batch(operations, options);
      poisoned = true;
      if (fault.lands === true) await level.batch(operations, options);
      throw Object.assign(new Error(`IO error: ${fault.code}`), { code: "LEVEL_IO_ERROR" });
    };
    return {
      batch,
      get: (key) => level.get(key),
      getMany: (keys) => level.getMany(keys),
      iterator: (walk) => level.iterator(walk),
      keys: (walk) => level.keys(walk),
      compactRange: (start, end) => level.compactRange(start, end),
      close: () => level.close(),
    };
  }

  repair(path: string): Promise<void> {
    return this.#level.repair(path);
  }
}

/** LevelDB frees the room of deleted rows only where it happens to merge tables: it has to be asked. */
import type { Core } from "./core.ts";
import { keys } from "./keys.ts";
import { EVENTS } from "./log.ts";

/** Asked after so many bytes were deleted; where the disk is short of room, after any. */
const SHARE = 0.125;
const BYTES_MIN = 4 * 1024 * 1024;

export class GiveBack {
  readonly #core: Core;
  #running: Promise<void> | undefined;
  #runningBytes = 0;
  #closed = false;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Bytes that were deleted, and are on the disk yet. */
  get bytes(): number {
    return this.#core.deletedBytes + this.#runningBytes;
  }

  /** Begins, when it is worth it. */
  soon(): void {
    const core = this.#core;
    const { limits, diskRoom, log } = core;
    const least = diskRoom.wantedBytes > 0 ? 1 : Math.max(BYTES_MIN, limits.sizeMaxBytes * SHARE);
    if (core.deletedBytes < least || this.#running !== undefined || this.#closed) return;
    this.#runningBytes = core.deletedBytes;
    core.deletedBytes = 0;
    this.#running = this.#merge()
      .catch((error: unknown) => {
        core.deletedBytes += this.#runningBytes; // The store was closed under it, or had no room itself: once more then.
        log.debug({ err: error }, "compaction stopped");
      })
      .finally(() => {
        this.#running = undefined;
        this.#runningBytes = 0;
      });
  }

  /** Resolves when nothing is asked of the store any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #merge(): Promise<void> {
    const { disk, header, outboxes, diskRoom } = this.#core;
    const uplinks = outboxes.flatMap((outbox) => (outbox === undefined ? [] : [outbox.uplink]));
    for (const { id, tail } of [{ id: EVENTS, tail: header.tail }, ...uplinks]) {
      if (this.#closed) return;
      await disk.store?.compactRange(keys.pagesFrom(id, 0).gte, keys.pagesFrom(id, tail).gte);
    }
    await diskRoom.look();
  }
}

/**
 * How much room the disk of the data folder has left, and how much the journal leaves there.
 *
 * A store cannot even delete without writing, and cannot be opened without room for what its log holds. A journal that
 * filled its disk would so stay full for ever, also when all it holds has been delivered, and after a restart there would
 * be no gateway. So events are refused while there is room to settle, to deliver and to forget what is there.
 */
import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";

/**
 * What LevelDB takes for a moment, in write buffers: its log, the table that it makes of that, and four such tables that
 * it merges with the level below, while the old ones are still there.
 */
const RESERVE_BUFFERS = 8;
/** Below so many no tasks are handed out: their outputs come before anything of them is forgotten. */
const BRIM_BUFFERS = 3;
/** There is room again, or still, above this share of the reserve: below it what is settled goes before it has to. */
const ROOMY = 1.25;
/** Looked at after so many write buffers were written, and at each sweep. */
const LOOK_BUFFERS = 0.25;
const WRITE_BUFFER_BYTES_MIN = 1024 * 1024;
const WRITE_BUFFER_BYTES_MAX = 16 * 1024 * 1024;
/** Parts of the whole that a write buffer is. */
const BUFFERS = 16;

export type FreeBytes = () => Promise<number>;

/** Bytes that the disk has left for who is not root; Infinity when it does not say. */
export function freeBytesOf(path: string): FreeBytes {
  return async () => {
    try {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    } catch {
      return Infinity;
    }
  };
}

/** The store's write buffer: a part of what the journal may have, or the disk of `path` has for it. */
export async function writeBufferFor(path: string, sizeMaxBytes: number, freeBytes: FreeBytes): Promise<number> {
  let bytes = sizeMaxBytes;
  const free = await freeBytes();
  if (free < WRITE_BUFFER_BYTES_MAX * BUFFERS) bytes = Math.min(bytes, free + (await bytesIn(join(path, "journal"))));
  return Math.max(WRITE_BUFFER_BYTES_MIN, Math.min(WRITE_BUFFER_BYTES_MAX, Math.floor(bytes / BUFFERS)));
}

async function bytesIn(folder: string): Promise<number> {
  const names: readonly string[] = await readdir(folder).catch(() => []);
  let bytes = 0;
  for (const name of names) bytes += (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0;
  return bytes;
}

export class DiskRoom {
  readonly #bufferBytes: number;
  readonly #look: FreeBytes;
  #freeBytes = Infinity;
  #isShort = false;
  #looking: Promise<void> | undefined;
  #lookedAt = 0;

  constructor(writeBufferBytes: number, freeBytes: FreeBytes) {
    this.#bufferBytes = writeBufferBytes;
    this.#look = freeBytes;
  }

  get reserveBytes(): number {
    return this.#bufferBytes * RESERVE_BUFFERS;
  }

  /** As of the last look. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Events are refused. */
  get isShort(): boolean {
    return this.#isShort;
  }

  get isBrimming(): boolean {
    return this.#freeBytes < this.#bufferBytes * BRIM_BUFFERS;
  }

  /** What has to be given back for events to be taken without care. */
  get wantedBytes(): number {
    return Math.max(0, this.reserveBytes * ROOMY - this.#freeBytes);
  }

  /** `position`: bytes that commits have brought so far. */
  landed(position: number): void {
    if (position - this.#lookedAt < this.#bufferBytes * LOOK_BUFFERS) return;
    this.#lookedAt = position;
    void this.look();
  }

  /** Never rejects. */
  look(): Promise<void> {
    return (this.#looking ??= this.#look().then((bytes) => {
      this.#looking = undefined;
      this.#freeBytes = bytes;
      this.#isShort = bytes < this.reserveBytes * (this.#isShort ? ROOMY : 1);
    }));
  }
}

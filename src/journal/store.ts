/**
 * The store's door: what the journal needs of an ordered key-value store, and LevelDB behind it. An abstract-level
 * database with `buffer` keys and values fits as it is; the suite in test/contracts/store.ts says what it must keep.
 */
import { copyFile, link, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { storeCode } from "../store-error.ts";

export type Operation =
  | { readonly type: "put"; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: "del"; readonly key: Buffer };

export interface Rows<T> {
  nextv(size: number): Promise<T[]>;
  close(): Promise<void>;
}

export interface Walk {
  readonly gte: Buffer;
  readonly lt: Buffer;
  readonly reverse?: boolean;
  /** At most so many rows; -1: all. */
  readonly limit?: number;
  /** False: values are left out, and come as undefined. */
  readonly values?: boolean;
  /** Bytes that one nextv() may bring, about. */
  readonly highWaterMarkBytes?: number;
  readonly fillCache?: boolean;
}

export interface Store {
  batch(operations: Operation[], options: { sync: boolean }): Promise<void>;
  get(key: Buffer): Promise<Buffer | undefined>;
  getMany(keys: Buffer[]): Promise<(Buffer | undefined)[]>;
  iterator(walk: Walk): Rows<[Buffer, Buffer]>;
  keys(walk: Walk): Rows<Buffer>;
  /** Gives the disk space of deleted rows back. */
  compactRange(start: Buffer, end: Buffer): Promise<void>;
  close(): Promise<void>;
}

export interface StoreFactory {
  /** Creates it where there is none. Rejects with an error whose `code` or cause's `code` is LEVEL_LOCKED when it is in use. */
  open(path: string): Promise<Store>;
  /** Makes what is readable readable again, when opening fails. */
  repair(path: string): Promise<void>;
}

export interface LevelLimits {
  readonly writeBufferBytes: number;
  readonly cacheBytes: number;
}

interface Repairable {
  repair(path: string): Promise<void>;
}

/** The least that LevelDB lets itself be limited to. */
const OPEN_FILES_MIN = 74;

export function levelStore(limits: LevelLimits): StoreFactory {
  return {
    async open(path) {
      const level = new Level<Buffer, Buffer>(path, {
        keyEncoding: "buffer",
        valueEncoding: "buffer",
        // Payloads of telemetry are short and of all kinds: compressing costs more time than it saves space.
        compression: false,
        writeBufferSize: limits.writeBufferBytes,
        cacheSize: limits.cacheBytes,
        // LevelDB maps open tables into memory: few and small ones, or a long backlog that is worked off shows as ours.
        maxFileSize: 1024 * 1024,
        maxOpenFiles: OPEN_FILES_MIN,
        blockSize: 16 * 1024,
      });
      await level.open();
      return level as unknown as Store;
    },
    repair: (path) => (Level as unknown as Repairable).repair(path),
  };
}

/**
 * Rejects with LEVEL_LOCKED when somebody has the store open. LevelDB takes the lock before it looks at anything else, and
 * is asked for something that it then refuses to do with a store that is there.
 */
export async function assertFree(path: string): Promise<void> {
  const level = new Level<Buffer, Buffer>(path, { createIfMissing: false, errorIfExists: true });
  try {
    await level.open();
    await level.close();
  } catch (error) {
    if (storeCode(error) === "LEVEL_LOCKED") throw error;
  }
}

/**
 * A second set of names for a store's files. LevelDB never changes a table once it is written, nor a log or manifest
 * that it has read: what a bad manifest makes it delete at opening is still there under these names.
 */
export async function shadow(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true }).catch(() => [])) {
    const { name } = entry;
    if (!entry.isFile() || name === "LOCK" || name.startsWith("LOG")) continue;
    const [source, target] = [join(from, name), join(to, name)];
    await link(source, target).catch(() => copyFile(source, target));
  }
}

/** Moves the folder at `path` aside, under a name made from that of `store`, and returns where to. */
export async function setAside(path: string, timeMs: number, store = path): Promise<string> {
  const stamp = new Date(timeMs).toISOString().replaceAll(/[-:]/g, "").replace(/\..*/, "Z");
  for (let attempt = 0; ; attempt++) {
    const aside = `${store}.damaged-${stamp}${attempt === 0 ? "" : `-${attempt}`}`;
    if ((await readdir(aside).catch(() => undefined)) !== undefined) continue;
    await rename(path, aside);
    return aside;
  }
}

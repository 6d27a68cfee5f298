/**
 * The broker's own store, a LevelDB of its own at <data>/broker: sessions, their filters and queues, retained messages
 * and wills. Not the journal: what is acknowledged to a device as an event never rests on this.
 *
 * S1  Writes are behind: they take effect in memory at once and go to disk in batches, in order, one at a time. `synced`
 *     resolves when all that came before it is fsynced; a SUBACK waits for that, messages of devices do not.
 * S2  After a failed write the database is closed and opened again before the same batch is written once more
 *     (LevelDB 1.20 loses acknowledged writes otherwise); meanwhile writes collect, and `isBehind` tells local delivery
 *     to wait.
 * S3  Each value carries a CRC of itself and its key: LevelDB does not look. A damaged record is left out, logged and
 *     counted; a damaged database is copied aside before it is repaired, and never deleted (database.ts).
 */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Log } from "../log.ts";
import { backoffMs, sleep } from "../time.ts";
import { openDatabase, storeFault } from "./database.ts";
import type { Database } from "./database.ts";
import type { BrokerFigures } from "./figures.ts";

const BEHIND_BYTES = 16 * 1024 * 1024;
const CRC_BYTES = 4;
const BACKOFF = { firstMs: 100, maxMs: 5000 };
/** A row's own cost in memory while it waits. */
const ROW_BYTES = 64;

type Rows = Map<string, Buffer | undefined>;

export class Store {
  readonly #log: Log;
  readonly #figures: BrokerFigures;
  #db: Database;
  /** Not yet given to the database; undefined deletes. */
  #staged: Rows = new Map();
  #stagedBytes = 0;
  /** Being written. */
  #writing: Rows = new Map();
  /** Something was written, and not synced since. */
  #isUnsynced = false;
  #waiters: ((isOnDisk: boolean) => void)[] = [];
  #loop: Promise<void> | undefined;
  readonly #closing = new AbortController();

  private constructor(db: Database, log: Log, figures: BrokerFigures) {
    this.#db = db;
    this.#log = log;
    this.#figures = figures;
  }

  /** Throws BROKER_STORE_FAILED when the folder cannot be used at all. */
  static async open(data: string, log: Log, figures: BrokerFigures): Promise<Store> {
    return new Store(await openDatabase(join(data, "broker"), log), log, figures);
  }

  /** Too much waits for the disk. */
  get isBehind(): boolean {
    return this.#stagedBytes > BEHIND_BYTES;
  }

  put(key: string, value: Buffer): void {
    const row = Buffer.allocUnsafe(value.length + CRC_BYTES);
    value.copy(row, 0);
    row.writeUInt32BE(checksum(key, value), value.length);
    this.#stage(key, row);
  }

  del(key: string): void {
    this.#stage(key, undefined);
  }

  /** S1. At once when nothing waits for the disk. False: the store closed first. */
  synced(): Promise<boolean> {
    if (this.#staged.size === 0 && this.#writing.size === 0 && !this.#isUnsynced) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#start();
    });
  }

  /** The value as it was last put; undefined when it is not there, or damaged. */
  async get(key: string): Promise<Buffer | undefined> {
    const row = this.#staged.has(key)
      ? this.#staged.get(key)
      : this.#writing.has(key)
        ? this.#writing.get(key)
        : await this.#db.get(key);
    return row === undefined ? undefined : this.#checked(key, row);
  }

  /** All rows, for start-up. */
  async *rows(prefix: string): AsyncGenerator<[key: string, value: Buffer]> {
    for await (const [key, row] of this.#db.iterator({ gte: prefix, lt: `${prefix}\u{10FFFF}` })) {
      const value = this.#checked(key, row);
      if (value !== undefined) yield [key, value];
    }
  }

  async *keys(prefix: string): AsyncGenerator<string> {
    yield* this.#db.keys({ gte: prefix, lt: `${prefix}\u{10FFFF}` });
  }

  /** Writes what is staged, unless the disk keeps failing until `deadlineMs` from now. */
  async close(deadlineMs: number): Promise<void> {
    const timer = setTimeout(() => this.#closing.abort(), deadlineMs);
    await this.synced();
    this.#closing.abort();
    clearTimeout(timer);
    await this.#loop;
    await this.#db.close();
  }

  #stage(key: string, row: Buffer | undefined): void {
    this.#staged.set(key, row);
    this.#stagedBytes += ROW_BYTES + (row?.length ?? 0);
    this.#start();
  }

  #start(): void {
    this.#loop ??= this.#run();
  }

  async #run(): Promise<void> {
    // What the same turn of the event loop stages shares the batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while ((this.#staged.size > 0 || this.#waiters.length > 0) && !this.#closing.signal.aborted) {
      const waiters = this.#waiters.splice(0);
      const bytes = this.#stagedBytes;
      this.#writing = this.#staged;
      this.#staged = new Map();
      this.#isUnsynced = true;
      const isOnDisk = await this.#write(waiters.length > 0);
      if (isOnDisk && waiters.length > 0) this.#isUnsynced = false;
      this.#writing = new Map();
      this.#stagedBytes -= bytes;
      for (const resolve of waiters) resolve(isOnDisk);
    }
    for (const resolve of this.#waiters.splice(0)) resolve(false);
    this.#loop = undefined;
  }

  /** Until it has worked (S2); false: the store closes and it has not. */
  async #write(sync: boolean): Promise<boolean> {
    const batch = [...this.#writing].map(([key, value]) =>
      value === undefined ? ({ type: "del", key } as const) : ({ type: "put", key, value } as const),
    );
    for (let attempt = 1; !this.#closing.signal.aborted; attempt++) {
      try {
        if (this.#db.status !== "open") await this.#db.open();
        // An empty synced batch still fsyncs what went before it without.
        await this.#db.batch(batch.length > 0 ? batch : [{ type: "del", key: "none" }], { sync });
        return true;
      } catch (error) {
        this.#figures.storeFailures++;
        if (attempt === 1)
          this.#log.error(
            { fault: storeFault(this.#db.location, error) },
            "cannot write to the broker's store, trying on",
          );
        await this.#db.close().catch(() => {});
        await sleep(backoffMs(BACKOFF, attempt, Math.random), this.#closing.signal).catch(() => {});
      }
    }
    return false;
  }

  #checked(key: string, row: Buffer): Buffer | undefined {
    const end = row.length - CRC_BYTES;
    const value = row.subarray(0, Math.max(0, end));
    if (end >= 0 && checksum(key, value) === row.readUInt32BE(end)) return value;
    this.#figures.storeDamaged++;
    this.#log.error({ key }, "a record of the broker's store is damaged and left out");
    return undefined;
  }
}

/** Of the key as well: one that is damaged would be another row's. */
function checksum(key: string, value: Buffer): number {
  return crc32(value, crc32(key));
}

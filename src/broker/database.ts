/**
 * Opening the broker's database whatever state its files are in. What cannot be opened and read to the end is copied aside
 * first, so that no byte is lost. What can be read from end to end is written anew, row by row; else LevelDB repairs what it
 * can, and where it cannot, the store starts anew.
 */
import { cp, rename, rm } from "node:fs/promises";
import { Level } from "level";
import { Fault } from "../fault.ts";
import type { Log } from "../log.ts";
import { deepest, isDamage } from "../store-error.ts";

export type Database = Level<string, Buffer>;

/** Throws BROKER_STORE_FAILED when the folder cannot be used at all. */
export async function openDatabase(path: string, log: Log): Promise<Database> {
  try {
    return await openSound(path);
  } catch (error) {
    if (!isDamage(error)) throw storeFault(path, error);
    return await mend(path, error, log).catch((cause: unknown) => {
      throw storeFault(path, cause);
    });
  }
}

async function openLevel(path: string): Promise<Database> {
  const db = new Level<string, Buffer>(path, { keyEncoding: "utf8", valueEncoding: "buffer" });
  await db.open();
  return db;
}

export function storeFault(path: string, cause: unknown): Fault {
  return new Fault("BROKER_STORE_FAILED", `the broker's store: ${deepest(cause)}`, { where: path, cause });
}

/** Rows that are looked for together. */
const CHUNK_ROWS = 1000;

/**
 * LevelDB finds a damaged table only when it is read; start-up would end in the middle of it. Read both ways: from end to
 * end, and row by row, for what leads to a row may be damaged where the rows are not.
 */
async function openSound(path: string): Promise<Database> {
  const db = await openLevel(path);
  try {
    let keys: string[] = [];
    let last = Buffer.alloc(0);
    for await (const [key] of db.iterator()) {
      const bytes = Buffer.from(key);
      // LevelDB ends the process when it merges a table whose keys are out of order.
      if (bytes.compare(last) <= 0 && last.length > 0) throw outOfOrder();
      last = bytes;
      if (keys.push(key) < CHUNK_ROWS) continue;
      await db.getMany(keys);
      keys = [];
    }
    await db.getMany(keys);
    return db;
  } catch (error) {
    await db.close();
    throw error;
  }
}

async function mend(path: string, error: unknown, log: Log): Promise<Database> {
  const aside = `${path}.damaged-${Date.now()}`;
  log.error({ path, aside, err: error }, "the broker's store is damaged: it is copied aside and repaired");
  await cp(path, aside, { recursive: true });
  try {
    return await rewrite(path).catch(async (again: unknown) => {
      if (!isDamage(again)) throw again;
      await (Level as unknown as { repair(path: string): Promise<void> }).repair(path);
      return await openSound(path);
    });
  } catch (err) {
    log.error({ path, aside, err }, "the broker's store is beyond repair: sessions and retained messages start anew");
    await rm(path, { recursive: true });
    return await openLevel(path);
  }
}

function outOfOrder(): Error {
  return Object.assign(new Error("keys of the store are out of order"), { code: "LEVEL_CORRUPTION" });
}

/** All that can be read from end to end, in tables of its own. */
async function rewrite(path: string): Promise<Database> {
  const rewritten = `${path}.rewritten`;
  await rm(rewritten, { recursive: true, force: true });
  const from = await openLevel(path);
  const to = await openLevel(rewritten);
  try {
    let rows: { type: "put"; key: string; value: Buffer }[] = [];
    for await (const [key, value] of from.iterator()) {
      if (rows.push({ type: "put", key, value }) < CHUNK_ROWS) continue;
      await to.batch(rows);
      rows = [];
    }
    await to.batch(rows, { sync: true });
  } finally {
    await Promise.all([from.close(), to.close()]);
  }
  await rm(path, { recursive: true });
  await rename(rewritten, path);
  return await openSound(path);
}

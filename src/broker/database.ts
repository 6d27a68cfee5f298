/**
 * Opening the broker's database whatever state its files are in. What cannot be opened and read to the end is copied aside
 * first, so that no byte is lost; then LevelDB repairs what it can, and where it cannot, the store starts anew.
 */
import { cp, rm } from "node:fs/promises";
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

/** LevelDB finds a damaged table only when it is read; start-up would end in the middle of it. */
async function openSound(path: string): Promise<Database> {
  const db = await openLevel(path);
  try {
    for await (const _row of db.iterator()) continue;
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
    await (Level as unknown as { repair(path: string): Promise<void> }).repair(path);
    return await openSound(path);
  } catch (err) {
    log.error({ path, aside, err }, "the broker's store is beyond repair: sessions and retained messages start anew");
    await rm(path, { recursive: true });
    return await openLevel(path);
  }
}

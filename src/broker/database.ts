/**
 * Opening the broker's database whatever state its files are in. What cannot be opened and read to the end is copied aside
 * first, so that no byte is lost. What can be read from either end is written anew, row by row. Where it cannot be opened,
 * LevelDB repairs what it can; not otherwise, for it ends the process over keys that are out of order. And where nothing
 * helps, the store starts anew.
 */
import { existsSync } from "node:fs";
import { cp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { Fault } from "../fault.ts";
import type { Log } from "../log.ts";
import { deepest, isDamage } from "../store-error.ts";
import { closeOff, damageOf } from "../level-table.ts";
import type { TableDamage } from "../level-table.ts";

export type Database = Level<string, Buffer>;

/** Throws BROKER_STORE_FAILED when the folder cannot be used at all. */
export async function openDatabase(path: string, log: Log): Promise<Database> {
  try {
    await finishRewrite(path);
    return await openSound(path);
  } catch (error) {
    if (!isDamage(error)) throw storeFault(path, error);
    return await mend(path, error, log).catch((cause: unknown) => {
      throw storeFault(path, cause);
    });
  }
}

async function openLevel(path: string): Promise<Database> {
  const db = new Level<string, Buffer>(path, {
    keyEncoding: "utf8",
    valueEncoding: "buffer",
    // So that tables can be checked without unpacking them.
    compression: false,
  });
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
  if ((await damagedTables(path)).length > 0) throw damage("a table's checksums are wrong");
  const db = await openLevel(path);
  try {
    let keys: string[] = [];
    let last = Buffer.alloc(0);
    const prefixes = new Set<string>(["\u{10FFFF}"]);
    for await (const [key] of db.iterator()) {
      const bytes = Buffer.from(key);
      // LevelDB ends the process when it merges a table whose keys are out of order.
      if (bytes.compare(last) <= 0 && last.length > 0) throw damage("keys are out of order");
      last = bytes;
      prefixes.add(key.slice(0, 1));
      if (keys.push(key) < CHUNK_ROWS) continue;
      await db.getMany(keys);
      keys = [];
    }
    await db.getMany(keys);
    for (const prefix of prefixes) await db.keys({ gte: prefix, limit: 1 }).all();
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
    const damaged = await damagedTables(path);
    const lost = damaged.filter((each) => each.damage === "index");
    for (const { table } of damaged.filter((each) => each.damage === "rows")) await keepOut(table);
    for (const { table } of lost) await rm(table);
    if (lost.length > 0) await repair(path);
    return await rewrite(path).catch(async (again: unknown) => {
      if (!isDamage(again)) throw again;
      await repair(path);
      return await openSound(path);
    });
  } catch (err) {
    log.error({ path, aside, err }, "the broker's store is beyond repair: sessions and retained messages start anew");
    await rm(path, { recursive: true });
    return await openLevel(path);
  }
}

function damage(what: string): Error {
  return Object.assign(new Error(what), { code: "LEVEL_CORRUPTION" });
}

async function damagedTables(path: string): Promise<{ table: string; damage: TableDamage }[]> {
  const names: readonly string[] = await readdir(path).catch((): string[] => []);
  const tables = names.filter((name) => name.endsWith(".ldb")).map((name) => join(path, name));
  const found: { table: string; damage: TableDamage }[] = [];
  for (const table of tables) found.push({ table, damage: damageOf(await readFile(table)) });
  return found.filter((each) => each.damage !== "none");
}

/** What would end the process is out of LevelDB's reach then, and its rows are lost. */
async function keepOut(table: string): Promise<void> {
  const file = await readFile(table);
  if (closeOff(file)) await writeFile(table, file);
}

/** All that can be read from either end, in tables of its own. */
async function rewrite(path: string): Promise<Database> {
  const rewritten = `${path}.rewritten`;
  await rm(rewritten, { recursive: true, force: true });
  const from = await openLevel(path);
  const to = await openLevel(rewritten);
  try {
    if (!(await copied(from, to, false))) await copied(from, to, true);
    await to.batch([{ type: "del", key: "none" }], { sync: true });
  } finally {
    await Promise.all([from.close(), to.close()]);
  }
  // Whatever instant the process dies at, one of the two is whole and found (finishRewrite).
  const old = `${path}.old`;
  await rm(old, { recursive: true, force: true });
  await rename(path, old);
  await rename(rewritten, path);
  await rm(old, { recursive: true });
  return await openSound(path);
}

/** The process died between two renames: the new store is whole, and the old one out of the way. */
async function finishRewrite(path: string): Promise<void> {
  if (existsSync(path) || !existsSync(`${path}.rewritten`)) return;
  await rename(`${path}.rewritten`, path);
}

/** False when it met damage: what lies behind can be reached from the other end only. */
async function copied(from: Database, to: Database, reverse: boolean): Promise<boolean> {
  let rows: { type: "put"; key: string; value: Buffer }[] = [];
  let isWhole = true;
  try {
    for await (const [key, value] of from.iterator({ reverse })) {
      if (rows.push({ type: "put", key, value }) < CHUNK_ROWS) continue;
      await to.batch(rows);
      rows = [];
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    isWhole = false;
  }
  if (rows.length > 0) await to.batch(rows);
  return isWhole;
}

function repair(path: string): Promise<void> {
  return (Level as unknown as { repair(path: string): Promise<void> }).repair(path);
}

/**
 * Opening the store so that nothing is lost that can be had, and nothing that is lost goes unseen.
 *
 * 1. Tables are looked at, and damaged ones mended (tables.ts): LevelDB would end the process over some.
 * 2. The files get second names (store.ts, shadow): a damaged manifest makes LevelDB delete tables as it opens.
 * 3. The books are read and held against the witness (mark.ts). If nothing is missing, that is all.
 * 4. Otherwise the files as they were are kept aside, a repair is tried on a copy, and whichever of the two misses fewer
 *    commits is carried on with. What is missing all the same is reported. Not where tables were mended: what they have
 *    lost no repair finds.
 */
import { readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import { missingCommits, readBooks } from "./books.ts";
import type { Books } from "./books.ts";
import type { Damage } from "./damage.ts";
import { Disk } from "./disk.ts";
import { keys } from "./keys.ts";
import { readNotes, tell } from "./lost.ts";
import type { LostNote } from "./lost.ts";
import { deepest, storeCode } from "../store-error.ts";
import { assertFree, setAside, shadow } from "./store.ts";
import type { Store, StoreFactory } from "./store.ts";
import { beginRun, hasRunMark, mendTables } from "./tables.ts";

/** Damaged stores kept aside; the oldest go. */
const ASIDE_MAX = 3;

/** Nothing is wrong with the files: the box does not let us. */
const BOX = /no space|permission denied|read-only|too many open|no file descriptors|memory/i;

export interface RecoveryDoors {
  readonly path: string;
  readonly factory: StoreFactory;
  readonly damage: Damage;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Opened {
  readonly disk: Disk;
  readonly books: Books;
  /** Whether rows may be gone or have come back, so that the books must be held against them. */
  readonly sound: boolean;
  /** What tables have lost that were mended, now or before a start that was never finished. */
  readonly notes: readonly LostNote[];
}

interface Candidate {
  readonly disk: Disk;
  readonly books: Books;
}

/** `witnessed`: the last commit that the mark knows of, or 0. */
export async function openStore(doors: RecoveryDoors, witnessed: number): Promise<Opened> {
  const { path, factory, damage, log } = doors;
  await look(doors);
  const notes = await readNotes(path);
  tell(damage, notes);
  const isLossy = notes.some(({ lost }) => lost.length > 0);
  const shadowPath = `${path}.shadow`;
  const shadowed = await shadow(path, shadowPath).then(
    () => true,
    (error: unknown) => {
      log.warn({ reason: messageOf(error) }, "the journal's files could not be given second names");
      return false;
    },
  );
  let plain: Candidate | undefined;
  try {
    plain = await candidate(await factory.open(path), witnessed);
  } catch (error) {
    if (storeCode(error) === "LEVEL_LOCKED") {
      await rm(shadowPath, { recursive: true, force: true });
      throw locked(dirname(path), error);
    }
    if (error instanceof Fault) throw error;
    if (BOX.test(deepest(error))) {
      await rm(shadowPath, { recursive: true, force: true });
      throw unopenable(path, error);
    }
    const code = storeCode(error);
    if (code !== "LEVEL_CORRUPTION" && code !== "LEVEL_IO_ERROR" && !shadowed) throw unopenable(path, error);
    damage.report({ where: "store", from: -1, to: -1, what: deepest(error) });
  }
  if (plain !== undefined && isWhole(plain.books)) {
    await rm(shadowPath, { recursive: true, force: true });
    return { disk: plain.disk, books: plain.books, sound: !isLossy, notes };
  }

  const isRepairOfUse = plain === undefined || !isLossy;
  if (!isRepairOfUse) await rm(shadowPath, { recursive: true, force: true });
  const aside = shadowed && isRepairOfUse ? await keepAside(doors, shadowPath) : undefined;
  const repaired = aside === undefined ? undefined : await repair(doors, aside, witnessed);
  const chosen = await choose(doors, plain, repaired);
  if (chosen === undefined) throw unopenable(path, new Error("neither opening nor repairing it worked"));
  const { books } = chosen;
  for (const report of books.reports) damage.report(report);
  for (const { from, to } of books.missing) {
    damage.report({ where: "commits", from, to, what: "commits are missing: what they changed may be undone" });
  }
  log.warn({ aside, repaired: chosen === repaired }, "the journal goes on with what is readable");
  return { disk: chosen.disk, books, sound: false, notes };
}

/** Before LevelDB is let into the tables. */
async function look(doors: RecoveryDoors): Promise<void> {
  const { path, log } = doors;
  try {
    // Marks of a run that goes on are not this one's to change.
    if (await hasRunMark(path)) await assertFree(path);
    await mendTables(doors);
  } catch (error) {
    if (storeCode(error) === "LEVEL_LOCKED") throw locked(dirname(path), error);
    log.warn({ reason: messageOf(error) }, "the journal's tables could not be looked at, or not be mended");
  }
  // Also of what was set aside by a mending that then failed, over and over perhaps.
  await forget(doors).catch(() => undefined);
  // Without it a damaged table that ends the process is found a few starts later.
  await beginRun(path).catch(() => undefined);
}

/** Makes a store that no longer opens, or merges, do so again, while the gateway runs. */
export async function repairStore(doors: RecoveryDoors): Promise<Store> {
  if ((await mendTables(doors, true)) > 0) {
    // What is in memory is right. What the rows say is looked at by the next start: the notes stay.
    tell(doors.damage, await readNotes(doors.path));
    return await doors.factory.open(doors.path);
  }
  const aside = await setAside(doors.path, doors.clock.now());
  await forget(doors);
  await shadow(aside, doors.path);
  await doors.factory.repair(doors.path);
  const store = await doors.factory.open(doors.path);
  await mergeSmallRows(store);
  doors.damage.report({
    where: "store",
    from: -1,
    to: -1,
    what: `the store was repaired; as it was it is kept in ${aside}`,
  });
  return store;
}

function isWhole(books: Books): boolean {
  return books.missing.length === 0 && books.reports.length === 0;
}

async function candidate(store: Store, witnessed: number): Promise<Candidate> {
  const disk = new Disk(store);
  try {
    return { disk, books: await readBooks(disk, witnessed) };
  } catch (error) {
    await disk.close().catch(() => undefined);
    throw error;
  }
}

async function repair(doors: RecoveryDoors, aside: string, witnessed: number): Promise<Candidate | undefined> {
  const path = repairPath(doors);
  try {
    await shadow(aside, path);
    await doors.factory.repair(path);
    const store = await doors.factory.open(path);
    await mergeSmallRows(store);
    return await candidate(store, witnessed);
  } catch (error) {
    if (error instanceof Fault) throw error;
    doors.log.warn({ reason: deepest(error) }, "the journal could not be repaired");
    return undefined;
  }
}

/** A repaired LevelDB finds old values of single rows before new ones until its tables have been merged. */
function mergeSmallRows(store: Store): Promise<void> {
  const { gte, lt } = keys.smallRows();
  return store.compactRange(gte, lt);
}

async function choose(
  doors: RecoveryDoors,
  plain: Candidate | undefined,
  repaired: Candidate | undefined,
): Promise<Candidate | undefined> {
  const path = repairPath(doors);
  const better = repaired !== undefined && (plain === undefined || isBetter(repaired.books, plain.books));
  if (!better) {
    await repaired?.disk.close();
    await rm(path, { recursive: true, force: true });
    return plain;
  }
  await plain?.disk.close();
  await repaired.disk.take();
  await rm(doors.path, { recursive: true, force: true });
  await rename(path, doors.path);
  await repaired.disk.give(await doors.factory.open(doors.path));
  return repaired;
}

/** Misses fewer commits; or as many, and can be read to the end. */
function isBetter(a: Books, b: Books): boolean {
  const fewer = missingCommits(b) - missingCommits(a);
  return fewer > 0 || (fewer === 0 && a.readErrors < b.readErrors);
}

async function keepAside(doors: RecoveryDoors, shadowPath: string): Promise<string> {
  const aside = await setAside(shadowPath, doors.clock.now(), doors.path);
  await forget(doors);
  return aside;
}

async function forget({ path, log }: RecoveryDoors): Promise<void> {
  const prefix = `${basename(path)}.damaged-`;
  const kept = (await readdir(dirname(path))).filter((name) => name.startsWith(prefix)).sort();
  for (const name of kept.slice(0, -ASIDE_MAX)) {
    log.warn({ folder: name }, "an older damaged journal is removed to make room for a newer one");
    await rm(join(dirname(path), name), { recursive: true, force: true });
  }
}

function repairPath({ path }: RecoveryDoors): string {
  return `${path}.repair`;
}

function locked(dataPath: string, cause: unknown): Fault {
  return new Fault("JOURNAL_LOCKED", "Another gateway is using this data folder.", { where: dataPath, cause });
}

function unopenable(path: string, cause: unknown): Fault {
  return new Fault("JOURNAL_UNOPENABLE", `The journal cannot be opened: ${deepest(cause)}`, { where: path, cause });
}

/**
 * The store's tables, looked at before LevelDB is let into them: some damage would end the process (level-table.ts), and
 * the next one's as well. A damaged table is set aside and replaced by what can be read of it (mend.ts).
 *
 * Looking costs what reading the tables costs. So it ends after a while, and begins next time with those that it did not
 * come to (decision 13); but when the last run did not end well, and soon, what ended it may lie in a table, and all are
 * looked at.
 *
 * A process can die anywhere in between: what is lost is noted before a table is replaced (lost.ts), and replacing it is one
 * rename.
 */
import { access, link, copyFile, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { damageOf, footerOf } from "../level-table.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import { keys } from "./keys.ts";
import { note } from "./lost.ts";
import { liveTables } from "./manifest.ts";
import type { LiveTable } from "./manifest.ts";
import { mend } from "./mend.ts";
import type { Verdict } from "./mend.ts";
import { page } from "./page.ts";
import { isSealed } from "./seal.ts";
import { assertFree, setAside } from "./store.ts";

export interface TableDoors {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Time to look at tables at a start; two gigabytes on a disk that reads as fast. */
const LOOK_MS = 2000;
/** So much of a key is told. */
const NAME_BYTES_MAX = 32;
/** A run that was shorter than this may have ended because of a table. */
const SHORT_RUN_MS = 60_000;

/**
 * Mends what is damaged and returns how many tables that were.
 *
 * @throws LEVEL_LOCKED when another process has the store open and something looks damaged: its tables are being written.
 */
export async function mendTables(doors: TableDoors, all = false): Promise<number> {
  const { path, clock, log } = doors;
  const live = (await liveTables(path)) ?? (await tablesThere(path));
  if (live.size === 0) return 0;
  const looked = await lastLooks(path);
  const tables = [...live.values()].sort((a, b) => (looked.get(a.number) ?? 0) - (looked.get(b.number) ?? 0));
  const untilMs = all || (await brokeOffSoon(path)) ? Infinity : clock.monotonic() + LOOK_MS;
  const damaged: LiveTable[] = [];
  const looks: [number, number][] = [];
  const read = reader(path);
  let coming = read(tables[0]);
  for (const [i, table] of tables.entries()) {
    const inTime = clock.monotonic() < untilMs;
    if (inTime) {
      const file = await coming;
      // The disk reads the next one meanwhile.
      coming = read(tables[i + 1]);
      if (file !== undefined && !isWell(file, table)) damaged.push(table);
    }
    looks.push([table.number, inTime ? Date.now() : (looked.get(table.number) ?? 0)]);
  }
  await coming;
  if (clock.monotonic() >= untilMs) log.info({ tables: tables.length }, "not all tables were looked at at this start");
  if (damaged.length > 0) await replace(doors, damaged);
  // Without it the next start begins anywhere.
  await writeFile(looksPath(path), JSON.stringify(looks)).catch(() => undefined);
  return damaged.length;
}

/**
 * Reads tables into two places that take turns, as large as the largest: fresh memory for each would take as long as reading
 * it. A table that is not there, or cannot be read, is LevelDB's to miss.
 */
function reader(path: string): (table: LiveTable | undefined) => Promise<Buffer | undefined> {
  let [into, other] = [Buffer.alloc(0), Buffer.alloc(0)];
  return async (table) => {
    if (table === undefined) return undefined;
    try {
      await using file = await open(tablePath(path, table.number));
      const { size } = await file.stat();
      [into, other] = [other, into];
      if (into.length < size) into = Buffer.allocUnsafeSlow(size);
      const { bytesRead } = await file.read(into, 0, size, 0);
      return into.subarray(0, bytesRead);
    } catch {
      return undefined;
    }
  };
}

function isWell(file: Buffer, { bytes }: LiveTable): boolean {
  return file.length === bytes && footerOf(file) !== undefined && damageOf(file) === "none";
}

async function replace(doors: TableDoors, damaged: readonly LiveTable[]): Promise<void> {
  const { path, clock, log } = doors;
  await assertFree(path);
  const linked = `${path}.aside`;
  await rm(linked, { recursive: true, force: true });
  await mkdir(linked);
  for (const { number } of damaged) {
    const [from, to] = [tablePath(path, number), tablePath(linked, number)];
    await link(from, to).catch(() => copyFile(from, to));
  }
  const aside = await setAside(linked, clock.now(), path);
  for (const table of damaged) {
    const at = tablePath(path, table.number);
    const { bytes, lost } = mend(await readFile(at), table, judge);
    const ranges = lost.map(({ from, to }) => `${nameOf(from)} to ${nameOf(to)}`).join(", ");
    const without = ranges === "" ? "nothing is lost" : `rows may be lost from ${ranges}`;
    const what = `table ${table.number} was damaged and is mended, ${without}; as it was it is kept in ${aside}`;
    log.warn(
      { table: at, aside, ranges: lost.length },
      "a table of the journal is damaged: it is set aside and mended",
    );
    await note(path, { what, lost });
    const fresh = `${path}.mended`;
    const file = await open(fresh, "w");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, at);
  }
}

/** A page has no older one beneath it, and its key says how large it is: a wrong one would only be counted. */
function judge(key: Buffer, value: Buffer): Verdict {
  if (!keys.isPage(key)) return isSealed(key, value) ? "sound" : "damaged";
  const parsed = keys.pageKey(key);
  return parsed !== undefined && page.isSound(parsed, value) ? "sound" : "useless";
}

/** Where the manifest says nothing: all that are finished. */
async function tablesThere(path: string): Promise<Map<number, LiveTable>> {
  const tables = new Map<number, LiveTable>();
  const [smallest, largest] = [Buffer.alloc(9), Buffer.alloc(9, 0xff)];
  for (const name of await readdir(path).catch(() => [])) {
    const number = /^(\d+)\.ldb$/.exec(name)?.[1];
    if (number === undefined) continue;
    const file = await readFile(join(path, name));
    if (footerOf(file) === undefined) continue;
    tables.set(Number(number), { number: Number(number), bytes: file.length, smallest, largest });
  }
  return tables;
}

function nameOf(key: Buffer): string {
  return key.subarray(0, NAME_BYTES_MAX).toString("hex");
}

function tablePath(path: string, number: number): string {
  return join(path, `${String(number).padStart(6, "0")}.ldb`);
}

function looksPath(path: string): string {
  return `${path}.looks`;
}

/** When each table was last looked at. */
async function lastLooks(path: string): Promise<Map<number, number>> {
  try {
    const looks: unknown = JSON.parse(await readFile(looksPath(path), "utf8"));
    if (!Array.isArray(looks)) return new Map();
    return new Map(looks.filter((look): look is [number, number] => Array.isArray(look) && look.length === 2));
  } catch {
    return new Map();
  }
}

/** Called before LevelDB is let in. */
export async function beginRun(path: string): Promise<void> {
  await writeFile(runPath(path), "");
}

/** Whether a run has begun and not ended: it goes on, or broke off. */
export async function hasRunMark(path: string): Promise<boolean> {
  return access(runPath(path)).then(
    () => true,
    () => false,
  );
}

/** Called when it has let go of the store. */
export async function endRun(path: string): Promise<void> {
  await rm(runPath(path), { force: true });
}

/** There from the one to the other. */
function runPath(path: string): string {
  return `${path}.run`;
}

/** Whether the last run did not end by itself, soon after its start: its last sign is the mark of a commit. */
async function brokeOffSoon(path: string): Promise<boolean> {
  const start = await stat(runPath(path)).catch(() => undefined);
  if (start === undefined) return false;
  const sign = await stat(join(dirname(path), "journal.mark")).catch(() => undefined);
  return sign === undefined || sign.mtimeMs - start.mtimeMs < SHORT_RUN_MS;
}

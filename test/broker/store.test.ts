import { cp, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Level } from "level";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { zeroFigures } from "#src/broker/figures.ts";
import { Store } from "#src/broker/store.ts";
import { blockAt, endOfRows, footerOf, handleOf, rowAt, rowsOf } from "#src/level-table.ts";

let data: string;
let lines: string[];
const log = pino({ level: "info", base: undefined }, { write: (line: string) => void lines.push(line) });

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), "sluice-store-"));
  lines = [];
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(data, { recursive: true, force: true });
});

async function all(store: Store): Promise<Record<string, string>> {
  const rows: Record<string, string> = {};
  for await (const [key, value] of store.rows("k")) rows[key] = value.toString();
  return rows;
}

it("what was put is read at once, and is there after a restart (S1)", async () => {
  const store = await Store.open(data, log, zeroFigures());
  store.put("k1", Buffer.from("one"));
  store.put("k2", Buffer.from("two"));
  store.put("k1", Buffer.from("one again"));
  store.del("k2");
  expect((await store.get("k1"))?.toString()).toBe("one again");
  expect(await store.get("k2")).toBeUndefined();
  await store.synced();
  expect((await store.get("k1"))?.toString()).toBe("one again");
  store.put("k3", Buffer.from("last words"));
  await store.close(1000);
  const again = await Store.open(data, log, zeroFigures());
  expect(await all(again)).toEqual({ k1: "one again", k3: "last words" });
  await again.close(1000);
});

it("a write that fails is tried again on a store opened anew, and nothing is lost (S2)", async () => {
  const figures = zeroFigures();
  const store = await Store.open(data, log, figures);
  const batch = vi
    .spyOn(Level.prototype, "batch")
    .mockRejectedValueOnce(new Error("no space left on device"))
    .mockRejectedValueOnce(new Error("still none"));
  const reopened = vi.spyOn(Level.prototype, "open");
  store.put("k1", Buffer.from("one"));
  const synced = store.synced();
  store.put("k2", Buffer.from("two"));
  expect((await store.get("k1"))?.toString()).toBe("one");
  await synced;
  expect(batch).toHaveBeenCalledTimes(3);
  expect(reopened).toHaveBeenCalledTimes(2);
  expect(figures.storeFailures).toBe(2);
  expect(lines.filter((line) => line.includes("BROKER_STORE_FAILED"))).toHaveLength(1);
  await store.close(1000);
  const again = await Store.open(data, log, zeroFigures());
  expect(await all(again)).toEqual({ k1: "one", k2: "two" });
  await again.close(1000);
});

it("closing does not wait for ever on a disk that keeps failing, and `isBehind` tells in time", async () => {
  const store = await Store.open(data, log, zeroFigures());
  vi.spyOn(Level.prototype, "batch").mockRejectedValue(new Error("no space left on device"));
  for (let i = 0; i < 20; i++) store.put(`k${i}`, Buffer.alloc(1024 * 1024));
  expect(store.isBehind).toBe(true);
  await store.close(200);
});

it("a record that was damaged is left out, counted and logged; the others are there (S3)", async () => {
  const store = await Store.open(data, log, zeroFigures());
  store.put("k1", Buffer.from("x".repeat(200)));
  store.put("k2", Buffer.from("y".repeat(200)));
  await store.close(1000);
  const db = new Level<string, Buffer>(join(data, "broker"), { valueEncoding: "buffer" });
  const row = await db.get("k1");
  if (row === undefined) throw new Error("not there");
  row[100] = (row[100] as number) ^ 1;
  await db.put("k1", row);
  await db.close();
  const figures = zeroFigures();
  const again = await Store.open(data, log, figures);
  expect(Object.keys(await all(again))).toEqual(["k2"]);
  expect(await again.get("k1")).toBeUndefined();
  expect(figures.storeDamaged).toBe(2);
  expect(lines.some((line) => line.includes('"k1"'))).toBe(true);
  await again.close(1000);
});

it("a database that is damaged is copied aside, and what can be repaired is there again (S3)", async () => {
  const store = await Store.open(data, log, zeroFigures());
  store.put("k1", Buffer.from("one"));
  await store.close(1000);
  const folder = join(data, "broker");
  const manifest = (await readdir(folder)).find((name) => name.startsWith("MANIFEST")) as string;
  await using file = await open(join(folder, manifest), "r+");
  await file.write(Buffer.alloc(20, 0xa5), 0, 20, 0);
  const again = await Store.open(data, log, zeroFigures());
  expect(await all(again)).toEqual({ k1: "one" });
  expect((await readdir(data)).toSorted()).toEqual(["broker", expect.stringMatching(/^broker\.damaged-\d+$/)]);
  expect(lines.some((line) => line.includes("copied aside"))).toBe(true);
  await again.close(1000);
});

it("a table whose rows are well and whose way to them is damaged is written anew, and nothing is lost (S3)", async () => {
  const { names, folder, table, sound } = await withTable();
  let found = 0;
  // Bytes of rows mislead nobody; what leads to them comes after the last.
  for (let at = endOfTheRows(sound); at < sound.length && found < 3; at++) {
    const bytes = Buffer.from(sound);
    bytes[at] = (bytes[at] as number) ^ 0x10;
    await writeFile(join(folder, table), bytes);
    if (!(await misleads(folder, names))) continue;
    found++;
    const copy = await mkdtemp(join(tmpdir(), "sluice-store-bit-"));
    await cp(folder, join(copy, "broker"), { recursive: true });
    const store = await Store.open(copy, log, zeroFigures());
    expect(Object.keys(await all(store))).toEqual(names);
    for (const name of names) expect((await store.get(name))?.toString()).toBe(`value of ${name}`);
    await store.close(1000);
    await rm(copy, { recursive: true });
  }
  expect(found).toBe(3);
}, 120_000);

/** Forty rows and ten that were deleted in a table, and its bytes. */
async function withTable(): Promise<{ names: string[]; folder: string; table: string; sound: Buffer }> {
  const first = await Store.open(data, log, zeroFigures());
  const names = Array.from({ length: 40 }, (_, n) => `k${String(n).padStart(3, "0")}`);
  for (const name of names) first.put(name, Buffer.from(`value of ${name}`));
  for (let n = 0; n < 10; n++) first.del(`w${n}`);
  await first.close(1000);
  // Opening it again turns the log into a table.
  await (await Store.open(data, log, zeroFigures())).close(1000);
  const folder = join(data, "broker");
  const table = (await readdir(folder)).find((name) => name.endsWith(".ldb")) as string;
  const sound = await readFile(join(folder, table));
  return { names, folder, table, sound };
}

/** Of a table with one block of them. */
function endOfTheRows(table: Buffer): number {
  const index = footerOf(table)?.index ?? { offset: 0, size: 0 };
  const block = handleOf(rowsOf(blockAt(table, index))?.[0]?.value ?? Buffer.of(0, 0));
  return block.offset + (endOfRows(blockAt(table, block)) ?? 0);
}

/** Whether all rows are read from end to end, and one by one they are not. */
async function misleads(folder: string, names: readonly string[]): Promise<boolean> {
  const db = new Level<string, Buffer>(folder, { valueEncoding: "buffer" });
  try {
    await db.open();
    const seen: string[] = [];
    for await (const key of db.keys()) seen.push(key);
    if (seen.join() !== names.join()) return false;
    return await db.getMany([...names]).then(
      () => false,
      () => true,
    );
  } catch {
    return false;
  } finally {
    await db.close();
  }
}

it("whichever byte of a table is damaged, it opens, reads every which way, and gives nothing wrong (S3)", async () => {
  const { names, folder, table, sound } = await withTable();
  for (let at = 0; at < sound.length; at += 9) {
    const copy = await mkdtemp(join(tmpdir(), "sluice-store-bit-"));
    await cp(folder, join(copy, "broker"), { recursive: true });
    const bytes = Buffer.from(sound);
    bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
    await writeFile(join(copy, "broker", table), bytes);
    const store = await Store.open(copy, log, zeroFigures());
    const read = Object.entries(await all(store));
    for (const name of names) read.push([name, (await store.get(name))?.toString() ?? `value of ${name}`]);
    expect(read.filter(([name, value]) => value !== `value of ${name}`)).toEqual([]);
    await store.close(1000);
    await rm(copy, { recursive: true });
  }
}, 120_000);

it("a key whose length is damaged ends nothing, and the rows around it are as they were, or gone (S3)", async () => {
  const { names, folder, table, sound } = await withTable();
  // LevelDB compares keys where there is something to compare them with.
  const more = await Store.open(data, log, zeroFigures());
  more.put("x", Buffer.from("value of x"));
  await more.close(1000);
  // Two varints of a byte each: how much of its key a row shares with the one before, and how long the rest is.
  for (const at of startsOfRows(sound).filter((_, row) => [0, 17, 43].includes(row))) {
    for (let bit = 0; bit < 16; bit++) {
      const copy = await mkdtemp(join(tmpdir(), "sluice-store-bit-"));
      await cp(folder, join(copy, "broker"), { recursive: true });
      const bytes = Buffer.from(sound);
      bytes.writeUInt16LE(bytes.readUInt16LE(at) ^ (1 << bit), at);
      await writeFile(join(copy, "broker", table), bytes);
      const store = await Store.open(copy, log, zeroFigures());
      for (const [name, value] of Object.entries(await all(store))) expect(value).toBe(`value of ${name}`);
      expect((await store.get("x"))?.toString()).toBe("value of x");
      for (const name of names) expect([undefined, `value of ${name}`]).toContain((await store.get(name))?.toString());
      store.put("k000", Buffer.from("value of k000"));
      await store.synced();
      await store.close(1000);
      await rm(copy, { recursive: true });
    }
  }
}, 120_000);

/** Of a table with one block of them. */
function startsOfRows(table: Buffer): number[] {
  const end = endOfTheRows(table);
  const starts: number[] = [];
  let key: Buffer = Buffer.alloc(0);
  for (let at = 0; at < end;) {
    const read = rowAt(table, at, end, key);
    if (read === undefined) throw new Error("not a table");
    starts.push(at);
    ({ key } = read.row);
    at = read.end;
  }
  return starts;
}

it("a process that died while a store was written anew finds it at its next start (S3)", async () => {
  const { names, folder } = await withTable();
  await rename(folder, `${folder}.rewritten`);
  const store = await Store.open(data, log, zeroFigures());
  expect(Object.keys(await all(store))).toEqual(names);
  expect(await readdir(data)).toEqual(["broker"]);
  await store.close(1000);
});

it("a folder that cannot be used at all is a fault", async () => {
  await writeFile(join(data, "broker"), "a file, not a folder");
  await expect(Store.open(data, log, zeroFigures())).rejects.toMatchObject({ code: "BROKER_STORE_FAILED" });
});

it("a store that another gateway has open is a fault, and is not set aside", async () => {
  const store = await Store.open(data, log, zeroFigures());
  await expect(Store.open(data, log, zeroFigures())).rejects.toMatchObject({ code: "BROKER_STORE_FAILED" });
  expect(await readdir(data)).toEqual(["broker"]);
  await store.close(1000);
});

/**
 * Damage in the store's tables that would end the process: LevelDB looks things up in an index that is not in order, or
 * merges rows that are not, and an assertion fails. A process of its own opens journals with such tables.
 */
import { spawn } from "node:child_process";
import { closeSync, cpSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { eventRecord } from "../../src/event.ts";
import { Journal, levelStore } from "../../src/journal/journal.ts";
import { blockAt, endOfRows, footerOf, handleOf, rowsOf, TRAILER_BYTES } from "../../src/level-table.ts";
import { beginRun, mendTables } from "../../src/journal/tables.ts";
import {
  balance,
  byTopic,
  done,
  draft,
  nothing,
  optionsFor,
  output,
  quiet,
  Remembering,
  SetClock,
  takeTasks,
} from "./fixture.ts";
import { KEYS, look, smallBlocks, tableOf } from "./fixtures/rotten.ts";
import type { Found } from "./fixtures/rotten.ts";

const EVENTS = Array.from({ length: 40 }, (_, n) => `event ${n + 1}`);

let folder: string;
let pristine: string;
let control: Found;
let sound: Buffer;

/** Some of everything, in one table. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-rotten-"));
  pristine = join(folder, "pristine");
  const journal = await Journal.open(optionsFor(pristine, { store: smallBlocks }));
  const handler = journal.handlerId("h");
  const cloud = journal.uplinkId("cloud");
  const feed = journal.tasks(handler, byTopic, nothing);
  for (let n = 1; n <= EVENTS.length; n++) {
    journal.append(
      draft(KEYS[n % 3] as string, `event ${n}`),
      [handler],
      new Remembering(),
      n,
      n % 8 === 0 ? n : undefined,
    );
    if (n % 4 === 0) await journal.synced();
  }
  journal.release("device", 8, new Remembering(), 1);
  const failure = { code: "X", message: "no" };
  for (const task of await takeTasks(feed, 25)) {
    const text = eventRecord.payload(task.page, task.at).toString();
    if (task.seq % 5 === 0) journal.settle(task, { at: "dead", failure }, 1);
    else if (task.seq % 5 === 1) journal.settle(task, { at: "retry", dueMs: 1, failure }, 1);
    else journal.settle(task, done([output(cloud, `output of ${text}`)], `state after ${text}`), 1);
    if (task.seq % 3 === 0) await journal.synced();
  }
  await journal.synced();
  await journal.close();
  // Opening it again turns the log into a table; what it writes of its own is merged with it.
  const store = await smallBlocks.open(join(pristine, "journal"));
  await store.compactRange(Buffer.of(0), Buffer.of(0xff));
  await store.close();
  sound = readFileSync(join(pristine, tableOf(pristine)));
  const copy = join(folder, "control");
  cpSync(pristine, copy, { recursive: true });
  control = await look(copy);
});

/** With EVERY_PLACE=1 the tests look at some 1,300 places and take a minute or two. */
const thorough = process.env["EVERY_PLACE"] === "1";

afterAll(() => rm(folder, { recursive: true, force: true }));

it("one flipped bit in a table ends nothing, is told, and nothing is lost (J4)", async () => {
  expect(control.reports).toEqual([]);
  expect([control.tasks.length, control.parked.length, control.dead.length, control.outputs.length]).toEqual([
    15, 5, 5, 15,
  ]);
  const places = thorough ? placesOf(41, 1) : placesOf(151, 5);
  const found = await openAt(pristine, "bit", places);
  const { reports: _, readyMs: __, ...untold } = control;
  expect(found.map(({ at }) => at)).toEqual(places);
  for (const { at, found: one } of found) {
    const { reports, readyMs: _, ...rest } = one;
    expect({ at, ...rest }).toEqual({ at, ...untold });
    if (!isIdle(at) && !isSameNumber(at))
      expect(reports, `at ${at}`).toEqual([expect.stringMatching(/^store: table \d+ was damaged.*nothing is lost/)]);
  }
}, 300_000);

it("a damaged stretch of a table ends nothing, gives nothing wrong, and what is lost is told (J4)", async () => {
  const places = thorough ? placesOf(41, 6) : placesOf(211, 17);
  const found = await openAt(pristine, "9", places);
  expect(found.map(({ at }) => at)).toEqual(places);
  for (const { at, found: one } of found) {
    for (const sort of ["parked", "dead", "outputs", "claims"] as const)
      expect(control[sort], `${sort} at ${at}`).toEqual(expect.arrayContaining([...one[sort]]));
    // Where the last commits are lost, tasks that they settled are handed out again.
    const isUndone = one.reports.some((report) => report.startsWith("commits: "));
    const tasks = isUndone ? EVENTS : control.tasks;
    expect(tasks, `tasks at ${at}`).toEqual(expect.arrayContaining([...one.tasks]));
    expect(new Set(one.tasks).size, `at ${at}`).toBe(one.tasks.length);
    for (const state of one.states) if (state !== null) expect(EVENTS).toContain(state.replace("state after ", ""));
    expect(one.audit, `at ${at}`).toEqual(one.ledger);
    if (!isIdle(at)) expect(one.reports.length, `at ${at}`).toBeGreaterThan(0);
  }
  const whole = found.filter(({ found: one }) => one.tasks.length + one.outputs.length === 30).length;
  console.log(`${whole} of ${found.length} damaged stretches cost neither a task nor an output`);
}, 300_000);

it.each(["of the newest state is changed", "is zeros"])(
  "where a table %s, an older state is not taken for it untold, nor a claim that was released",
  async (how) => {
    const path = join(folder, how.replaceAll(" ", "-"));
    cpSync(pristine, path, { recursive: true });
    // A second table over the first one, with newer rows.
    const journal = await Journal.open(optionsFor(path, { store: smallBlocks }));
    const handler = journal.handlerId("h");
    const feed = journal.tasks(handler, byTopic, nothing);
    for (const task of await takeTasks(feed, 3)) journal.settle(task, done([], "newest"), 1);
    journal.release("device", 16, new Remembering(), 1);
    await journal.synced();
    await journal.close();
    await (await smallBlocks.open(join(path, "journal"))).close();
    const tables = readdirSync(join(path, "journal")).filter((name) => name.endsWith(".ldb"));
    const table = join(path, "journal", tables.sort().at(-1) as string);
    const bytes = readFileSync(table);
    expect(bytes.includes("newest")).toBe(true);
    if (how === "is zeros") bytes.fill(0, 0, bytes.lastIndexOf("filter."));
    for (let at = bytes.indexOf("newest"); at >= 0; at = bytes.indexOf("newest", at)) bytes.write("oldest", at);
    writeFileSync(table, bytes);
    const found = await look(path);
    // Where the row can be made out it is known to be damaged; where it cannot, that an older one may have come back.
    if (how === "is zeros") expect(found.states.filter((state) => state?.startsWith("state after")).length).toBe(3);
    else expect(found.states).toEqual([null, null, null]);
    expect(found.reports.join("\n")).toMatch(/state: state was in a damaged table: it may be gone or older/);
    expect(found.claims).not.toContain(16);
    expect(found.audit).toEqual(found.ledger);
    // It is over with: the next start finds no more than the rows that were made out.
    const again = (await look(path)).reports.filter((report) => !report.includes("starts anew"));
    expect(again).toEqual([]);
  },
);

it.each(["before a table is replaced", "before recovery has ended"])(
  "a process that died %s leaves it for the next",
  async (when) => {
    const path = join(folder, when.replaceAll(" ", "-"));
    cpSync(pristine, path, { recursive: true });
    const table = join(path, tableOf(path));
    const bytes = Buffer.from(sound);
    bytes.fill(0xa5, 1000, 3000);
    writeFileSync(table, bytes);
    const doors = { path: join(path, "journal"), clock: optionsFor(path).clock, log: quiet };
    expect(await mendTables(doors)).toBe(1);
    expect(await mendTables(doors)).toBe(0);
    if (when === "before a table is replaced") {
      writeFileSync(table, bytes);
      mkdirSync(join(path, "journal.aside"));
      writeFileSync(join(path, "journal.mended"), bytes.subarray(0, 100));
    }
    const found = await look(path);
    expect(found.reports.filter((report) => report.includes("rows may be lost")).length).toBeGreaterThan(0);
    expect(found.audit).toEqual(found.ledger);
    expect((await look(path)).reports).toEqual([]);
    const kept = readdirSync(path).filter((name) => name.startsWith("journal.damaged-"));
    expect(readFileSync(join(path, kept[0] as string, tableOf(pristine).slice("journal/".length)))).toEqual(bytes);
    expect(readdirSync(path)).not.toContain("journal.lost");
  },
);

it("a table that goes bad while the journal is open is mended when a merge comes to it, and writing goes on", async () => {
  const path = join(folder, "running");
  const store = levelStore({ writeBufferBytes: 64 * 1024, cacheBytes: 1024 });
  const open = (): Promise<Journal> => Journal.open(optionsFor(path, { store }));
  let journal = await open();
  let handler = journal.handlerId("h");
  const receiver = new Remembering();
  const write = async (many: number): Promise<void> => {
    for (let n = 0; n < many; n++) journal.append(draft("k", "x".repeat(1000)), [handler], receiver, 1);
    await journal.synced();
  };
  await write(200);
  await journal.close();
  journal = await open();
  handler = journal.handlerId("h");
  const inside = join(path, "journal");
  const names = readdirSync(inside).filter((name) => name.endsWith(".ldb"));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    // In place, for LevelDB has it mapped; and of a kind that it says of itself that it is corrupt.
    const file = openSync(join(inside, name), "r+");
    writeSync(file, Buffer.alloc(100, 0xff), 0, 100, 0);
    closeSync(file);
  }
  for (let n = 0; n < 20; n++) await write(100);
  expect(receiver.tags.length).toBe(2200);
  expect(journal.damage.map(({ what }) => what).join()).toMatch(/is mended, rows may be lost/);
  await journal.close();
  journal = await open();
  const audit = await journal.audit();
  // What is lost is counted when its turn comes; the audit sees it before.
  expect(audit.events.accepted).toBe(2200);
  expect(audit.events.dropped).toBeGreaterThan(0);
  expect([...balance(audit), ...balance(journal.ledger())]).toEqual([0, 0]);
  expect(journal.damage.map(({ what }) => what).join()).toMatch(/is mended, rows may be lost/);
  await journal.close();
});

it("looking at tables ends in time, goes on at the next start, and after a run that broke off soon looks at all", async () => {
  const path = join(folder, "looks");
  cpSync(pristine, path, { recursive: true });
  const store = await smallBlocks.open(join(path, "journal"));
  await store.batch([{ type: "put", key: Buffer.of(0xf0), value: Buffer.of(1) }], { sync: true });
  await store.close();
  await (await smallBlocks.open(join(path, "journal"))).close();
  const tables = readdirSync(join(path, "journal")).filter((name) => name.endsWith(".ldb"));
  expect(tables.length).toBe(2);
  const second = join(path, "journal", tables.sort().at(-1) as string);
  const rotten = readFileSync(second);
  rotten[3] = 0xff;
  // Each look at the clock takes it far.
  const clock = new SetClock();
  const slow = { now: () => clock.nowMs, monotonic: () => ((clock.monotonicMs += 1500), clock.monotonicMs) };
  const doors = { path: join(path, "journal"), clock: slow, log: quiet };
  const damage = (): void => writeFileSync(second, rotten);
  damage();
  expect(await mendTables(doors)).toBe(0);
  expect(await mendTables(doors)).toBe(1);
  damage();
  expect(await mendTables(doors)).toBe(0);
  await beginRun(doors.path);
  expect(await mendTables(doors)).toBe(1);
});

/**
 * Places in the table: every `step`-th of its rows; every `tight`-th of all else, the offsets at the end of each block, its
 * checksum, the filter, the index and the footer.
 */
function placesOf(step: number, tight: number): number[] {
  const places: number[] = [];
  const footer = footerOf(sound);
  if (footer === undefined) throw new Error("no footer");
  let end = 0;
  const every = (many: number, until: number): void => {
    for (; end < until; end += many) places.push(end);
    end = until;
  };
  for (const { value } of rowsOf(blockAt(sound, footer.index)) ?? []) {
    const { offset, size } = handleOf(value);
    every(step, offset + (endOfRows(blockAt(sound, { offset, size })) ?? 0));
    every(tight, offset + size + TRAILER_BYTES);
  }
  every(tight, sound.length);
  return places;
}

/** The footer has bytes that say nothing: zeros after its numbers. */
function isIdle(at: number): boolean {
  return (
    at >= sound.length - 48 && at < sound.length - 8 && sound.subarray(at, sound.length - 8).every((byte) => byte === 0)
  );
}

/** The last byte of its last number with the bit that says "one more follows": a zero does, and it is the same number. */
function isSameNumber(at: number): boolean {
  return at % 8 === 7 && sound[at] !== 0 && isIdle(at + 1) && at >= sound.length - 48;
}

interface At {
  readonly at: number;
  readonly found: Found;
}

/** What a process of its own finds; one that ends says where. */
async function openAt(path: string, damage: string, places: readonly number[]): Promise<At[]> {
  const script = join(import.meta.dirname, "fixtures", "rotten.ts");
  const child = spawn(process.execPath, [script, path, damage, places.join()], { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => void (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => void (err += chunk.toString()));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once("close", (code, signal) => resolve([code, signal])),
  );
  const lines = out.trim().split("\n");
  const said = lines.map((line) => JSON.parse(line) as { at: number; found?: Found });
  const found = said.filter((one): one is At => one.found !== undefined).sort((a, b) => a.at - b.at);
  const ended = new Set(found.map(({ at }) => at));
  const open = said.map(({ at }) => at).filter((at) => !ended.has(at));
  expect([code, signal], `one of ${open.join()} of ${sound.length}: ${err.slice(-2000)}`).toEqual([0, null]);
  const slowest = Math.max(...found.map(({ found: { readyMs } }) => readyMs));
  console.log(`${found.length} places of ${sound.length} bytes, ${damage}: ready within ${slowest.toFixed(0)} ms`);
  expect(slowest).toBeLessThan(5000);
  return found;
}

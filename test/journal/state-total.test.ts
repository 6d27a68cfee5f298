/**
 * How much state a handler has in all: the count is on disk with the rows that it counts, whatever becomes of the process,
 * and is what the rows come to.
 */
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Consumer, HANDLER } from "../../src/journal/consumer.ts";
import { levelStore } from "../../src/journal/journal.ts";
import type { Journal, JournalOptions } from "../../src/journal/journal.ts";
import type { Task } from "../../src/task.ts";
import { FaultyStore } from "../doubles/faulty-store.ts";
import { ShakyStore } from "./shaky-store.ts";
import { byTopic, dataFolder, done, draft, nothing, openJournal, Remembering, takeTasks } from "./fixture.ts";

const STATE = 0x22;

/** Bytes of all rows of state, read from the closed folder. */
async function rowsOf(path: string): Promise<number> {
  const store = await levelStore({ writeBufferBytes: 2 ** 20, cacheBytes: 2 ** 20 }).open(join(path, "journal"));
  const rows = store.iterator({ gte: Buffer.of(STATE), lt: Buffer.of(STATE + 1) });
  let bytes = 0;
  for (let found = await rows.nextv(100); found.length > 0; found = await rows.nextv(100)) {
    for (const [key, value] of found) bytes += key.length + value.length;
  }
  await rows.close();
  await store.close();
  return bytes;
}

const total = (journal: Journal): number => journal.figures().stateBytesOf["h"] ?? 0;

async function set(journal: Journal, handler: number, states: readonly (readonly [string, string])[]): Promise<void> {
  const feed = journal.tasks(handler, byTopic, nothing);
  for (const [key] of states) journal.append(draft(key), [handler], new Remembering(), 0);
  await journal.synced();
  const tasks = await takeTasks(feed, states.length);
  for (const [n, [, state]] of states.entries()) journal.settle(tasks[n] as Task, done([], state), 1);
  await journal.synced();
  feed.close();
}

/** Opens, and says what the rows come to beside what is counted, after it was closed. */
async function counts(path: string, options: Partial<JournalOptions> = {}): Promise<{ counted: number; rows: number }> {
  const journal = await openJournal(path, options);
  const counted = total(journal);
  await journal.close();
  return { counted, rows: await rowsOf(path) };
}

it("is what the rows come to after any changes, also where memory has forgotten what it overwrites, and after a restart", async () => {
  const key = fc.integer({ min: 0, max: 30 }).map((n) => `key-${"ü".repeat(n % 3)}${n}`);
  const state = fc.oneof(
    { weight: 1, arbitrary: fc.constant("") },
    { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 300 }).map((text) => JSON.stringify({ text })) },
  );
  const rounds = fc.array(fc.array(fc.tuple(key, state), { minLength: 1, maxLength: 20 }), {
    minLength: 1,
    maxLength: 8,
  });
  await fc.assert(
    fc.asyncProperty(rounds, fc.constantFrom(600, 4_000, 1_000_000), async (all, stateCacheBytesMax) => {
      const path = await dataFolder();
      const journal = await openJournal(path, { stateCacheBytesMax });
      const handler = journal.handlerId("h");
      for (const states of all) await set(journal, handler, states);
      // What was overwritten unread is being read.
      await new Promise((resolve) => setTimeout(resolve, 20));
      await journal.synced();
      const counted = total(journal);
      await journal.close();
      expect(await counts(path)).toEqual({ counted, rows: counted });
    }),
    { numRuns: 12 },
  );
});

it("survives a process that ends before it knows how long what it overwrote was: it is counted anew", async () => {
  const path = await dataFolder();
  const first = await openJournal(path);
  const handler = first.handlerId("h");
  await set(first, handler, [["a", JSON.stringify({ long: "x".repeat(500) })]]);
  await first.close();
  const store = new ShakyStore();
  const second = await openJournal(path, { store });
  store.held = new Promise(() => undefined);
  // Nobody has read it: the old row's length is unknown while the new one is written.
  const feed = second.tasks(handler, byTopic, nothing);
  second.append(draft("a"), [handler], new Remembering(), 0);
  await second.synced();
  const [task] = await takeTasks(feed, 1);
  second.settle(task as Task, done([], '{"n":1}'), 1);
  await second.close();
  const { counted, rows } = await counts(path);
  expect(counted).toBe(rows);
  expect(rows).toBeLessThan(100);
});

it("is counted at the start in a folder of before there was a count", () => {
  const handler = new Consumer(HANDLER, 3, "h");
  handler.hasState = true;
  handler.stateBytes = 123;
  const blob = Buffer.alloc(handler.writtenBytes);
  const end = handler.write(blob, 0, 7);
  expect(Consumer.read(blob, 0).consumer).toMatchObject({ stateBytes: 123, isStateUnsure: false });
  blob.writeUInt32BE(end - 6, 0);
  const { consumer, at } = Consumer.read(blob.subarray(0, end - 6), 0);
  expect(at).toBe(end - 6);
  expect(consumer.isStateUnsure).toBe(true);
});

it("is right after a disk that failed, and wrote or did not write what it said it had not", async () => {
  const path = await dataFolder();
  const store = new FaultyStore();
  const journal = await openJournal(path, { store });
  const handler = journal.handlerId("h");
  for (let n = 0; n < 6; n++) {
    if (n % 2 === 1) {
      const failing = store.batches + 2;
      store.fault = (batch) => (batch === failing ? { code: "ENOSPC", lands: n === 3 } : undefined);
    }
    await set(journal, handler, [
      ["a", JSON.stringify({ n: "x".repeat(n) })],
      [`b${n}`, "{}"],
      [`b${n - 1}`, ""],
    ]);
  }
  await journal.close();
  const { counted, rows } = await counts(path);
  expect(counted).toBe(rows);
  expect(counted).toBeGreaterThan(0);
});

it("has room for a state exactly up to the limit, and for one that is smaller than it was beyond it", async () => {
  const journal = await openJournal(await dataFolder());
  const handler = journal.handlerId("h");
  const task = (key: string): Task => ({
    handler,
    seq: 0,
    page: Buffer.alloc(0),
    at: 0,
    key,
    attempt: 0,
    parked: false,
  });
  await set(journal, handler, [["a", '{"n":"ü"}']]);
  const used = total(journal);
  // As long as the row of a, and a byte shorter.
  expect(journal.fits(task("b"), '{"n":"u"}', used + used - 1)).toBe(true);
  expect(journal.fits(task("b"), '{"n":"u"}', used + used - 2)).toBe(false);
  expect(journal.fits(task("a"), '{"n":"ü"}', 1)).toBe(true);
  expect(journal.fits(task("a"), '{"n":"u"}', 1)).toBe(true);
  expect(journal.fits(task("a"), '{"n":"uuu"}', used)).toBe(false);
  expect(journal.fits(task("a"), '{"n":"uuu"}', used + 1)).toBe(true);
});

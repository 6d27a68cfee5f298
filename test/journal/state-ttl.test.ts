/**
 * State that has a time: nobody sees it afterwards, swept or not; the room that it took comes back; and rows of before
 * there was a time are read, and count from when they are found.
 */
import { join } from "node:path";
import { expect, it } from "vitest";
import { levelStore } from "../../src/journal/journal.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { keys } from "../../src/journal/keys.ts";
import { seal, SEAL_BYTES } from "../../src/journal/seal.ts";
import { byTopic, dataFolder, done, draft, nothing, openJournal, Remembering, SetClock, takeTasks } from "./fixture.ts";

const NEVER = 3_600_000;
const DAY = 86_400_000;

async function set(journal: Journal, states: Readonly<Record<string, string>>, version = 1): Promise<void> {
  const handler = journal.handlerId("h");
  const feed = journal.tasks(handler, byTopic, nothing);
  const names = Object.keys(states);
  for (const key of names) journal.append(draft(key), [handler], new Remembering(), 0);
  await journal.synced();
  for (const task of await takeTasks(feed, names.length)) journal.settle(task, done([], states[task.key]), version);
  await journal.synced();
  feed.close();
}

async function rowsOf(path: string): Promise<{ keys: string[]; bytes: number }> {
  const store = await levelStore({ writeBufferBytes: 2 ** 20, cacheBytes: 2 ** 20 }).open(join(path, "journal"));
  const rows = store.iterator(keys.states());
  const found = { keys: [] as string[], bytes: 0 };
  for (let chunk = await rows.nextv(100); chunk.length > 0; chunk = await rows.nextv(100)) {
    for (const [key, value] of chunk) {
      found.keys.push(keys.stateOf(key).key);
      found.bytes += key.length + value.length;
    }
  }
  await rows.close();
  await store.close();
  return found;
}

it("is not seen any more from its time on, also before the sweep, from memory and from disk", async () => {
  const path = await dataFolder();
  const clock = new SetClock();
  const first = await openJournal(path, { clock, sweepMs: NEVER });
  const handler = first.handlerId("h");
  first.keepState(handler, DAY);
  await set(first, { a: "1", b: "2" });
  clock.pass(DAY - 1);
  expect(first.state(handler, ["a", "b"])).toEqual(["1", "2"]);
  await set(first, { b: "3" });
  clock.pass(1);
  expect(first.state(handler, ["a", "b"])).toEqual([undefined, "3"]);
  expect(await first.states.get("h", "a")).toBeUndefined();
  expect((await first.states.list({ handler: "h", limit: 10 }))?.map(({ key }) => key)).toEqual(["b"]);
  await first.close();

  const second = await openJournal(path, { clock, sweepMs: NEVER });
  second.keepState(handler, DAY);
  expect(await second.state(handler, ["a", "b"])).toEqual([undefined, "3"]);
  // Written again, it has a new time.
  await set(second, { a: "4" });
  clock.pass(DAY - 1);
  expect(second.state(handler, ["a", "b"])).toEqual(["4", undefined]);
});

it("is swept, a slice at a time, from disk and from the count; what is younger stays", async () => {
  const path = await dataFolder();
  const clock = new SetClock();
  const journal = await openJournal(path, { clock, sweepMs: 5 });
  const handler = journal.handlerId("h");
  await set(journal, Object.fromEntries(Array.from({ length: 1300 }, (_, n) => [`key-${n}`, `{"n":${n}}`])));
  clock.pass(DAY);
  await set(journal, { "key-7": "7", young: "1" });
  // Without a time it stays for ever.
  expect(journal.state(handler, ["key-1"])).toEqual(['{"n":1}']);
  journal.keepState(handler, DAY);
  await expect.poll(() => journal.figures().stateExpired, { timeout: 10_000 }).toBe(1299);
  await journal.synced();
  await expect.poll(() => journal.figures().stateBytesOf["h"]).toBeLessThan(200);
  const counted = journal.figures().stateBytesOf["h"];
  await journal.close();
  const rows = await rowsOf(path);
  expect(rows.keys.toSorted()).toEqual(["key-7", "young"]);
  expect(rows.bytes).toBe(counted);
});

it("of before there was a time is read as it is, and counts from when the sweep finds it", async () => {
  const path = await dataFolder();
  const clock = new SetClock();
  const first = await openJournal(path, { clock, sweepMs: NEVER });
  const handler = first.handlerId("h");
  await set(first, { old: '{"n":1}', other: "2" });
  await first.close();
  const store = await levelStore({ writeBufferBytes: 2 ** 20, cacheBytes: 2 ** 20 }).open(join(path, "journal"));
  const row = keys.state(handler, "old");
  const bytes = Buffer.concat([Buffer.alloc(SEAL_BYTES), Buffer.from('{"n":1}')]);
  await store.batch([{ type: "put", key: row, value: seal(row, bytes) }], { sync: true });
  await store.close();

  const second = await openJournal(path, { clock, sweepMs: 5 });
  expect(await second.state(handler, ["old"])).toEqual(['{"n":1}']);
  expect(await second.states.get("h", "old")).toEqual({
    key: "old",
    value: '{"n":1}',
    timeMs: undefined,
    version: undefined,
  });
  expect(await second.states.get("h", "other")).toMatchObject({ version: 1, timeMs: 1_700_000_000_000 });
  clock.pass(2 * DAY);
  second.keepState(handler, DAY);
  await expect.poll(async () => (await second.states.get("h", "old"))?.timeMs, { timeout: 5000 }).toBe(clock.now());
  clock.pass(DAY);
  expect(second.state(handler, ["old"])).toEqual([undefined]);
});

it("that was written before the clock was set counts from when the sweep finds it with a clock that is", async () => {
  const clock = new SetClock();
  const setMs = clock.nowMs;
  clock.nowMs = 60_000;
  const journal = await openJournal(await dataFolder(), { clock, sweepMs: 5 });
  const handler = journal.handlerId("h");
  journal.keepState(handler, DAY);
  await set(journal, { a: '{"n":1}' });
  clock.nowMs = setMs;
  expect(journal.state(handler, ["a"])).toEqual(['{"n":1}']);
  expect(await journal.states.list({ handler: "h", limit: 10 })).toHaveLength(1);
  // Passes of the sweep are a minute apart at the most.
  clock.monotonicMs += 60_000;
  await expect.poll(async () => (await journal.states.get("h", "a"))?.timeMs, { timeout: 5000 }).toBe(setMs);
  clock.pass(DAY);
  expect(journal.state(handler, ["a"])).toEqual([undefined]);
});

it("is listed page by page, in order, and removed for good in one commit", async () => {
  const path = await dataFolder();
  const first = await openJournal(path);
  await set(first, { b: "2", a: "1", c: '{"x":[1]}' }, 7);
  expect(await first.states.list({ handler: "nobody", limit: 10 })).toBeUndefined();
  const page = await first.states.list({ handler: "h", limit: 2 });
  expect(page).toMatchObject([
    { key: "a", value: "1", version: 7 },
    { key: "b", value: "2", version: 7 },
  ]);
  expect(await first.states.list({ handler: "h", after: "b", limit: 2 })).toMatchObject([{ key: "c" }]);
  const removed: number[] = [];
  expect(await first.states.remove("h", "b", (id) => removed.push(id))).toBe(true);
  expect(removed).toEqual([first.handlerId("h")]);
  expect(await first.states.remove("h", "b", (id) => removed.push(id))).toBe(false);
  expect(removed).toHaveLength(1);
  expect(first.state(first.handlerId("h"), ["a", "b"])).toEqual(["1", undefined]);
  await first.close();
  expect((await rowsOf(path)).keys.toSorted()).toEqual(["a", "c"]);
});

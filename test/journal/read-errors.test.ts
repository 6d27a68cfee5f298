/**
 * Reads that fail or take their time: what cannot be read at the moment is not lost, and what is lost is counted.
 */
import { describe, expect, it } from "vitest";
import type { Journal } from "../../src/journal/journal.ts";
import type { Task } from "../../src/task.ts";
import { byTopic, dataFolder, done, draft, nothing, openJournal, Remembering, takeTasks } from "./fixture.ts";
import { ShakyStore } from "./shaky-store.ts";

const failure = { code: "X", message: "no" };
const receiver = new Remembering();

/** `count` events, a page for every ten of them. */
async function append(journal: Journal, wanted: readonly number[], count: number, topic = "t"): Promise<void> {
  for (let tag = 1; tag <= count; tag++) {
    journal.append(draft(topic), wanted, receiver, tag);
    if (tag % 10 === 0) await journal.synced();
  }
  await journal.synced();
}

/** The store is whole again when so many reads have failed. */
async function healedAfterErrors(store: ShakyStore, journal: Journal, errors: number): Promise<void> {
  await expect
    .poll(() => journal.figures().readErrors, { timeout: 10_000, interval: 5 })
    .toBeGreaterThanOrEqual(errors);
  store.heal();
}

const seqs = (tasks: readonly Task[]): number[] => tasks.map(({ seq }) => seq);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
/** The first number of the page in the log of events whose key it is, or -1. */
const firstOf = (key: Buffer): number => (key.readUIntBE(0, 3) === 0x300000 ? key.readUIntBE(3, 6) : -1);

describe("feeds that share what they read", () => {
  it("see what was committed after the other one's read began (J3, F1)", async () => {
    const store = new ShakyStore();
    const journal = await openJournal(await dataFolder(), { store });
    const [one, two] = [journal.handlerId("one"), journal.handlerId("two")];
    await append(journal, [one, two], 10);
    let release = nothing;
    store.held = new Promise((resolve) => (release = resolve));
    const first = journal.tasks(one, byTopic, nothing);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await append(journal, [one, two], 10);
    const second = journal.tasks(two, byTopic, nothing);
    await new Promise((resolve) => setTimeout(resolve, 20));
    release();
    expect(seqs(await takeTasks(second, 20))).toEqual(upTo(20));
    expect(seqs(await takeTasks(first, 20))).toEqual(upTo(20));
    expect(journal.damage).toEqual([]);
    expect(journal.ledger().events).toMatchObject({ dropped: 0, pending: 40 });
  });
});

describe("a backlog", () => {
  it.each([
    { what: "cannot be read at all", passesOver: undefined },
    { what: "is passed over at its beginning", passesOver: (key: Buffer) => firstOf(key) === 1 },
    { what: "is passed over in the middle", passesOver: (key: Buffer) => [21, 31].includes(firstOf(key)) },
    { what: "is passed over at its end", passesOver: (key: Buffer) => firstOf(key) === 51 },
  ])("that $what for a while is waited for, and nothing of it is lost (J4)", async ({ passesOver }) => {
    const store = new ShakyStore();
    const journal = await openJournal(await dataFolder(), { store });
    const handler = journal.handlerId("h");
    await append(journal, [handler], 60);
    store.starve();
    store.passesOver = passesOver;
    const feed = journal.tasks(handler, byTopic, nothing);
    await healedAfterErrors(store, journal, 4);
    expect(seqs(await takeTasks(feed, 60))).toEqual(upTo(60));
    expect(journal.damage).toEqual([]);
    expect(journal.ledger().events).toMatchObject({ dropped: 0, pending: 60 });
  });

  it("that cannot be read for long is read when it can be, although nobody asks again", async () => {
    const store = new ShakyStore();
    const journal = await openJournal(await dataFolder(), { store });
    const handler = journal.handlerId("h");
    await append(journal, [handler], 60);
    store.starve();
    let wakes = 0;
    const feed = journal.tasks(handler, byTopic, () => wakes++);
    expect(feed.take()).toBeUndefined();
    await healedAfterErrors(store, journal, 10);
    expect(wakes).toBe(0);
    await expect.poll(() => wakes, { timeout: 5000 }).toBe(1);
    expect(seqs(await takeTasks(feed, 60))).toEqual(upTo(60));
    expect(feed.take()).toBeUndefined();
    expect(journal.damage).toEqual([]);
  }, 20_000);

  it("of which the store says that it is corrupt is lost, reported and counted, and the rest is handed out (J4)", async () => {
    const store = new ShakyStore();
    const journal = await openJournal(await dataFolder(), { store });
    const handler = journal.handlerId("h");
    await append(journal, [handler], 60);
    store.corrupt();
    store.passesOver = (key) => [21, 51].includes(firstOf(key));
    const feed = journal.tasks(handler, byTopic, nothing);
    const tasks = await takeTasks(feed, 40);
    // The last of it is read when it is asked for.
    const droppedBehind = (): number => {
      expect(feed.take()).toBeUndefined();
      return journal.ledger().events.dropped;
    };
    await expect.poll(droppedBehind, { timeout: 10_000 }).toBe(20);
    expect(seqs(tasks)).toEqual(upTo(50).filter((seq) => seq <= 20 || seq > 30));
    for (const task of tasks) journal.settle(task, done(), 1);
    expect(feed.take()).toBeUndefined();
    await journal.synced();
    expect(journal.ledger().events).toMatchObject({ done: 40, dropped: 20, pending: 0 });
    const ranges = journal.damage
      .filter(({ what }) => what === "records are missing")
      .map(({ from, to }) => [from, to]);
    expect(ranges).toEqual([
      [21, 30],
      [51, 60],
    ]);
  });
});

describe("parked tasks", () => {
  async function parkedJournal(store: ShakyStore): Promise<{ journal: Journal; handler: number }> {
    const journal = await openJournal(await dataFolder(), { store });
    const handler = journal.handlerId("h");
    await append(journal, [handler], 10, "one");
    await append(journal, [handler], 10, "two");
    const feed = journal.tasks(handler, byTopic, nothing);
    for (const task of await takeTasks(feed, 20)) journal.settle(task, { at: "retry", dueMs: 1, failure }, 1);
    await journal.synced();
    return { journal, handler };
  }

  it("that cannot be read are not said to be none: the reading is rejected", async () => {
    const store = new ShakyStore();
    const { journal, handler } = await parkedJournal(store);
    store.starve();
    await expect(journal.readParked(handler, "one", 5)).rejects.toThrow("Too many open files");
    store.passesOver = (key) => key[0] === 0x20;
    await expect(journal.parked(handler)).rejects.toThrow("Too many open files");
    store.heal();
    expect(seqs(await journal.readParked(handler, "one", 5))).toEqual([1, 2, 3, 4, 5]);
    expect((await journal.parked(handler)).map(({ key, count }) => [key, count])).toEqual([
      ["one", 10],
      ["two", 10],
    ]);
  }, 20_000);

  it("are read from the oldest on, also when the store passed over that one at first", async () => {
    const store = new ShakyStore();
    const { journal, handler } = await parkedJournal(store);
    store.starve();
    store.passesOver = (key) => key[0] === 0x20 && key.readUIntBE(key.length - 6, 6) <= 2;
    const read = journal.readParked(handler, "one", 5);
    await healedAfterErrors(store, journal, 1);
    expect(seqs(await read)).toEqual([1, 2, 3, 4, 5]);
    store.starve();
    store.passesOver = (key) => key[0] === 0x20 && key.readUIntBE(key.length - 6, 6) === 12;
    const all = journal.parked(handler);
    await healedAfterErrors(store, journal, 2);
    expect((await all).map(({ count }) => count)).toEqual([10, 10]);
  });

  it("that are corrupt are left out, and the others read", async () => {
    const store = new ShakyStore();
    const { journal, handler } = await parkedJournal(store);
    store.corrupt();
    store.passesOver = (key) => key[0] === 0x20 && key.readUIntBE(key.length - 6, 6) === 2;
    expect(seqs(await journal.readParked(handler, "one", 5))).toEqual([1, 3, 4, 5, 6]);
  });
});

/**
 * What happens at each limit.
 */
import { isDeepStrictEqual } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { Disk } from "../../src/journal/disk.ts";
import {
  byTopic,
  dataFolder,
  done,
  draft,
  fill,
  MB,
  nothing,
  openJournal,
  output,
  Remembering,
  SetClock,
  takeTasks,
} from "./fixture.ts";

const failure = { code: "X", message: "no" };
const receiver = new Remembering();
/** Of sizeMax: where `drop-oldest` begins (retention.ts). */
const DROPS_ABOVE = 0.95;

describe("sizeMax", () => {
  it("refuses events under `refuse`, and takes them again when tasks have been settled (J7)", async () => {
    const journal = await openJournal(await dataFolder(), { sizeMaxBytes: 2 * MB, sweepMs: 10 });
    const handler = journal.handlerId("h");
    const feed = journal.tasks(handler, byTopic, nothing);
    const taken = await fill(journal, handler, 1000);
    expect(taken).toBeGreaterThan(150);
    expect(taken).toBeLessThan(260);
    expect(journal.figures()).toMatchObject({ full: 1 });
    expect(journal.figures().refused).toBeGreaterThan(0);
    for (const task of await takeTasks(feed, taken)) journal.settle(task, done(), 1);
    await journal.synced();
    expect(await fill(journal, handler, 100)).toBe(100);
    expect(journal.ledger().events).toMatchObject({ accepted: taken + 100, done: taken, dropped: 0 });
    expect(await journal.audit()).toEqual(journal.ledger());
  });

  it("refuses for good, and rests, when the oldest waiting task is in the middle of a page (J7)", async () => {
    const journal = await openJournal(await dataFolder(), { sizeMaxBytes: MB });
    const handler = journal.handlerId("h");
    const feed = journal.tasks(handler, byTopic, nothing);
    for (let tag = 0; tag < 50; tag++) journal.append(draft("t", Buffer.alloc(1000)), [handler], receiver, tag);
    await journal.synced();
    for (const task of await takeTasks(feed, 5)) journal.settle(task, done(), 1);
    await journal.synced();
    await fill(journal, handler, 1000, 1000);
    const { refused } = journal.figures();
    expect(refused).toBeGreaterThan(0);
    // Nothing can be trimmed: no commit but of what is settled changes that.
    const walks = vi.spyOn(Disk.prototype, "walk");
    for (let i = 0; i < 10; i++) {
      expect(journal.append(draft("t"), [handler], receiver, 1)).toBe("refused");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(walks.mock.calls.length).toBeLessThan(10);
    walks.mockRestore();
    for (const task of await takeTasks(feed, 300)) journal.settle(task, done(), 1);
    await expect.poll(() => journal.append(draft("t"), [handler], receiver, 1), { timeout: 5000 }).toBe("taken");
  });

  it("drops the oldest waiting tasks under `drop-oldest`, and counts them", async () => {
    const journal = await openJournal(await dataFolder(), {
      sizeMaxBytes: 2 * MB,
      whenFull: "drop-oldest",
      sweepMs: 10,
    });
    const handler = journal.handlerId("h");
    const other = journal.handlerId("other");
    const feed = journal.tasks(handler, byTopic, nothing);
    const otherFeed = journal.tasks(other, byTopic, nothing);
    journal.append(draft("t"), [handler, other], receiver, 0);
    await journal.synced();
    const [first] = await takeTasks(feed, 1);
    expect(await fill(journal, handler, 800)).toBe(800);
    expect(journal.ledger().events.accepted).toBe(802);
    // What was staged while the sweep was dropping may stand above the limit for a moment, by a commit or two.
    expect(journal.figures().usedBytes).toBeLessThan(2 * MB + 2 * 20 * 10_500);
    // Only from here on does the sweep leave the rest alone; what it drops later would be missing in the audit.
    await expect.poll(() => journal.figures().usedBytes).toBeLessThanOrEqual(2 * MB * DROPS_ABOVE);
    const { events } = journal.ledger();
    expect(events.dropped).toBeGreaterThan(500);
    expect(journal.figures().dropped).toEqual({ full: events.dropped, damaged: 0, asked: 0, dead: 0 });
    // What was in hand has been dropped under it: its outcome changes nothing any more.
    if (first !== undefined) journal.settle(first, done([output(journal.uplinkId("cloud"), "x")]), 1);
    await journal.synced();
    expect(journal.ledger().events.done).toBe(0);
    expect(journal.figures().lateSettlements).toBe(1);
    const left = await takeTasks(feed, events.pending);
    expect(left.map(({ seq }) => seq)).toEqual(Array.from({ length: left.length }, (_, i) => 802 - left.length + i));
    expect(otherFeed.take()).toBeUndefined();
    expect(await journal.audit()).toEqual(journal.ledger());
    expect(journal.damage).toEqual([]);
  });

  it.each(["retry", "dead"] as const)(
    "goes on under `drop-oldest` when what every event comes to is: %s",
    async (at) => {
      const journal = await openJournal(await dataFolder(), {
        sizeMaxBytes: 2 * MB,
        whenFull: "drop-oldest",
        sweepMs: 10,
      });
      let told = 0;
      journal.onDrop = () => ++told > 5;
      const handlers = ["a", "b"].map((name) => journal.handlerId(name));
      for (const handler of handlers) {
        const settleAll = (): void => {
          for (let task = feed.take(); task !== undefined; task = feed.take()) {
            journal.settle(task, at === "dead" ? { at, failure } : { at, dueMs: Date.now() + 3_600_000, failure }, 1);
          }
        };
        const feed = journal.tasks(handler, byTopic, settleAll);
        settleAll();
      }
      for (const handler of handlers) expect(await fill(journal, handler, 400)).toBe(400);
      await expect.poll(() => journal.figures().usedBytes).toBeLessThanOrEqual(2 * MB * DROPS_ABOVE);
      const { events } = journal.ledger();
      expect(events.accepted).toBe(800);
      expect(events.dropped).toBeGreaterThan(400);
      if (at === "retry") expect(told).toBeGreaterThan(400);
      expect(events.pending + events.dead).toBe(800 - events.dropped);
      // A sweep may be dropping still.
      const isSound = async (): Promise<boolean> => isDeepStrictEqual(await journal.audit(), journal.ledger());
      await expect.poll(isSound, { timeout: 5000 }).toBe(true);
    },
  );

  it("trims settled events early when the room is needed, and otherwise keeps them for `retain`", async () => {
    const clock = new SetClock();
    const journal = await openJournal(await dataFolder(), {
      sizeMaxBytes: 2 * MB,
      retainMs: 60_000,
      clock,
      sweepMs: 10,
    });
    const handler = journal.handlerId("h");
    const feed = journal.tasks(handler, byTopic, nothing);
    for (let round = 0; round < 20; round++) {
      expect(await fill(journal, handler, 50)).toBe(50);
      for (const task of await takeTasks(feed, 50)) journal.settle(task, done(), 1);
      await journal.synced();
    }
    expect(journal.figures().refused).toBe(0);
    const kept = journal.figures().eventBytes;
    expect(kept).toBeGreaterThan(MB);
    expect(kept).toBeLessThan(2 * MB);
    clock.pass(10 * 365 * 86_400_000);
    await expect.poll(() => journal.figures().eventBytes, { timeout: 5000 }).toBe(0);
    expect(journal.damage).toEqual([]);
    expect(await journal.audit()).toEqual(journal.ledger());
  });

  it("keeps settled events of a clock that was ahead, and is set back, no longer than others", async () => {
    const clock = new SetClock();
    const journal = await openJournal(await dataFolder(), { retainMs: 60_000, clock, sweepMs: 10 });
    const handler = journal.handlerId("h");
    const feed = journal.tasks(handler, byTopic, nothing);
    const settle = async (timeMs: number): Promise<void> => {
      journal.append(draft("t", "{}", { timeMs }), [handler], receiver, 0);
      for (const task of await takeTasks(feed, 1)) journal.settle(task, done(), 1);
      await journal.synced();
    };
    await settle(clock.now() + 3 * 365 * 86_400_000);
    await settle(clock.now());
    const bytes = (): number => {
      clock.pass(5000);
      return journal.figures().eventBytes;
    };
    await expect.poll(bytes, { timeout: 5000 }).toBe(0);
    expect(clock.monotonicMs).toBeGreaterThanOrEqual(60_000);
  });

  it("is not passed by what is staged: append() says `later` and onRoom() follows", async () => {
    const journal = await openJournal(await dataFolder(), { stagedBytesMax: 100_000 });
    const handler = journal.handlerId("h");
    let rooms = 0;
    journal.onRoom = () => rooms++;
    let taken = 0;
    while (journal.append(draft("t", Buffer.alloc(10_000)), [handler], receiver, taken) === "taken") taken++;
    expect(taken).toBe(10);
    expect(rooms).toBe(0);
    await journal.synced();
    expect(rooms).toBe(1);
    expect(journal.append(draft("t"), [handler], receiver, taken)).toBe("taken");
  });
});

describe("further limits", () => {
  it("a handler with too many parked tasks gets no new ones until some are settled", async () => {
    const journal = await openJournal(await dataFolder(), { parkedMax: 5 });
    const handler = journal.handlerId("h");
    let wakes = 0;
    const feed = journal.tasks(handler, byTopic, () => wakes++);
    for (let tag = 0; tag < 20; tag++) journal.append(draft("t"), [handler], receiver, tag);
    await journal.synced();
    for (const task of await takeTasks(feed, 5)) journal.settle(task, { at: "retry", dueMs: 0, failure }, 1);
    expect(feed.take()).toBeUndefined();
    await journal.synced();
    const before = wakes;
    const [parked] = await journal.readParked(handler, "t", 1);
    if (parked !== undefined) journal.settle(parked, done(), 1);
    await journal.synced();
    expect(wakes).toBe(before + 1);
    expect(feed.take()?.seq).toBe(6);
  });

  it("beyond deadMax the oldest dead letters are dropped, and counted", async () => {
    const journal = await openJournal(await dataFolder(), { deadMax: 3, sweepMs: 5 });
    const handler = journal.handlerId("h");
    const feed = journal.tasks(handler, byTopic, nothing);
    for (let tag = 0; tag < 10; tag++) journal.append(draft("t"), [handler], receiver, tag);
    await journal.synced();
    const long = { code: "X", message: "é".repeat(10_000) };
    for (const task of await takeTasks(feed, 10)) journal.settle(task, { at: "dead", failure: long }, 1);
    await expect.poll(() => journal.ledger().events.dead, { timeout: 5000 }).toBe(3);
    expect(journal.ledger().events).toMatchObject({ accepted: 10, dead: 3, dropped: 7 });
    const letters = await journal.dead.list();
    expect(letters.map(({ eventSeq }) => eventSeq)).toEqual([8, 9, 10]);
    expect(Buffer.byteLength(letters[0]?.failure.message ?? "")).toBeLessThanOrEqual(4096);
    expect(await journal.audit()).toEqual(journal.ledger());
  });

  it.each([
    ["deadMax", { deadMax: 10 }, "short"],
    ["deadBytesMax", { deadBytesMax: 40_000 }, "é".repeat(10_000)],
  ])(
    "beyond %s a handler that has most of the dead letters costs others none of theirs",
    async (_what, limits, message) => {
      const journal = await openJournal(await dataFolder(), { ...limits, sweepMs: 5 });
      const die = async (name: string, count: number, text: string): Promise<void> => {
        const handler = journal.handlerId(name);
        const feed = journal.tasks(handler, byTopic, nothing);
        for (let tag = 0; tag < count; tag++) journal.append(draft("t"), [handler], receiver, tag);
        await journal.synced();
        for (const task of await takeTasks(feed, count))
          journal.settle(task, { at: "dead", failure: { code: "X", message: text } }, 1);
        await journal.synced();
      };
      await die("rare", 3, "short");
      await die("often", 50, message);
      await expect.poll(() => journal.ledger().events.dropped, { timeout: 5000 }).toBeGreaterThan(40);
      const letters = await journal.dead.list();
      expect(letters.filter(({ handler }) => handler === "rare")).toHaveLength(3);
      expect(letters.at(-1)?.handler).toBe("often");
      expect(await journal.audit()).toEqual(journal.ledger());
    },
  );

  it("tasks of a handler that nobody runs any more expire after `retain`", async () => {
    const path = await dataFolder();
    const clock = new SetClock();
    const first = await openJournal(path, { clock });
    const handler = first.handlerId("gone");
    const feed = first.tasks(handler, byTopic, nothing);
    for (let tag = 0; tag < 10; tag++) first.append(draft("t", "", { timeMs: clock.now() }), [handler], receiver, tag);
    await first.synced();
    const [task] = await takeTasks(feed, 1);
    if (task !== undefined) first.settle(task, { at: "retry", dueMs: 0, failure }, 1);
    await first.close();
    const second = await openJournal(path, { clock, retainMs: 3_600_000, sweepMs: 5 });
    second.begun();
    clock.pass(3_500_000);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(second.ledger().events).toMatchObject({ pending: 10, expired: 0 });
    clock.pass(200_000);
    await expect.poll(() => second.ledger().events.expired, { timeout: 5000 }).toBe(10);
    await expect.poll(() => second.figures().eventBytes, { timeout: 5000 }).toBe(0);
    expect(await second.audit()).toEqual(second.ledger());
  });

  it("tasks and outputs do not expire while those that they are for may still come, however short `retain` is", async () => {
    const path = await dataFolder();
    const clock = new SetClock();
    const first = await openJournal(path, { clock });
    const handler = first.handlerId("late");
    const uplink = first.uplinkId("late");
    const feed = first.tasks(handler, byTopic, nothing);
    for (let tag = 0; tag < 10; tag++) first.append(draft("t", "", { timeMs: clock.now() }), [handler], receiver, tag);
    await first.synced();
    const [task] = await takeTasks(feed, 1);
    if (task !== undefined) first.settle(task, done([output(uplink, "1")]), 1);
    await first.close();
    const second = await openJournal(path, { clock, retainMs: 0, sweepMs: 5 });
    // Several sweeps.
    const swept = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));
    clock.pass(600_000);
    await swept();
    // The handler has come, and is taken to other settings; the uplink is still being waited for.
    second.tasks(handler, byTopic, nothing).close();
    clock.pass(30_000);
    await swept();
    expect(second.ledger().events).toMatchObject({ pending: 9, expired: 0 });
    expect(second.ledger().uplinks["late"]).toMatchObject({ waiting: 1, expired: 0 });
    second.begun();
    clock.pass(30_000);
    await expect.poll(() => second.ledger().events.expired, { timeout: 5000 }).toBe(9);
    expect(second.ledger().uplinks["late"]).toMatchObject({ waiting: 1, expired: 0 });
    clock.pass(30_000);
    await expect.poll(() => second.ledger().uplinks["late"]?.expired, { timeout: 5000 }).toBe(1);
    expect(await second.audit()).toEqual(second.ledger());
  });
});

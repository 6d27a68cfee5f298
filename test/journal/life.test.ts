/**
 * The life of an event in the journal: appended, handed out, settled, in the outbox, received; and over a restart.
 */
import { describe, expect, it } from "vitest";
import { eventRecord } from "../../src/event.ts";
import {
  balance,
  byTopic,
  dataFolder,
  done,
  drain,
  draft,
  nothing,
  openJournal,
  output,
  Remembering,
  takeEntries,
  takeTasks,
} from "./fixture.ts";

describe("the life of an event", () => {
  it("goes from append to receipt, and the ledger follows it", async () => {
    const journal = await openJournal(await dataFolder());
    const handler = journal.handlerId("convert");
    const cloud = journal.uplinkId("cloud");
    const receiver = new Remembering();
    const tasks = journal.tasks(handler, byTopic, nothing);
    const outbox = journal.outbox(cloud, {}, nothing);
    for (let tag = 0; tag < 10; tag++) {
      expect(journal.append(draft(`t/${tag % 2}`, `{"n":${tag}}`), [handler], receiver, tag)).toBe("taken");
    }
    expect(receiver.tags).toEqual([]);
    await journal.synced();
    expect(receiver.tags).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

    const taken = await takeTasks(tasks, 10);
    expect(taken.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(taken.map(({ page, at }) => eventRecord.payload(page, at).toString())[9]).toBe('{"n":9}');
    for (const task of taken)
      journal.settle(task, done([output(cloud, `{"seq":${task.seq}}`)], `{"last":${task.seq}}`), 1);
    expect(journal.state(handler, ["t/0", "t/1"])).toEqual(['{"last":9}', '{"last":10}']);
    await journal.synced();

    const entries = await takeEntries(outbox, 10);
    expect(entries.map(({ data }) => data.toString())[0]).toBe('{"seq":1}');
    journal.received(
      cloud,
      entries.map(({ seq }) => ({ seq, verdict: "delivered" })),
    );
    await journal.synced();
    const expected = {
      events: { accepted: 10, done: 10, dead: 0, expired: 0, dropped: 0, pending: 0 },
      uplinks: { cloud: { emitted: 10, delivered: 10, expired: 0, dropped: 0, rejected: 0, waiting: 0 } },
    };
    expect(journal.ledger()).toEqual(expected);
    expect(await journal.audit()).toEqual(expected);
  });

  it("of a handler and an uplink that idle for a whole run is over after it, however much others do meanwhile (J3)", async () => {
    const path = await dataFolder();
    const first = await openJournal(path);
    const idle = first.handlerId("idle");
    const cloud = first.uplinkId("cloud");
    first.append(draft("t"), [idle], new Remembering(), 0);
    // Enough commits that both are checkpointed with what is not settled yet.
    for (let i = 0; i < 80; i++) {
      first.append(draft("other"), [first.handlerId("other")], new Remembering(), i);
      await first.synced();
    }
    const [task] = await takeTasks(first.tasks(idle, byTopic, nothing), 1);
    if (task !== undefined) first.settle(task, done([output(cloud, "1"), output(cloud, "2")]), 1);
    await first.synced();
    const entries = await takeEntries(first.outbox(cloud, {}, nothing), 2);
    first.received(
      cloud,
      entries.map(({ seq }) => ({ seq, verdict: "delivered" })),
    );
    await first.synced();
    const { uplinks } = first.ledger();
    await first.close();

    // So much in each commit that the oldest records are soon let go of.
    const second = await openJournal(path);
    const busy = Array.from({ length: 500 }, (_, i) => second.handlerId(`busy-${"x".repeat(60)}-${i}`));
    for (let i = 0; i < 200; i++) {
      second.append(draft("t"), busy, new Remembering(), i);
      await second.synced();
    }
    await second.close();

    const third = await openJournal(path);
    expect(third.ledger().uplinks).toEqual(uplinks);
    expect(await drain(third.tasks(idle, byTopic, nothing))).toEqual([]);
    expect(await drain(third.outbox(cloud, {}, nothing))).toEqual([]);
    expect(third.damage).toEqual([]);
  });

  it("goes on after a restart where it was: settled tasks are over, others are handed out again (J3)", async () => {
    const path = await dataFolder();
    const first = await openJournal(path);
    const handler = first.handlerId("convert");
    const cloud = first.uplinkId("cloud");
    for (let tag = 0; tag < 1000; tag++) first.append(draft(`t/${tag % 7}`), [handler], new Remembering(), tag);
    await first.synced();
    const feed = first.tasks(handler, byTopic, nothing);
    const taken = await takeTasks(feed, 600);
    const settled = taken.filter((_, i) => i % 3 !== 1);
    for (const task of settled) first.settle(task, done([output(cloud, String(task.seq))]), 1);
    await first.close();

    const second = await openJournal(path);
    expect(second.id).toBe(first.id);
    expect(second.damage).toEqual([]);
    expect(second.handlerId("convert")).toBe(handler);
    const again = await takeTasks(second.tasks(handler, byTopic, nothing), 600);
    const over = new Set(settled.map(({ seq }) => seq));
    const expected = Array.from({ length: 1000 }, (_, i) => i + 1).filter((seq) => !over.has(seq));
    expect(again.map(({ seq }) => seq)).toEqual(expected);
    const entries = await takeEntries(second.outbox(cloud, {}, nothing), 400);
    expect(entries.map(({ data }) => Number(data.toString()))).toEqual([...over]);
    expect(balance(await second.audit())).toEqual([0, 0]);
    expect(await second.audit()).toEqual(second.ledger());
  });

  it("keeps parked tasks and dead letters over a restart, and redrives", async () => {
    const path = await dataFolder();
    const first = await openJournal(path);
    const handler = first.handlerId("convert");
    for (let tag = 0; tag < 4; tag++) first.append(draft("t"), [handler], new Remembering(), tag);
    await first.synced();
    const [one, two, three, four] = await takeTasks(first.tasks(handler, byTopic, nothing), 4);
    const failure = { code: "X", message: "no" };
    if (!one || !two || !three || !four) throw new Error("tasks are missing");
    first.settle(one, { at: "retry", dueMs: 5000, failure }, 1);
    first.settle(two, { at: "behind" }, 1);
    first.settle(three, { at: "dead", failure }, 1);
    first.settle(four, done(), 1);
    await first.close();

    const second = await openJournal(path);
    expect(await second.parked(handler)).toEqual([{ key: "t", count: 2, dueMs: 5000, attempt: 1 }]);
    const parked = await second.readParked(handler, "t", 10);
    expect(parked.map(({ seq, attempt, parked }) => [seq, attempt, parked])).toEqual([
      [1, 1, true],
      [2, 0, true],
    ]);
    const letters = await second.dead.list();
    expect(letters).toMatchObject([{ handler: "convert", eventSeq: 3, attempt: 1, failure, topic: "t" }]);
    expect(second.ledger().events).toEqual({ accepted: 4, done: 1, dead: 1, expired: 0, dropped: 0, pending: 2 });
    const heard: string[] = [];
    second.onParked = (_, key) => heard.push(key);
    expect(await second.dead.redrive(letters[0]?.id ?? "")).toBe(true);
    expect(await second.dead.redrive(letters[0]?.id ?? "")).toBe(false);
    expect(heard).toEqual(["t"]);
    for (const task of await second.readParked(handler, "t", 10)) second.settle(task, done(), 2);
    await second.synced();
    const ledger = second.ledger();
    expect(ledger.events).toEqual({ accepted: 4, done: 4, dead: 0, expired: 0, dropped: 0, pending: 0 });
    expect(await second.audit()).toEqual(ledger);
  });

  it("gives up what waits for a handler, parked, in hand or neither, and says how much that was, also after a restart", async () => {
    const path = await dataFolder();
    const first = await openJournal(path);
    const [gone, other] = [first.handlerId("gone"), first.handlerId("other")];
    for (let tag = 0; tag < 10; tag++) first.append(draft(`t/${tag}`), [gone, other], new Remembering(), tag);
    await first.synced();
    const feed = first.tasks(gone, byTopic, nothing);
    const [one, two, three] = await takeTasks(feed, 3);
    if (!one || !two || !three) throw new Error("tasks are missing");
    first.settle(one, { at: "retry", dueMs: 5000, failure: { code: "X", message: "no" } }, 1);
    first.settle(two, done(), 1);
    // Not on disk yet.
    first.append(draft("t/late"), [gone], new Remembering(), 10);
    expect(first.pending()).toContainEqual({ name: "gone", waiting: 9, parked: 1 });
    expect(await first.dropPending("gone")).toBe(10);
    expect(await first.dropPending("gone")).toBe(0);
    expect(await first.dropPending("unheard of")).toBeUndefined();
    expect(first.pending()).toEqual([{ name: "other", waiting: 10, parked: 0 }]);
    // What was in hand comes back too late to change anything.
    first.settle(three, done(), 1);
    await first.synced();
    const books = { accepted: 11, done: 1, dead: 0, expired: 0, dropped: 10, pending: 0 };
    expect(first.handlerLedger(gone)).toEqual(books);
    expect(first.figures().dropped).toMatchObject({ asked: 10, full: 0 });
    feed.close();
    // What comes from now on is run.
    first.append(draft("t/new"), [gone], new Remembering(), 11);
    await first.close();

    const second = await openJournal(path);
    expect(second.damage).toEqual([]);
    expect(await second.audit()).toEqual(second.ledger());
    expect(second.handlerLedger(gone)).toEqual({ ...books, accepted: 12, pending: 1 });
    expect(await second.parked(gone)).toEqual([]);
    const left = await drain(second.tasks(gone, byTopic, nothing));
    expect(left.map(({ key }) => key)).toEqual(["t/new"]);
  });
});

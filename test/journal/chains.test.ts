/**
 * What a handler publishes to a topic that handlers listen to is an event for them, in the commit that has the output.
 */
import { expect, it } from "vitest";
import { eventId, eventRecord, handlersOf, HOPS_LIMIT, lineageOf } from "../../src/event.ts";
import type { Journal } from "../../src/journal/journal.ts";
import type { Output, Task } from "../../src/task.ts";
import { outputId } from "../../src/task.ts";
import { Envelopes } from "../../src/uplinks/envelope.ts";
import {
  balance,
  byTopic,
  dataFolder,
  done,
  draft,
  nothing,
  openJournal,
  output,
  Remembering,
  takeEntries,
  takeTasks,
} from "./fixture.ts";

function published(local: number, topic: string, wanted: readonly number[], payload = "{}"): Output {
  return output(local, payload, { topic, wanted, qos: 1 });
}

async function take(journal: Journal, handler: number): Promise<Task> {
  const [task] = await takeTasks(journal.tasks(handler, byTopic, nothing), 1);
  if (task === undefined) throw new Error("no task");
  return task;
}

it("settle() makes the event of a publish in the commit of the output, for each handler that listens, and the ledger balances (G2, G4)", async () => {
  const journal = await openJournal(await dataFolder());
  const local = journal.uplinkId("$devices");
  const [relay, first, second] = ["relay", "first", "second"].map((name) => journal.handlerId(name)) as [
    number,
    number,
    number,
  ];
  journal.append(draft("in", "1", { device: "press-7", qos: 2 }), [relay], new Remembering(), 1);
  await journal.synced();
  const before = journal.figures().commits;
  const task = await take(journal, relay);
  journal.settle(task, done([published(local, "out", [first, second], "21")]), 1);
  await journal.synced();
  expect(journal.figures().commits).toBe(before + 1);
  expect(journal.figures().chained).toBe(1);
  for (const handler of [first, second]) {
    const { page, at, seq } = await take(journal, handler);
    expect(eventRecord.topic(page, at)).toBe("out");
    expect(eventRecord.payload(page, at).toString()).toBe("21");
    expect(eventRecord.hops(page, at)).toBe(1);
    // Whose event began it: keys such as {device} hold along a chain.
    expect(eventRecord.device(page, at)).toBe("press-7");
    expect(seq).toBe(2);
  }
  const ledger = await journal.audit();
  expect(ledger.events).toMatchObject({ accepted: 3, done: 1, pending: 2 });
  expect(ledger.uplinks["$devices"]).toMatchObject({ emitted: 1, waiting: 1 });
  expect(balance(ledger)).toEqual([0, 0]);
});

it("a task that is settled again makes no second event (J3)", async () => {
  const journal = await openJournal(await dataFolder());
  const local = journal.uplinkId("$devices");
  const relay = journal.handlerId("relay");
  journal.append(draft("in"), [relay], new Remembering(), 1);
  const task = await take(journal, relay);
  for (let again = 0; again < 2; again++) journal.settle(task, done([published(local, "in", [relay])]), 1);
  await journal.synced();
  expect((await journal.audit()).events).toMatchObject({ accepted: 2, done: 1, pending: 1 });
});

it("ids along a chain follow from the outputs that made it, also after a restart, in outputs and in dead letters (G3)", async () => {
  const path = await dataFolder();
  let journal = await openJournal(path);
  const { id } = journal;
  const local = journal.uplinkId("$devices");
  const cloud = journal.uplinkId("cloud");
  const [relay, end] = [journal.handlerId("relay"), journal.handlerId("end")];
  journal.append(draft("in"), [relay], new Remembering(), 1);
  journal.settle(
    await take(journal, relay),
    done([output(cloud, "0"), published(local, "on", [relay]), published(local, "out", [end])]),
    1,
  );
  await journal.synced();
  journal.settle(await take(journal, relay), done([published(local, "out", [end])]), 1);
  await journal.synced();
  await journal.close();

  journal = await openJournal(path);
  const [direct, further] = await takeTasks(journal.tasks(end, byTopic, nothing), 2);
  if (direct === undefined || further === undefined) throw new Error("tasks are missing");
  const lineages = [direct, further].map(({ page, at }) => eventRecord.lineage(page, at));
  const once = lineageOf(1, "", relay, 2);
  const twice = lineageOf(2, lineageOf(1, "", relay, 1), relay, 0);
  expect(lineages).toEqual([once, twice]);
  expect(handlersOf(twice)).toEqual([relay, relay]);

  journal.settle(further, done([output(cloud, "1")]), 1);
  journal.settle(direct, { at: "dead", failure: { code: "X", message: "x" } }, 1);
  await journal.synced();
  const entries = await takeEntries(journal.outbox(cloud, {}, nothing), 2);
  const envelopes = new Envelopes({
    format: "cloudevents",
    gatewayId: "g",
    journalId: id,
    handlerName: (handler) => journal.handlerName(handler),
  });
  const ids = entries.map((entry) => (JSON.parse(envelopes.bytes(entry).toString()) as { id: string }).id);
  expect(ids).toEqual([outputId(eventId(id, 1), "relay", 0), outputId(eventId(id, 2, twice), "end", 0)]);
  expect(entries.map((entry) => envelopes.id(entry))).toEqual(ids);
  expect(entries.map(({ data }) => data.toString())).toEqual(["0", "1"]);
  const [letter] = await journal.dead.list({});
  expect(letter).toMatchObject({ handler: "end", event: eventId(id, direct.seq, once), topic: "out" });
  expect(letter?.payload.toString()).toBe("{}");
});

it("the longest chain that settings allow fits its records, whatever the numbers", async () => {
  const journal = await openJournal(await dataFolder());
  let lineage = "";
  for (let hop = 0; hop < HOPS_LIMIT; hop++) lineage = lineageOf(2 ** 48 - 1, lineage, 65_535, 65_535);
  expect(lineage.length).toBeLessThanOrEqual(255);
  const handler = journal.handlerId("h");
  const event = draft("täler/ö", "pay", { hops: HOPS_LIMIT, lineage, device: "gerät" });
  journal.append(event, [handler], new Remembering(), 1);
  const cloud = journal.uplinkId("cloud");
  const task = await take(journal, handler);
  const { page, at } = task;
  expect(eventRecord.lineage(page, at)).toBe(lineage);
  expect(eventRecord.topic(page, at)).toBe("täler/ö");
  expect(eventRecord.device(page, at)).toBe("gerät");
  expect(eventRecord.payload(page, at).toString()).toBe("pay");
  journal.settle(task, done([output(cloud, "7", { topic: "ü", subject: "s" })]), 3);
  await journal.synced();
  const [entry] = await takeEntries(journal.outbox(cloud, {}, nothing), 1);
  expect(entry).toMatchObject({ lineage, topic: "ü", subject: "s", key: "täler/ö" });
  expect(entry?.data.toString()).toBe("7");
});

it("takesChained() is false while the journal is full and refuses, and true where room can be made", async () => {
  const journal = await openJournal(await dataFolder(), { sizeMaxBytes: 256 * 1024, sweepMs: 10 });
  const handler = journal.handlerId("h");
  expect(journal.takesChained(handler)).toBe(true);
  let admission = "taken";
  for (let i = 0; i < 2000 && admission !== "refused"; i++) {
    admission = journal.append(draft("t", Buffer.alloc(2048)), [handler], new Remembering(), i);
    if (admission !== "taken") await new Promise((resolve) => setTimeout(resolve, 5));
    else await journal.synced();
  }
  expect(admission).toBe("refused");
  expect(journal.takesChained(handler)).toBe(false);
});

/** Makes events of 20 KB for `to` as `by`, until no more are taken, or `most`; says how many. */
async function flood(journal: Journal, by: string, to: number, most: number): Promise<number> {
  const handler = journal.handlerId(by);
  const feed = journal.tasks(handler, byTopic, nothing);
  let made = 0;
  for (; made < most && journal.takesChained(handler); made++) {
    journal.append(draft("in", "1"), [handler], new Remembering(), 1);
    const [task] = await takeTasks(feed, 1);
    if (task === undefined) throw new Error("no task");
    // For no device: what those get is another room.
    journal.settle(task, done([output(0, "x".repeat(20_000), { to: [], topic: "out", wanted: [to], qos: 1 })]), 1);
  }
  feed.close();
  return made;
}

it("what a handler publishes for others takes a quarter of the journal while it waits, and of all handlers half: devices find room", async () => {
  const sizeMaxBytes = 4 * 1024 * 1024;
  const journal = await openJournal(await dataFolder(), { sizeMaxBytes });
  const slow = journal.handlerId("slow");
  const quarter = sizeMaxBytes / 4 / 20_000;
  const first = await flood(journal, "first", slow, 500);
  expect(Math.abs(first - quarter)).toBeLessThan(3);
  // Others have their own, until all have half.
  expect(await flood(journal, "second", slow, 10)).toBe(10);
  expect(Math.abs((await flood(journal, "third", slow, 500)) + 10 - quarter)).toBeLessThan(3);
  expect(journal.takesChained(journal.handlerId("second"))).toBe(false);
  expect(journal.append(draft("in", "1"), [slow], new Remembering(), 1)).toBe("taken");
  await journal.synced();

  // What was run makes room again.
  const feed = journal.tasks(slow, byTopic, nothing);
  for (const task of await takeTasks(feed, 20)) journal.settle(task, done([]), 1);
  for (const by of ["first", "second"]) expect(journal.takesChained(journal.handlerId(by))).toBe(true);
});

/** What becomes of outputs at the journal's limits, and of those that their uplink rejects. */
import { describe, expect, it } from "vitest";
import type { Journal } from "../../src/journal/journal.ts";
import {
  balance,
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
  takeEntries,
  takeTasks,
} from "./fixture.ts";

const failure = { code: "X", message: "no" };
const receiver = new Remembering();

describe("an outbox", () => {
  const FULL = { sizeMaxBytes: MB, whenFull: "drop-oldest" } as const;

  async function emit(journal: Journal, count: number, bytes: number): Promise<number> {
    const handler = journal.handlerId("h");
    const cloud = journal.uplinkId("cloud");
    const feed = journal.tasks(handler, byTopic, nothing);
    let taken = 0;
    for (let i = 0; i < count; i++) {
      if (journal.append(draft("t"), [handler], receiver, i) !== "taken") break;
      await journal.synced();
      const [task] = await takeTasks(feed, 1);
      if (task !== undefined) journal.settle(task, done([output(cloud, "x".repeat(bytes))]), 1);
      await journal.synced();
      taken++;
    }
    feed.close();
    return taken;
  }

  it("that takes the most room drops its oldest outputs when a journal under `drop-oldest` is full, and counts them", async () => {
    const journal = await openJournal(await dataFolder(), { ...FULL, sweepMs: 5 });
    const cloud = journal.uplinkId("cloud");
    const outbox = journal.outbox(cloud, { whenFull: "drop-oldest" }, nothing);
    expect(await emit(journal, 200, 10_000)).toBe(200);
    await expect.poll(() => outbox.waitingBytes, { timeout: 5000 }).toBeLessThanOrEqual(FULL.sizeMaxBytes);
    await journal.synced();
    const columns = journal.ledger().uplinks["cloud"];
    expect(columns).toMatchObject({ emitted: 200, delivered: 0 });
    expect(columns?.dropped).toBeGreaterThan(80);
    const entries = await takeEntries(outbox, columns?.waiting ?? 0);
    expect(entries.at(-1)?.seq).toBe(200);
    journal.received(
      cloud,
      entries.map(({ seq }) => ({ seq, verdict: "delivered" })),
    );
    await journal.synced();
    expect(outbox.waiting).toBe(0);
    expect(outbox.waitingBytes).toBe(0);
    expect(await journal.audit()).toEqual(journal.ledger());
    expect(balance(journal.ledger())).toEqual([0, 0]);
  });

  it("under `refuse` keeps its outputs then: waiting tasks make room (J7)", async () => {
    const journal = await openJournal(await dataFolder(), { ...FULL, sweepMs: 5 });
    const cloud = journal.uplinkId("cloud");
    journal.outbox(cloud, { whenFull: "refuse" }, nothing);
    expect(await emit(journal, 60, 10_000)).toBe(60);
    expect(await fill(journal, journal.handlerId("idle"), 100)).toBe(100);
    await expect.poll(() => journal.ledger().events.dropped, { timeout: 5000 }).toBeGreaterThan(20);
    expect(journal.ledger().uplinks["cloud"]).toMatchObject({ waiting: 60, dropped: 0 });
  });

  it("counts the age of a redriven output from its redriving", async () => {
    const clock = new SetClock();
    const journal = await openJournal(await dataFolder(), { sweepMs: 5, clock });
    const cloud = journal.uplinkId("cloud");
    const outbox = journal.outbox(cloud, {}, nothing);
    await emit(journal, 1, 10);
    await takeEntries(outbox, 1);
    journal.received(cloud, [{ seq: 1, verdict: "rejected", failure }]);
    await journal.synced();
    clock.pass(5000);
    const [letter] = await journal.dead.list();
    expect(await journal.dead.redrive(letter?.id ?? "")).toBe(true);
    const [again] = await takeEntries(outbox, 1);
    expect(again?.timeMs).toBe(clock.now());
    expect(journal.ledger().uplinks["cloud"]).toMatchObject({ expired: 0, waiting: 1 });
  });

  it("keeps what the uplink rejected as dead letters, which can be redriven or dropped", async () => {
    const journal = await openJournal(await dataFolder());
    const cloud = journal.uplinkId("cloud");
    const outbox = journal.outbox(cloud, {}, nothing);
    await emit(journal, 3, 10);
    await takeEntries(outbox, 3);
    journal.received(cloud, [
      { seq: 1, verdict: "rejected", failure },
      { seq: 2, verdict: "rejected", failure },
      { seq: 3, verdict: "delivered" },
      { seq: 3, verdict: "delivered" },
    ]);
    await journal.synced();
    expect(journal.ledger().uplinks["cloud"]).toMatchObject({ emitted: 3, delivered: 1, rejected: 2, waiting: 0 });
    const [one, two] = await journal.dead.list({ uplink: "cloud" });
    expect(one).toMatchObject({ kind: "output", uplink: "cloud", handler: "h", failure, eventSeq: 1 });
    expect(await journal.dead.redrive(one?.id ?? "")).toBe(true);
    expect(await journal.dead.drop(two?.id ?? "")).toBe(true);
    const [again] = await takeEntries(outbox, 1);
    expect(again).toMatchObject({ seq: 4, eventSeq: 1, position: 0 });
    journal.received(cloud, [{ seq: 4, verdict: "delivered" }]);
    await journal.synced();
    const expected = { emitted: 3, delivered: 2, expired: 0, dropped: 1, rejected: 0, waiting: 0 };
    expect(journal.ledger().uplinks["cloud"]).toEqual(expected);
    expect(await journal.audit()).toEqual(journal.ledger());
  });
});

/**
 * Disks that are full or broken: nothing is acknowledged that is not on disk, nothing acknowledged is lost, and the
 * journal recovers by itself.
 */
import { describe, expect, it } from "vitest";
import type { StoreFactory } from "../../src/journal/journal.ts";
import { FaultyStore } from "../doubles/faulty-store.ts";
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
  SetClock,
  takeTasks,
} from "./fixture.ts";

describe("a store that fails to write", () => {
  it.each([
    { code: "ENOSPC" as const, lands: false },
    { code: "EIO" as const, lands: false },
    { code: "ENOSPC" as const, lands: true },
  ])("is reopened and gets the same batch again: $code, landed anyway: $lands (J5)", async ({ code, lands }) => {
    const path = await dataFolder();
    const store = new FaultyStore();
    const journal = await openJournal(path, { store });
    const handler = journal.handlerId("h");
    const receiver = new Remembering();
    const failing = new Set([store.batches + 3, store.batches + 7, store.batches + 8, store.batches + 9]);
    store.fault = (batch) => (failing.has(batch) ? { code, lands } : undefined);
    let sent = 0;
    const start = store.batches;
    while (store.batches < start + 12) {
      for (let i = 0; i < 20; i++) {
        if (journal.append(draft("t"), [handler], receiver, sent) === "taken") sent++;
      }
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    await journal.synced();
    expect(store.lost).toBe(0);
    expect(receiver.tags).toEqual(Array.from({ length: sent }, (_, tag) => tag));
    expect(journal.figures().writeFailures).toBeGreaterThanOrEqual(2);
    const feed = journal.tasks(handler, byTopic, nothing);
    const tasks = await takeTasks(feed, sent);
    expect(tasks.map(({ seq }) => seq)).toEqual(Array.from({ length: sent }, (_, i) => i + 1));
    await journal.close();

    const again = await openJournal(path);
    expect(again.damage).toEqual([]);
    expect((await again.audit()).events).toMatchObject({ accepted: sent, pending: sent });
  });

  it("answers `later`, then `refused` after five seconds, and calls onRoom() at each turn", async () => {
    const store = new FaultyStore();
    const clock = new SetClock();
    const journal = await openJournal(await dataFolder(), { store, clock });
    const handler = journal.handlerId("h");
    await journal.synced();
    const receiver = new Remembering();
    let broken = true;
    let rooms = 0;
    journal.onRoom = () => rooms++;
    store.fault = () => (broken ? { code: "ENOSPC" } : undefined);
    expect(journal.append(draft("t"), [handler], receiver, 1)).toBe("taken");
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(journal.append(draft("t"), [handler], receiver, 2)).toBe("later");
    clock.pass(5001);
    expect(journal.append(draft("t"), [handler], receiver, 3)).toBe("refused");
    expect(journal.figures().hasGivenUp).toBe(true);
    expect(receiver.tags).toEqual([]);
    broken = false;
    await journal.synced();
    expect(receiver.tags).toEqual([1]);
    expect(rooms).toBe(1);
    expect(journal.append(draft("t"), [handler], receiver, 4)).toBe("taken");
    await journal.synced();
    expect(receiver.tags).toEqual([1, 4]);
    expect(journal.figures()).toMatchObject({ failing: 0, hasGivenUp: false, refused: 1 });
  });

  it("keeps settlements and reads going while the store is being reopened", async () => {
    const path = await dataFolder();
    const store = new FaultyStore();
    const journal = await openJournal(path, { store, feedTasksMax: 16 });
    const handler = journal.handlerId("h");
    const cloud = journal.uplinkId("cloud");
    const receiver = new Remembering();
    for (let tag = 0; tag < 400; tag++) journal.append(draft("t"), [handler], receiver, tag);
    await journal.synced();
    let batches = 0;
    store.fault = () => (++batches % 3 === 0 ? { code: "EIO" } : undefined);
    store.opensFail = 2;
    const feed = journal.tasks(handler, byTopic, nothing);
    const seqs: number[] = [];
    while (seqs.length < 400) {
      for (const task of await takeTasks(feed, 10)) {
        seqs.push(task.seq);
        journal.settle(task, done([output(cloud, String(task.seq))], String(task.seq)), 1);
      }
    }
    store.fault = () => undefined;
    await journal.synced();
    expect(seqs).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
    expect(store.lost).toBe(0);
    expect(journal.ledger().events).toMatchObject({ done: 400, pending: 0 });
    await journal.close();
    const again = await openJournal(path);
    expect(again.damage).toEqual([]);
    const audit = await again.audit();
    expect(audit).toEqual(again.ledger());
    expect(balance(audit)).toEqual([0, 0]);
    expect(audit.uplinks["cloud"]).toMatchObject({ emitted: 400, waiting: 400 });
    expect(await again.state(handler, ["t"])).toEqual(["400"]);
  });

  it("lets go of the folder when it is reopened while the journal closes", async () => {
    const path = await dataFolder();
    const store = new FaultyStore();
    const opening = { at: 0, now: (): void => undefined };
    const slow: StoreFactory = {
      repair: (at) => store.repair(at),
      open: async (at) => {
        if (++opening.at > 1) await new Promise<void>((resolve) => (opening.now = resolve));
        return store.open(at);
      },
    };
    const journal = await openJournal(path, { store: slow });
    store.fault = () => ({ code: "EIO" });
    journal.append(draft("t"), [journal.handlerId("h")], new Remembering(), 1);
    await expect.poll(() => opening.at, { timeout: 5000 }).toBe(2);
    await journal.close(20);
    opening.now();
    await expect.poll(() => store.opens, { timeout: 5000 }).toBe(2);
    const open = (): Promise<boolean> =>
      openJournal(path).then(
        () => true,
        () => false,
      );
    await expect.poll(open, { timeout: 5000, interval: 50 }).toBe(true);
  });

  it("is never written to without a sync", async () => {
    const store = new FaultyStore();
    const journal = await openJournal(await dataFolder(), { store });
    journal.append(draft("t"), [journal.handlerId("h")], new Remembering(), 1);
    await journal.synced();
    expect(store.unsynced).toBe(0);
  });
});

/**
 * Feeds against a model: whatever is appended, taken, settled, closed and reopened in whatever order, every task is handed
 * out in the order of its number until it is settled, and not after that.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Journal } from "../../src/journal/journal.ts";
import type { OutboxFeed, TaskFeed } from "../../src/journal/journal.ts";
import type { Task } from "../../src/task.ts";
import {
  balance,
  byTopic,
  dataFolder,
  done,
  drain,
  draft,
  MB,
  nothing,
  openJournal,
  optionsFor,
  output,
  Remembering,
  takeEntries,
  takeTasks,
} from "./fixture.ts";

const failure = { code: "X", message: "" };

type Step =
  | { readonly at: "append"; readonly count: number; readonly wanted: number; readonly bytes: number }
  | { readonly at: "take"; readonly handler: number; readonly count: number }
  | { readonly at: "settle"; readonly handler: number; readonly pick: number; readonly as: "done" | "dead" | "behind" }
  | { readonly at: "deliver"; readonly count: number; readonly pick: number }
  | { readonly at: "reopen outbox" }
  | { readonly at: "sync" }
  | { readonly at: "reopen feed"; readonly handler: number }
  | { readonly at: "reopen journal" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      at: fc.constant("append" as const),
      count: fc.integer({ min: 1, max: 40 }),
      wanted: fc.integer({ min: 1, max: 3 }),
      bytes: fc.constantFrom(2, 50, 5000, 70_000),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      at: fc.constant("take" as const),
      handler: fc.nat(1),
      count: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      at: fc.constant("settle" as const),
      handler: fc.nat(1),
      pick: fc.nat(50),
      as: fc.constantFrom("done" as const, "done" as const, "dead" as const, "behind" as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      at: fc.constant("deliver" as const),
      count: fc.integer({ min: 1, max: 20 }),
      pick: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ at: "reopen outbox" as const }) },
  { weight: 2, arbitrary: fc.constant({ at: "sync" as const }) },
  { weight: 1, arbitrary: fc.record({ at: fc.constant("reopen feed" as const), handler: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.constant({ at: "reopen journal" as const }) },
);

interface Line {
  readonly id: number;
  feed: TaskFeed;
  /** Numbers of events that it wants and that are not settled. */
  readonly open: Set<number>;
  readonly hand: Task[];
  last: number;
}

describe("feeds", () => {
  it("hand out every task until it is settled, in order, whatever happens (J3, F1, F2)", async () => {
    const small = { feedTasksMax: 8, feedBytesMax: 2048, sizeMaxBytes: 2 ** 30 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const path = await mkdtemp(join(tmpdir(), "sluice-feeds-"));
        let journal = await Journal.open(optionsFor(path, small));
        try {
          const receiver = new Remembering();
          const names = ["one", "two"];
          const lines: Line[] = names.map((name) => {
            const id = journal.handlerId(name);
            return { id, feed: journal.tasks(id, byTopic, nothing), open: new Set(), hand: [], last: 0 };
          });
          const cloud = journal.uplinkId("cloud");
          const openOutbox = (): OutboxFeed => journal.outbox(cloud, { entriesMax: 4, bytesMax: 1024 }, nothing);
          let outbox = openOutbox();
          let sent = 0;
          let emitted = 0;
          const waiting = new Set<number>();
          let inFlight: number[] = [];
          const check = (line: Line, task: Task): void => {
            expect(task.seq).toBeGreaterThan(line.last);
            expect(line.open.has(task.seq)).toBe(true);
            // Nothing that is open lies between what came before and this one.
            for (const seq of line.open) expect(seq > line.last && seq < task.seq).toBe(false);
            line.last = task.seq;
            line.hand.push(task);
          };
          const restart = (line: Line): void => {
            line.feed = journal.tasks(line.id, byTopic, nothing);
            line.hand.length = 0;
            line.last = 0;
          };
          for (const now of steps) {
            switch (now.at) {
              case "append":
                for (let i = 0; i < now.count; i++) {
                  const wanted = lines.filter((_, n) => (now.wanted >>> n) & 1);
                  sent++;
                  const payload = Buffer.alloc(i === 0 ? now.bytes : Math.min(now.bytes, 100));
                  journal.append(
                    draft("t", payload),
                    wanted.map(({ id }) => id),
                    receiver,
                    sent,
                  );
                  for (const line of wanted) line.open.add(sent);
                }
                break;
              case "take": {
                const line = lines[now.handler] as Line;
                for (let i = 0; i < now.count; i++) {
                  const task = line.feed.take();
                  if (task === undefined) await new Promise((resolve) => setImmediate(resolve));
                  else check(line, task);
                }
                break;
              }
              case "settle": {
                const line = lines[now.handler] as Line;
                const [task] = line.hand.splice(now.pick % Math.max(1, line.hand.length), 1);
                if (task === undefined) break;
                line.open.delete(task.seq);
                if (now.as === "done") {
                  journal.settle(task, done([output(cloud, String(++emitted))]), 1);
                  waiting.add(emitted);
                } else if (now.as === "dead") journal.settle(task, { at: "dead", failure }, 1);
                else journal.settle(task, { at: "behind" }, 1);
                break;
              }
              case "deliver": {
                for (let i = 0; i < now.count; i++) {
                  const entry = outbox.take();
                  if (entry === undefined) await new Promise((resolve) => setImmediate(resolve));
                  else {
                    expect(waiting.has(entry.seq)).toBe(true);
                    expect(entry.data.toString()).toBe(String(entry.seq));
                    expect(entry.seq).toBeGreaterThan(inFlight.at(-1) ?? 0);
                    inFlight.push(entry.seq);
                  }
                }
                const received = inFlight.filter((_, i) => i % 4 !== now.pick);
                inFlight = inFlight.filter((_, i) => i % 4 === now.pick);
                for (const seq of received) waiting.delete(seq);
                journal.received(
                  cloud,
                  received.map((seq) => ({ seq, verdict: "delivered" })),
                );
                break;
              }
              case "reopen outbox":
                outbox = openOutbox();
                inFlight = [];
                break;
              case "sync":
                await journal.synced();
                break;
              case "reopen feed":
                restart(lines[now.handler] as Line);
                break;
              case "reopen journal":
                await journal.close();
                journal = await Journal.open(optionsFor(path, small));
                expect(journal.damage).toEqual([]);
                for (const line of lines) restart(line);
                outbox = openOutbox();
                inFlight = [];
                break;
            }
          }
          await journal.synced();
          expect(receiver.tags).toEqual(Array.from({ length: sent }, (_, i) => i + 1));
          for (const line of lines) {
            const left = [...line.open].filter((seq) => seq > line.last);
            for (const task of await takeTasks(line.feed, left.length)) check(line, task);
            expect(line.hand.map(({ seq }) => seq).sort((a, b) => a - b)).toEqual([...line.open]);
            expect(line.feed.take()).toBeUndefined();
          }
          outbox = openOutbox();
          const entries = await takeEntries(outbox, waiting.size);
          expect(entries.map(({ seq }) => seq)).toEqual([...waiting]);
          const audit = await journal.audit();
          expect(audit).toEqual(journal.ledger());
          expect(balance(audit)).toEqual([0, 0]);
          expect(audit.uplinks["cloud"]).toMatchObject({ emitted, waiting: waiting.size });
          expect(journal.damage).toEqual([]);
        } finally {
          await journal.close();
          await rm(path, { recursive: true, force: true });
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);

  it("wake their consumer once a commit, and only when it has found nothing before", async () => {
    const journal = await openJournal(await dataFolder());
    const handler = journal.handlerId("h");
    let wakes = 0;
    const feed = journal.tasks(handler, byTopic, () => wakes++);
    for (let tag = 0; tag < 5; tag++) journal.append(draft("t"), [handler], new Remembering(), tag);
    await journal.synced();
    expect(wakes).toBe(1);
    journal.append(draft("t"), [handler], new Remembering(), 5);
    await journal.synced();
    expect(wakes).toBe(1);
    while (feed.take() !== undefined);
    journal.append(draft("t"), [handler], new Remembering(), 6);
    await journal.synced();
    expect(wakes).toBe(2);
  });

  it("go on when uplinks have brought the journal below its brim, although nothing new comes for them (F1)", async () => {
    const journal = await openJournal(await dataFolder(), { sizeMaxBytes: MB });
    const handler = journal.handlerId("h");
    const cloud = journal.uplinkId("cloud");
    for (let tag = 0; tag < 600; tag++) {
      journal.append(draft("t", Buffer.alloc(1000)), [handler], new Remembering(), tag);
      if (tag % 50 === 0) await journal.synced();
    }
    await journal.synced();
    let ran = 0;
    const feed = journal.tasks(handler, byTopic, () => run());
    const run = (): void => {
      for (let task = feed.take(); task !== undefined; task = feed.take()) {
        journal.settle(task, done([output(cloud, "x".repeat(3000))]), 1);
        if (++ran % 20 === 0) return void journal.synced().then(run);
      }
    };
    run();
    await expect.poll(() => journal.figures().usedBytes, { timeout: 5000 }).toBeGreaterThan(1.1 * MB);
    await journal.synced();
    const stalled = ran;
    expect(stalled).toBeLessThan(600);
    const outbox = journal.outbox(cloud, {}, nothing);
    const deadline = Date.now() + 10_000;
    while (ran < 600 && Date.now() < deadline) {
      const [entry] = await takeEntries(outbox, 1);
      if (entry !== undefined) journal.received(cloud, [{ seq: entry.seq, verdict: "delivered" }]);
    }
    expect(ran).toBe(600);
    await journal.synced();
    expect(await journal.audit()).toEqual(journal.ledger());
  }, 20_000);

  it("hold a window of a long backlog, and read the rest as it is taken", async () => {
    const path = await dataFolder();
    const journal = await openJournal(path, { feedTasksMax: 100, feedBytesMax: 64 * 1024 });
    const handler = journal.handlerId("all");
    const rare = journal.handlerId("rare");
    for (let tag = 1; tag <= 20_000; tag++) {
      journal.append(
        draft("t", "x".repeat(100)),
        tag % 1000 === 0 ? [handler, rare] : [handler],
        new Remembering(),
        tag,
      );
      if (tag % 2000 === 0) await journal.synced();
    }
    const feed = journal.tasks(handler, byTopic, nothing);
    const rareFeed = journal.tasks(rare, byTopic, nothing);
    expect((await takeTasks(rareFeed, 20)).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 20 }, (_, i) => (i + 1) * 1000),
    );
    let expected = 1;
    while (expected <= 20_000) {
      for (const task of await takeTasks(feed, 50)) {
        expect(task.seq).toBe(expected++);
        journal.settle(task, done(), 1);
      }
      expect(feed.size).toBeLessThan(100 + 256);
      expect(journal.figures().feedBytes).toBeLessThan(512 * 1024);
    }
    expect(await drain(feed)).toEqual([]);
    await journal.synced();
    expect(journal.ledger().events).toMatchObject({ accepted: 20_020, done: 20_000, pending: 20 });
  });
});

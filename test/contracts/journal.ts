/**
 * What the pipeline relies on in a journal: the real one, and the one in memory that stands for it in the tests of tasks.
 */
import { describe, expect, it } from "vitest";
import type { PipelineOptions } from "../../src/pipeline.ts";
import type { Outcome, Task } from "../../src/task.ts";
import { draft, Remembering } from "../journal/fixture.ts";

type Journal = PipelineOptions["journal"];
type Feed = ReturnType<Journal["tasks"]>;

export interface JournalSubject {
  /** Ids of two handlers, and a way to wait until what was staged counts. */
  readonly journal: Journal;
  readonly handlers: readonly [number, number];
  synced(): Promise<void>;
}

const FAILURE = { code: "HANDLER_THREW", message: "no" };
const done = (state?: string): Outcome => ({ at: "done", outputs: [], state });
const retry = (dueMs: number, isFree = false): Outcome => ({ at: "retry", dueMs, failure: FAILURE, isFree });

export function journalContract(name: string, open: () => Promise<JournalSubject>): void {
  describe(`the journal ${name}`, () => {
    interface Bench extends JournalSubject {
      readonly feed: Feed;
      readonly receiver: Remembering;
      publish(...topics: string[]): Promise<void>;
      take(count: number): Promise<Task[]>;
      settle(task: Task, outcome: Outcome): string | undefined;
    }

    async function bench(): Promise<Bench> {
      const opened = await open();
      const { journal, handlers, synced } = opened;
      const receiver = new Remembering();
      const byTopic = (topic: string): string => topic;
      const feed = journal.tasks(handlers[0], byTopic, () => undefined);
      let tag = 0;
      return {
        ...opened,
        feed,
        receiver,
        publish: async (...topics) => {
          for (const topic of topics) journal.append(draft(topic), [handlers[0]], receiver, ++tag);
          await synced();
        },
        take: async (count) => {
          const tasks: Task[] = [];
          for (let tries = 0; tasks.length < count && tries < 1000; tries++) {
            const task = feed.take();
            if (task === undefined) await new Promise((resolve) => setImmediate(resolve));
            else tasks.push(task);
          }
          return tasks;
        },
        settle: (task, outcome) => journal.settle(task, outcome, 1, 0),
      };
    }

    it("hands tasks out in the order of their events, once, with their keys, and says when they are kept", async () => {
      const { publish, take, feed, receiver } = await bench();
      await publish("b", "a", "b");
      expect(feed.waiting).toBe(3);
      const tasks = await take(3);
      expect(tasks.map(({ key, attempt, parked }) => [key, attempt, parked])).toEqual([
        ["b", 0, false],
        ["a", 0, false],
        ["b", 0, false],
      ]);
      expect(tasks.map(({ seq }) => seq)).toEqual(tasks.map(({ seq }) => seq).toSorted((a, b) => a - b));
      expect(feed.take()).toBeUndefined();
      expect(receiver.tags).toEqual([1, 2, 3]);
    });

    it("counts a task as waiting until it is settled or parked", async () => {
      const { publish, take, feed, settle } = await bench();
      await publish("a", "b", "c");
      const [a, b, c] = (await take(3)) as [Task, Task, Task];
      expect(feed.waiting).toBe(3);
      settle(a, done());
      settle(b, retry(5));
      expect(feed.waiting).toBe(1);
      settle(c, { at: "dead", failure: FAILURE });
      expect(feed.waiting).toBe(0);
    });

    it("gives each handler that wants an event its own task, and a handler that comes later what came before", async () => {
      const { journal, handlers, receiver, synced, take } = await bench();
      journal.append(draft("a"), handlers, receiver, 1);
      await synced();
      expect(await take(1)).toHaveLength(1);
      const late = journal.tasks(
        handlers[1],
        () => "mine",
        () => undefined,
      );
      expect(late.waiting).toBe(1);
      let task = late.take();
      for (let tries = 0; task === undefined && tries < 1000; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        task = late.take();
      }
      expect(task).toMatchObject({ key: "mine", handler: handlers[1] });
    });

    it("hands out once more, to who opens a closed feed again, what was not settled", async () => {
      const { journal, handlers, feed, publish, take, settle } = await bench();
      await publish("a", "b", "c", "d");
      const [a, b, c] = (await take(3)) as [Task, Task, Task];
      settle(a, done());
      settle(b, retry(5));
      feed.close();
      const again = journal.tasks(
        handlers[0],
        (topic) => topic,
        () => undefined,
      );
      expect(again.waiting).toBe(2);
      const keys: string[] = [];
      for (let tries = 0; keys.length < 2 && tries < 1000; tries++) {
        const task = again.take();
        if (task === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
        else keys.push(task.key);
      }
      expect(keys).toEqual([c.key, "d"]);
    });

    it("has a state at once when it is staged, by handler and key; an empty one is none", async () => {
      const { journal, handlers, publish, take, settle } = await bench();
      await publish("a", "a", "a");
      const [first, second, third] = (await take(3)) as [Task, Task, Task];
      const states = async (): Promise<unknown> => await journal.state(handlers[0], ["a", "b"]);
      expect(await states()).toEqual([undefined, undefined]);
      settle(first, done('{"n":1}'));
      expect(await states()).toEqual(['{"n":1}', undefined]);
      expect(await journal.state(handlers[1], ["a"])).toEqual([undefined]);
      settle(second, done());
      expect(await states()).toEqual(['{"n":1}', undefined]);
      settle(third, done(""));
      expect(await states()).toEqual([undefined, undefined]);
    });

    it("parks what is to be tried again and what is behind it, oldest first, and counts tries that count", async () => {
      const { journal, handlers, publish, take, settle } = await bench();
      await publish("a", "a", "b", "a");
      const [first, second, other, third] = (await take(4)) as [Task, Task, Task, Task];
      expect(await journal.parked(handlers[0])).toEqual([]);
      settle(first, retry(1000));
      settle(second, { at: "behind" });
      settle(third, { at: "behind" });
      settle(other, retry(2000, true));
      const keys = [...(await journal.parked(handlers[0]))].toSorted((a, b) => (a.key < b.key ? -1 : 1));
      expect(keys).toMatchObject([
        { key: "a", count: 3, dueMs: 1000 },
        { key: "b", count: 1, dueMs: 2000 },
      ]);
      const [again, ...behind] = await journal.readParked(handlers[0], "a", 2);
      expect(again).toMatchObject({ seq: first.seq, attempt: 1, parked: true });
      expect(behind).toMatchObject([{ seq: second.seq, attempt: 0, parked: true }]);
      expect(await journal.readParked(handlers[0], "b", 9)).toMatchObject([{ seq: other.seq, attempt: 0 }]);
      settle(again as Task, done());
      const left = await journal.readParked(handlers[0], "a", 9);
      expect(left.map(({ seq }) => seq)).toEqual([second.seq, third.seq]);
      expect(settle(left[0] as Task, { at: "dead", failure: FAILURE })).toMatch(/^d\d+$/);
      expect(await journal.readParked(handlers[0], "a", 9)).toMatchObject([{ seq: third.seq }]);
    });

    it("says whether a state fits beside those of the handler's other keys, or takes no more than before", async () => {
      const { journal, publish, take, settle } = await bench();
      await publish("a", "b");
      const [a, b] = (await take(2)) as [Task, Task];
      const long = JSON.stringify("x".repeat(1000));
      expect(journal.fits(a, long, 3000)).toBe(true);
      settle(a, done(long));
      expect(journal.fits(b, long, 1500)).toBe(false);
      expect(journal.fits(a, long, 100)).toBe(true);
      expect(journal.fits(a, '"x"', 100)).toBe(true);
      expect(journal.fits(b, long, 5000)).toBe(true);
    });
  });
}

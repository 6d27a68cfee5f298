/** State that is removed while tasks of its key run stays removed: what had seen it counts for nothing, and runs again (P9). */
import { afterEach, expect, it } from "vitest";
import type { Pipeline } from "../../src/pipeline.ts";
import type { Runners, RunResult } from "../../src/tasks/run.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { openPipeline } from "./opened.ts";

const HANDLER = 3;

/** Counts events in the key's state. Answers when it is told to. */
class Counting extends RestingRunners {
  readonly waiting: (() => void)[] = [];
  readonly ran: string[] = [];

  run(...[, , tasks, states, done]: Parameters<Runners["run"]>): void {
    const counts = new Map<string, number>();
    const results = tasks.map(({ key, seq }, i): RunResult => {
      const count = (counts.get(key) ?? Number(states[i] ?? 0)) + 1;
      counts.set(key, count);
      this.ran.push(`${key}${seq}`);
      return { at: "done", outputs: [], state: String(count) };
    });
    this.waiting.push(() => done({ version: 1, results }));
  }

  answer(): void {
    for (const answer of this.waiting.splice(0)) answer();
  }
}

let pipeline: Pipeline;
afterEach(() => pipeline.close());

it("stays removed: the batch that had seen it runs again, in order, and other keys of it do not", async () => {
  const journal = new MemoryJournal();
  const runners = new Counting(1);
  pipeline = openPipeline({ journal, runners, wanted: () => [HANDLER] });
  const retry = { firstMs: 1, maxMs: 2, triesMax: 2 };
  const line = { name: "h", id: HANDLER, version: 1, to: [], type: "t", retry, concurrency: 1, route: false } as const;
  await pipeline.attach({ ...line, trust: "known", keyOf: (topic) => topic });
  const publish = async (...keys: string[]): Promise<void> => {
    for (const topic of keys) {
      const event = { kind: "topic", topic, device: "d", payload: Buffer.from("1"), qos: 1, retain: false } as const;
      pipeline.accept({ ...event, hops: 0, timeMs: 1 }, { committed: () => undefined }, 0);
    }
    await new Promise((resolve) => setImmediate(resolve));
  };
  const states = (): unknown[] => journal.state(HANDLER, ["a", "b"]);
  const until = async (settled: number): Promise<void> => {
    for (let i = 0; i < 20 && journal.settlements.length < settled; i++) {
      runners.answer();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await publish("a", "a", "b");
  await until(3);
  expect(states()).toEqual(["2", "1"]);
  runners.ran.length = 0;

  await publish("a", "b", "a");
  journal.removeState(HANDLER, "a");
  pipeline.stateRemoved(HANDLER, "a");
  await until(6);
  expect(states()).toEqual(["2", "2"]);
  expect(runners.ran.filter((name) => name === "b5")).toHaveLength(1);
  expect(runners.ran.filter((name) => name === "a4")).toHaveLength(2);
  expect(new Set(journal.settlements.map(({ task }) => task.seq))).toEqual(new Set([1, 2, 3, 4, 5, 6]));
  expect(journal.settlements).toHaveLength(6);
  expect(journal.settlements.every(({ outcome, task }) => outcome.at === "done" && task.attempt === 0)).toBe(true);

  // With nothing of the key under way there is nothing to run again.
  pipeline.stateRemoved(HANDLER, "b");
  journal.removeState(HANDLER, "b");
  await publish("b");
  await until(7);
  expect(runners.ran.filter((name) => name === "b7")).toHaveLength(1);
  expect(states()).toEqual(["2", "1"]);
});

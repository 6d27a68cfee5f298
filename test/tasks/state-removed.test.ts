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
  /** So many batches end with their runner. */
  crashes = 0;

  run(...[, , tasks, states, done]: Parameters<Runners["run"]>): void {
    const counts = new Map<string, number>();
    const results = tasks.map(({ key, seq }, i): RunResult => {
      const count = (counts.get(key) ?? Number(states[i] ?? 0)) + 1;
      counts.set(key, count);
      this.ran.push(`${key}${seq}`);
      return { at: "done", outputs: [], state: String(count) };
    });
    const isLost = this.crashes-- > 0;
    const lost = tasks.map((): RunResult => ({ at: "crashed", byItself: true }));
    this.waiting.push(() => done({ version: 1, results: isLost ? lost : results }));
  }

  answer(): void {
    for (const answer of this.waiting.splice(0)) answer();
  }
}

let pipeline: Pipeline;
afterEach(() => pipeline.close());

interface Stage {
  readonly journal: MemoryJournal;
  readonly runners: Counting;
  publish(...keys: string[]): Promise<void>;
  states(): unknown;
  /** Has the runner answer until so many tasks are settled. */
  until(settled: number): Promise<void>;
}

async function opened(): Promise<Stage> {
  const journal = new MemoryJournal();
  const runners = new Counting(1);
  pipeline = openPipeline({ journal, runners, wanted: () => [HANDLER] });
  const retry = { firstMs: 1, maxMs: 2, triesMax: 2 };
  const line = { name: "h", id: HANDLER, version: 1, to: [], type: "t", retry, concurrency: 1, route: false } as const;
  await pipeline.lines.attach({ ...line, trust: "known", keyOf: (topic) => topic });
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
  return { journal, runners, publish, states, until };
}

it("stays removed: the batch that had seen it runs again, in order, and other keys of it do not", async () => {
  const { journal, runners, publish, states, until } = await opened();
  await publish("a", "a", "b");
  await until(3);
  expect(states()).toEqual(["2", "1"]);
  runners.ran.length = 0;

  await publish("a", "b", "a");
  journal.removeState(HANDLER, "a");
  pipeline.lines.stateRemoved(HANDLER, "a");
  await until(6);
  expect(states()).toEqual(["2", "2"]);
  expect(runners.ran.filter((name) => name === "b5")).toHaveLength(1);
  expect(runners.ran.filter((name) => name === "a4")).toHaveLength(2);
  expect(new Set(journal.settlements.map(({ task }) => task.seq))).toEqual(new Set([1, 2, 3, 4, 5, 6]));
  expect(journal.settlements).toHaveLength(6);
  expect(journal.settlements.every(({ outcome, task }) => outcome.at === "done" && task.attempt === 0)).toBe(true);

  // With nothing of the key under way there is nothing to run again.
  pipeline.lines.stateRemoved(HANDLER, "b");
  journal.removeState(HANDLER, "b");
  await publish("b");
  await until(7);
  expect(runners.ran.filter((name) => name === "b7")).toHaveLength(1);
  expect(states()).toEqual(["2", "1"]);
});

it("stays removed while what a lost runner had in hand is tried alone: the trial that had seen it runs again (P4, P9)", async () => {
  const { journal, runners, publish, states, until } = await opened();
  await publish("a");
  await until(1);
  runners.ran.length = 0;
  const answer = async (): Promise<void> => {
    runners.answer();
    await new Promise((resolve) => setImmediate(resolve));
  };
  runners.crashes = 1;
  await publish("a", "a");
  await answer();
  expect(runners.ran).toEqual(["a2", "a2"]);
  journal.removeState(HANDLER, "a");
  pipeline.lines.stateRemoved(HANDLER, "a");
  await answer();
  expect(journal.settlements).toHaveLength(1);
  expect(runners.ran).toEqual(["a2", "a2", "a2"]);
  await until(3);
  expect([states(), runners.ran.slice(3)]).toEqual([["2", undefined], ["a3"]]);

  // Removed before its trial begins, it is tried once.
  runners.ran.length = 0;
  runners.crashes = 1;
  await publish("a");
  journal.removeState(HANDLER, "a");
  pipeline.lines.stateRemoved(HANDLER, "a");
  await until(4);
  expect([states(), runners.ran]).toEqual([
    ["1", undefined],
    ["a4", "a4"],
  ]);
});

/** State of all keys of a handler: what goes over its limit fails, and what ran on with it runs again (P7). */
import { afterEach, expect, it } from "vitest";
import type { Pipeline } from "../../src/pipeline.ts";
import type { Task } from "../../src/task.ts";
import type { BatchResult, RunResult } from "../../src/tasks/run.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { openPipeline } from "./opened.ts";

/**
 * Runners whose handler keeps as many characters as the payload says, and adds a `+` to what was there when it says
 * "more"; a key's later tasks of a batch see what the earlier ones left, as in an isolate.
 */
class KeepingRunners extends RestingRunners {
  readonly saw: string[] = [];

  run(
    _runner: number,
    _handler: number,
    batch: readonly Task[],
    states: readonly (string | undefined)[],
    done: (result: BatchResult) => void,
  ): void {
    const kept = new Map<string, string>();
    const results = batch.map((task, i): RunResult => {
      const before = kept.get(task.key) ?? states[i] ?? "";
      const [, wish = ""] = /<(.*?)>/.exec(task.page.toString("latin1")) ?? [];
      const state = wish === "more" ? `${before}+` : "x".repeat(Number(wish));
      this.saw.push(`${task.key}:${before}`);
      kept.set(task.key, state);
      return { at: "done", outputs: [], state };
    });
    setImmediate(() => done({ version: 1, results }));
  }
}

let pipeline: Pipeline | undefined;
afterEach(() => pipeline?.close());

async function started(triesMax: number): Promise<{ journal: MemoryJournal; runners: KeepingRunners }> {
  const journal = new MemoryJournal();
  const runners = new KeepingRunners(1);
  pipeline = openPipeline({
    journal,
    runners,
    wanted: () => [1],
  });
  await pipeline.lines.attach({
    name: "keeper",
    id: 1,
    to: [],
    type: "t",
    retry: { firstMs: 1, maxMs: 2, triesMax },
    concurrency: 1,
    route: false,
    version: 1,
    trust: "known",
    keyOf: (topic) => topic,
    limits: { stateTotalBytesMax: 10 },
  });
  return { journal, runners };
}

const publish = (topic: string, wish: string): void => {
  const event = {
    kind: "topic",
    topic,
    device: "d",
    payload: Buffer.from(`<${wish}>`),
    qos: 1,
    retain: false,
  } as const;
  pipeline?.accept({ ...event, hops: 0, timeMs: 1 }, { committed: () => undefined }, 0);
};

/** The runner has two batches to work on: what comes now is one batch, the next. */
const occupy = (): void => {
  publish("y", "0");
  publish("z", "0");
};

const told = (journal: MemoryJournal): string[] =>
  journal.settlements.map(({ task, outcome }) =>
    `${task.key} ${outcome.at} ${"failure" in outcome ? outcome.failure.code : "state" in outcome ? outcome.state : ""}`.trim(),
  );

it("at the limit passes, one more fails and is a dead letter in the end; less is always taken, and nothing of it is lost", async () => {
  const { journal } = await started(2);
  publish("a", "6");
  publish("b", "4");
  publish("c", "1");
  publish("a", "5");
  publish("d", "1");
  publish("b", "0");
  await expect.poll(() => told(journal).length).toBe(7);
  expect(told(journal)).toEqual([
    "a done xxxxxx",
    "b done xxxx",
    "c retry SANDBOX_STATE_TOTAL",
    "a done xxxxx",
    "d done x",
    "b done",
    expect.stringMatching(/^c done x$/),
  ]);
});

it("what ran on with the refused state in the same batch waits behind it, or runs again without it", async () => {
  const { journal, runners } = await started(1);
  occupy();
  publish("a", "10");
  publish("b", "3");
  publish("b", "more");
  publish("a", "8");
  publish("b", "more");
  await expect.poll(() => told(journal).length).toBe(7);
  // The batch: b's first is refused for good; the others of b had seen "xxx", and run again where there is no state.
  expect(told(journal).slice(2, 5)).toEqual(["a done xxxxxxxxxx", "b dead SANDBOX_STATE_TOTAL", "a done xxxxxxxx"]);
  expect(told(journal).slice(5)).toEqual(["b done +", "b done ++"]);
  expect(runners.saw.slice(2)).toEqual(["a:", "b:", "b:xxx", "a:xxxxxxxxxx", "b:xxx+", "b:", "b:+"]);
  expect(pipeline?.figures().handlers[0]?.budgets).toEqual({ "state-total": 1 });
});

it("a refused state that is tried again keeps its key's later events waiting, in order", async () => {
  const { journal } = await started(2);
  occupy();
  publish("a", "10");
  publish("b", "3");
  publish("b", "more");
  publish("a", "4");
  await expect.poll(() => told(journal).length, { timeout: 5000 }).toBe(8);
  expect(told(journal).slice(2)).toEqual([
    "a done xxxxxxxxxx",
    "b retry SANDBOX_STATE_TOTAL",
    "b behind",
    "a done xxxx",
    "b done xxx",
    "b done xxx+",
  ]);
});

import { describe, expect, it } from "vitest";
import { writeEventRecord } from "../../src/event.ts";
import type { EventDraft } from "../../src/event.ts";
import type { Pipeline } from "../../src/pipeline.ts";
import type { BatchResult } from "../../src/tasks/run.ts";
import type { Task } from "../../src/task.ts";
import { ParkedKeys } from "../../src/tasks/parked.ts";
import { systemClock } from "../../src/time.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { openPipeline } from "./opened.ts";

/** One runner whose batches a test answers by hand. An unloaded handler's are `unrun` at once, as the sandbox has it. */
class HandRunners extends RestingRunners {
  readonly open: { handler: number; tasks: readonly Task[]; done: (result: BatchResult) => void }[] = [];
  readonly unloaded = new Set<number>();
  calls = 0;

  run(
    _runner: number,
    handler: number,
    tasks: readonly Task[],
    _states: readonly (string | undefined)[],
    done: (result: BatchResult) => void,
  ): void {
    this.calls++;
    if (this.unloaded.has(handler))
      queueMicrotask(() => done({ version: 0, results: tasks.map(() => ({ at: "unrun" })) }));
    else this.open.push({ handler, tasks, done });
  }

  answer(at: "done" | "crashed", byItself = false): void {
    for (const { tasks, done } of this.open.splice(0)) {
      const results = tasks.map(() =>
        at === "done" ? ({ at, outputs: [], state: undefined } as const) : ({ at, byItself } as const),
      );
      done({ version: 1, results });
    }
  }
}

function setUp(): {
  journal: MemoryJournal;
  runners: HandRunners;
  pipeline: Pipeline;
  publish: (topic: string) => void;
} {
  const journal = new MemoryJournal();
  const runners = new HandRunners(1);
  const pipeline = openPipeline({
    journal,
    runners,
    wanted: (topic) => [topic === "b" ? 2 : 1],
    uplink: (name) => (name === "cloud" ? 5 : undefined),
  });
  const publish = (topic: string): void => void pipeline.accept(draft(topic), { committed: () => undefined }, 0);
  return { journal, runners, pipeline, publish };
}

function draft(topic: string): EventDraft {
  return { kind: "topic", topic, device: "d", payload: Buffer.from("1"), qos: 1, retain: false, hops: 0, timeMs: 1 };
}

function attach(pipeline: Pipeline, id: number): Promise<void> {
  const retry = { firstMs: 1, maxMs: 2, triesMax: 3 };
  return pipeline.lines.attach({
    name: `h${id}`,
    id,
    to: [],
    type: "t",
    retry,
    concurrency: 1,
    route: false,
    version: 1,
    trust: "known",
    keyOf: (topic) => topic,
  });
}

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe("a handler that goes while its tasks are under trial", () => {
  it("holds up nobody: other handlers go on, and the runner is not kept busy with it (P4)", async () => {
    const { journal, runners, pipeline, publish } = setUp();
    await attach(pipeline, 1);
    await attach(pipeline, 2);
    publish("a");
    await turns(2);
    runners.answer("crashed");
    runners.unloaded.add(1);
    pipeline.lines.detach(1);
    runners.answer("crashed");
    await turns(5);
    const { calls } = runners;
    publish("b");
    await turns(20);
    expect(runners.calls).toBe(calls + 1);
    runners.answer("done");
    expect(journal.settlements.at(-1)).toMatchObject({ task: { handler: 2 }, outcome: { at: "done" } });
    pipeline.close();
  });
});

describe("an event that was alone in a runner that is lost", () => {
  it.each([
    ["killed for it", [false, false], "dead"],
    ["ended once more by somebody else", [true, true], "done"],
    ["ended a third time", [true, true, true], "dead"],
    ["killed for it after somebody else ended one", [true, false], "dead"],
  ])("%s comes to what it deserves (P4)", async (_, losses, end) => {
    const { journal, runners, pipeline, publish } = setUp();
    await attach(pipeline, 1);
    publish("a");
    for (const byItself of losses) {
      await turns(2);
      runners.answer("crashed", byItself);
    }
    await turns(2);
    runners.answer("done");
    expect(journal.settlements.map(({ outcome }) => outcome.at)).toEqual([end]);
    pipeline.close();
  });
});

describe("a handler that is detached", () => {
  it("lets its feed go when nothing of it is in flight any more, so that the journal knows it is gone", async () => {
    const { journal, runners, pipeline, publish } = setUp();
    await attach(pipeline, 1);
    publish("a");
    await turns(2);
    pipeline.lines.detach(1);
    expect(journal.open.has(1)).toBe(true);
    runners.answer("done");
    expect(journal.open.has(1)).toBe(false);
    expect(journal.settlements).toHaveLength(1);
  });

  it("goes on where it was when it comes back before that", async () => {
    const { journal, runners, pipeline, publish } = setUp();
    await attach(pipeline, 1);
    publish("a");
    await turns(2);
    pipeline.lines.detach(1);
    await attach(pipeline, 1);
    runners.answer("done");
    publish("a");
    await turns(2);
    runners.answer("done");
    expect(journal.settlements.map(({ outcome }) => outcome.at)).toEqual(["done", "done"]);
    pipeline.close();
  });
});

describe("a dead letter that is redriven", () => {
  it("runs also when its handler was just being attached", async () => {
    const { journal, runners, pipeline } = setUp();
    const page = Buffer.alloc(256);
    writeEventRecord(page, 0, draft("a"), [1]);
    let redriven = false;
    journal.onParked = () => {
      if (redriven) return;
      redriven = true;
      journal.redrive({ handler: 1, seq: 1, page, at: 0, key: "a", attempt: 0, parked: true });
      pipeline.lines.redriven(1, "a");
    };
    await attach(pipeline, 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    runners.answer("done");
    expect(journal.settlements).toHaveLength(1);
    pipeline.close();
  });
});

describe("an output", () => {
  it("goes once to an uplink that it names twice, for its id would be there twice", async () => {
    const { journal, runners, pipeline, publish } = setUp();
    await attach(pipeline, 1);
    publish("a");
    await turns(2);
    const output = { data: Buffer.from("1"), json: true, to: ["cloud", "cloud"] };
    for (const { done } of runners.open.splice(0)) {
      done({ version: 1, results: [{ at: "done", outputs: [output], state: undefined }] });
    }
    expect(journal.settlements).toMatchObject([{ outcome: { at: "done", outputs: [{ to: [5] }] } }]);
    pipeline.close();
  });
});

describe("parked keys", () => {
  it("wait for the task that failed last, also when a redriven one was parked before it", async () => {
    const woken: string[] = [];
    const parked = new ParkedKeys(
      systemClock,
      () => 60_000,
      (keys) => woken.push(...keys),
    );
    parked.park("a", systemClock.now());
    parked.park("a", systemClock.now() + 30_000);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(woken).toEqual([]);
    parked.close();
  });

  it("are forgotten with the last of their tasks that is dropped, and keep those that are handed out", async () => {
    const woken: string[] = [];
    const parked = new ParkedKeys(
      systemClock,
      () => 60_000,
      (keys) => woken.push(...keys),
    );
    parked.park("a", systemClock.now() + 30_000);
    parked.park("a", undefined);
    expect([parked.drop("a"), parked.tasks, parked.has("a")]).toEqual([true, 1, true]);
    expect([parked.drop("a"), parked.tasks, parked.has("a")]).toEqual([true, 0, false]);
    expect(parked.drop("a")).toBe(true);
    parked.park("b", systemClock.now());
    await expect.poll(() => woken).toEqual(["b"]);
    expect(parked.drop("b")).toBe(false);
    parked.handedOut("b", 1);
    expect(parked.drop("b")).toBe(false);
    parked.again("b", systemClock.now() + 30_000);
    parked.returned("b");
    expect([parked.drop("b"), parked.tasks, parked.has("b")]).toEqual([true, 0, false]);
    parked.close();
  });

  it("wake nobody once they are closed, whatever still fails", async () => {
    const woken: string[] = [];
    const parked = new ParkedKeys(
      systemClock,
      () => 10,
      (keys) => woken.push(...keys),
    );
    parked.close();
    parked.park("a", systemClock.now());
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(woken).toEqual([]);
  });
});

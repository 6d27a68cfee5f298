import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventDraft } from "../../src/event.ts";
import type { BatchResult, RunResult } from "../../src/tasks/run.ts";
import type { Task } from "../../src/task.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { openPipeline } from "./opened.ts";

const HANDLER = 3;
/** Proven, so that the handler moves between its runners and the one apart. */
const GUARDED = 4;
const TRIES_MAX = 4;

type Fate = "done" | "fail-once" | "fail-always" | "dead" | "crash" | "unrun-once" | "costly-once";

/**
 * Runners that decide each event's fate by its payload, keep to the rule that a failure makes the key's later tasks in
 * the batch "behind", and die with everything they hold when an event says "crash".
 */
class FatefulRunners extends RestingRunners {
  /** Sequence numbers in the order in which they were really run, per key. */
  readonly ran: { key: string; seq: number; alone: boolean }[] = [];
  readonly #tries = new Map<number, number>();
  readonly #inHand: { tasks: readonly Task[]; done: (result: BatchResult) => void }[][];

  /** Batches, by runner. */
  readonly batches: number[];

  constructor(sharedMax: number) {
    super(sharedMax);
    this.#inHand = Array.from({ length: sharedMax + 1 }, () => []);
    this.batches = this.#inHand.map(() => 0);
  }

  run(
    runner: number,
    _handler: number,
    tasks: readonly Task[],
    _states: readonly (string | undefined)[],
    done: (result: BatchResult) => void,
  ): void {
    const hand = { tasks, done };
    const inHand = this.#inHand[runner] ?? [];
    this.batches[runner] = (this.batches[runner] ?? 0) + 1;
    inHand.push(hand);
    setImmediate(() => {
      if (!inHand.includes(hand)) return;
      if (tasks.some((task) => fateOf(task) === "crash")) {
        for (const lost of inHand.splice(0)) {
          lost.done({
            version: 1,
            results: lost.tasks.map(() => ({ at: "crashed", byItself: tasks.length % 2 === 0 })),
          });
        }
        return;
      }
      inHand.splice(inHand.indexOf(hand), 1);
      done({ version: 1, results: this.#results(tasks) });
    });
  }

  #results(tasks: readonly Task[]): RunResult[] {
    const failed = new Set<string>();
    let cut = false;
    return tasks.map((task): RunResult => {
      if (cut) return { at: "unrun" };
      if (failed.has(task.key)) return { at: "behind" };
      const tries = (this.#tries.get(task.seq) ?? 0) + 1;
      this.#tries.set(task.seq, tries);
      const fate = fateOf(task);
      if (fate === "unrun-once" && tries === 1) {
        cut = true;
        return { at: "unrun" };
      }
      this.ran.push({ key: task.key, seq: task.seq, alone: tasks.length === 1 });
      const costly = fate === "costly-once" && tries === 1;
      const fails = costly || fate === "fail-always" || (fate === "fail-once" && tries === 1) || fate === "dead";
      if (!fails) return { at: "done", outputs: [], state: undefined };
      failed.add(task.key);
      const result = { at: "failed", failure: { code: "X", message: "as fated" }, final: fate === "dead" } as const;
      return costly ? { ...result, cost: "isolate" } : result;
    });
  }
}

function fateOf(task: Task): Fate {
  const text = task.page.toString("latin1");
  return (/<(.*?)>/.exec(text)?.[1] ?? "done") as Fate;
}

function publish(topic: string, fate: Fate): EventDraft {
  const payload = Buffer.from(`<${fate}>`);
  return { kind: "topic", topic, device: "d", payload, qos: 1, retain: false, hops: 0, timeMs: 1 };
}

interface Run {
  readonly journal: MemoryJournal;
  readonly runners: FatefulRunners;
}

async function runAll(
  events: readonly { topic: string; fate: Fate }[],
  runnerCount: number,
  concurrency: number,
  trust: "known" | "fresh",
): Promise<Run> {
  const journal = new MemoryJournal();
  const runners = new FatefulRunners(runnerCount);
  const pipeline = openPipeline({
    journal,
    runners,
    wanted: () => [HANDLER],
    // Crashes are what it is about here.
    lossesMax: 1000,
  });
  const settings = {
    to: [],
    type: "t",
    retry: { firstMs: 1, maxMs: 2, triesMax: TRIES_MAX },
    concurrency,
    route: false,
  };
  const keyOf = (topic: string): string => topic;
  await pipeline.lines.attach({ ...settings, name: "guarded", id: GUARDED, version: 1, trust: "known", keyOf });
  await pipeline.lines.attach({ ...settings, name: "fate", id: HANDLER, version: 1, trust, keyOf });
  for (const [index, { topic, fate }] of events.entries()) {
    pipeline.accept(publish(topic, fate), { committed: () => undefined }, index);
    if (index % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const ended = (): number =>
    journal.settlements.filter((s) => s.outcome.at === "done" || s.outcome.at === "dead").length;
  const deadline = Date.now() + 5000;
  while (ended() < events.length && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 1));
  pipeline.close();
  return { journal, runners };
}

const fates = fc.constantFrom<Fate>(
  "done",
  "done",
  "done",
  "fail-once",
  "fail-always",
  "dead",
  "crash",
  "unrun-once",
  "costly-once",
);
const events = fc.array(fc.record({ topic: fc.constantFrom("a", "b", "c"), fate: fates }), {
  minLength: 1,
  maxLength: 60,
});

describe("whatever the fates of its events, a handler's pipeline", () => {
  it("ends every task exactly once, keeps each key in order, and punishes only the culprit (L1, L2, P2, P4)", async () => {
    const moved = { shared: 0, apart: 0 };
    await fc.assert(
      fc.asyncProperty(
        events,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom("known", "fresh"),
        async (fated, runnerCount, concurrency, trust) => {
          const { journal, runners } = await runAll(fated, runnerCount, concurrency, trust);
          moved.apart += runners.batches.at(-1) ?? 0;
          moved.shared += runners.batches[0] ?? 0;
          const ends = journal.settlements.filter((s) => s.outcome.at === "done" || s.outcome.at === "dead");
          expect(ends.map((s) => s.task.seq).sort((a, b) => a - b)).toEqual(fated.map((_, index) => index + 1));

          for (const { task, outcome } of ends) {
            const fate = fateOf(task);
            expect(outcome.at).toBe(fate === "fail-always" || fate === "dead" || fate === "crash" ? "dead" : "done");
            if (outcome.at === "dead" && fate === "crash") expect(outcome.failure.code).toBe("TASK_CRASHED_RUNNER");
          }
          // An event's last try is what takes effect: those follow one another in the key's order.
          for (const topic of ["a", "b", "c"]) {
            const seqs = ends.filter((s) => s.task.key === topic).map((s) => s.task.seq);
            expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
          }
          const tries = Map.groupBy(runners.ran, ({ seq }) => seq);
          for (const [index, { fate }] of fated.entries()) {
            const count = tries.get(index + 1)?.length ?? 0;
            if (fate === "fail-always") expect(count).toBe(TRIES_MAX);
            if (fate === "fail-once" || fate === "costly-once") expect(count).toBe(2);
            if (fate === "done" || fate === "dead") expect(count).toBe(1);
          }
        },
      ),
      { numRuns: 150 },
    );
    expect(Math.min(moved.shared, moved.apart)).toBeGreaterThan(100);
  });
});

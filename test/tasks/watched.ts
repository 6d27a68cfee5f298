/** A pipeline whose runners do what a test says of each version. */
import { expect } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pipeline } from "../../src/pipeline.ts";
import type { Task } from "../../src/task.ts";
import type { LineSettings } from "../../src/tasks/line.ts";
import type { Verdict } from "../../src/tasks/probation.ts";
import type { BatchResult, Runners, RunResult } from "../../src/tasks/run.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import type { Settlement } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { openPipeline } from "./opened.ts";

const HANDLER = 3;
export const RULES = { eventsMax: 100, leastMs: 0, timeMs: 1e6, errors: 0.02, slower: 0 };

export type Behaviour = (payload: string, task: Task) => RunResult | "crash";
export const done = (text: string, state?: string): RunResult => ({
  at: "done",
  outputs: [{ data: Buffer.from(JSON.stringify(text)), json: true }],
  state,
});
export const failure = (final = false): RunResult => ({ at: "failed", failure: { code: "X", message: "no" }, final });

/** What each version does with an event's payload. */
class Versions extends RestingRunners {
  readonly ran: { version: number; slot: string; payload: string; key: string }[] = [];
  live = 1;
  candidate = 0;
  tookMs: Record<number, number> = {};
  /** Answers wait in `held` while it is on; only those of `holdSlot` when that is set. */
  hold = false;
  holdSlot: string | undefined;
  readonly held: (() => void)[] = [];
  readonly #behaviours: Readonly<Record<number, Behaviour>>;

  constructor(behaviours: Readonly<Record<number, Behaviour>>) {
    super(1);
    this.#behaviours = behaviours;
  }

  run(...[, , tasks, , ended, options]: Parameters<Runners["run"]>): void {
    const slot = options?.slot ?? "live";
    const version = slot === "candidate" && this.candidate > 0 ? this.candidate : this.live;
    const results: RunResult[] = [];
    const failed = new Set<string>();
    for (const task of tasks) {
      const payload = /<(.*?)>/.exec(task.page.toString("latin1"))?.[1] ?? "";
      this.ran.push({ version, slot, payload, key: task.key });
      const came = failed.has(task.key) ? ({ at: "behind" } as const) : this.#behaviours[version]?.(payload, task);
      if (came === undefined || came === "crash") {
        const crashed = tasks.map((): RunResult => ({ at: "crashed", byItself: false }));
        this.#answer(slot, () => ended({ version, results: crashed }));
        return;
      }
      if (came.at === "failed") failed.add(task.key);
      results.push(came);
    }
    const tookMs = (this.tookMs[version] ?? 0) * tasks.length;
    this.#answer(slot, () => ended({ version, startMs: 7, tookMs, cpuMs: 0, results } satisfies BatchResult));
  }

  release(): void {
    this.hold = false;
    for (const answer of this.held.splice(0)) answer();
  }

  #answer(slot: string, answer: () => void): void {
    if (this.hold && (this.holdSlot ?? slot) === slot) this.held.push(answer);
    else setImmediate(answer);
  }
}

/** What is open. */
export const stage = {} as { pipeline: Pipeline };

export async function setUp(behaviours: Readonly<Record<number, Behaviour>>) {
  const journal = new MemoryJournal();
  const runners = new Versions(behaviours);
  const verdicts: { version: number; verdict: Verdict }[] = [];
  let live: Partial<LineSettings> = {};
  const attach = async (more: Partial<LineSettings> = {}): Promise<void> => {
    live = more;
    runners.live = more.version ?? 1;
    runners.candidate = more.candidate?.version ?? 0;
    const retry = { firstMs: 1, maxMs: 2, triesMax: 2 };
    const base = {
      name: "h",
      id: HANDLER,
      version: 1,
      to: [],
      type: "t",
      retry,
      concurrency: 1,
      route: false,
    } as const;
    await stage.pipeline.lines.attach({ ...base, trust: "known", keyOf: (topic) => topic, ...more });
  };
  /** As whoever keeps the versions does: the one before is live again, or the candidate is gone; dead letters are redriven. */
  const takeBack = async (version: number): Promise<void> => {
    await attach(live.candidate === undefined ? { version: 1 } : { ...live, candidate: undefined });
    for (const { task, outcome, version: by } of [...journal.settlements]) {
      if (outcome.at !== "dead" || by !== version) continue;
      journal.redrive(task);
      stage.pipeline.lines.redriven(HANDLER, task.key);
    }
  };
  stage.pipeline = openPipeline({
    journal,
    runners,
    wanted: () => [HANDLER],
    judged: (_, version, verdict) => {
      verdicts.push({ version, verdict });
      if (verdict.at === "rejected") void takeBack(version);
    },
  });
  await attach();
  let sent = 0;
  const publish = async (payloads: readonly string[], keys = 7): Promise<void> => {
    for (const payload of payloads) {
      const event = {
        kind: "topic",
        topic: `k${sent++ % keys}`,
        device: "d",
        payload: Buffer.from(`<${payload}>`),
      } as const;
      stage.pipeline.accept(
        { ...event, qos: 1, retain: false, hops: 0, timeMs: 1 },
        { committed: () => undefined },
        sent,
      );
      if (sent % 10 === 0) await sleep(1);
    }
  };
  /** By event: the end that stands. */
  const ends = (): Settlement[] => {
    const ended = journal.settlements.filter(({ outcome }) => outcome.at === "done" || outcome.at === "dead");
    return [...new Map(ended.map((each) => [each.task.seq, each])).values()];
  };
  const settled = async (events: number): Promise<void> => {
    await expect.poll(() => ends().length, { timeout: 5000 }).toBe(events);
  };
  const figures = () => stage.pipeline.figures().handlers[0]?.versions;
  return { journal, runners, verdicts, attach, publish, ends, settled, figures };
}

export const goods = (count: number): string[] => Array.from({ length: count }, () => "good");
export const throwsOnBad: Behaviour = (payload) => (payload === "bad" ? failure() : done("2"));
export const fine: Behaviour = () => done("1");

/** Versions under watch: probation, a candidate on a share of the keys, and a shadow. */
import { afterEach, describe, expect, it } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pipeline } from "../../src/pipeline.ts";
import type { Task } from "../../src/task.ts";
import type { LineSettings } from "../../src/tasks/line.ts";
import { Probation } from "../../src/tasks/probation.ts";
import type { Verdict } from "../../src/tasks/probation.ts";
import { Tally } from "../../src/tasks/tally.ts";
import { systemClock } from "../../src/time.ts";
import type { BatchResult, Runners, RunResult } from "../../src/tasks/run.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import type { Settlement } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { openPipeline } from "./opened.ts";

const HANDLER = 3;
const RULES = { eventsMax: 100, leastMs: 0, timeMs: 1e6, errors: 0.02, slower: 0 };

type Behaviour = (payload: string, task: Task) => RunResult | "crash";
const done = (text: string, state?: string): RunResult => ({
  at: "done",
  outputs: [{ data: Buffer.from(JSON.stringify(text)), json: true }],
  state,
});
const failure = (final = false): RunResult => ({ at: "failed", failure: { code: "X", message: "no" }, final });

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

let pipeline: Pipeline;
afterEach(() => pipeline.close());

async function setUp(behaviours: Readonly<Record<number, Behaviour>>) {
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
    await pipeline.attach({ ...base, trust: "known", keyOf: (topic) => topic, ...more });
  };
  /** As whoever keeps the versions does: the one before is live again, or the candidate is gone; dead letters are redriven. */
  const takeBack = async (version: number): Promise<void> => {
    await attach(live.candidate === undefined ? { version: 1 } : { ...live, candidate: undefined });
    for (const { task, outcome, version: by } of [...journal.settlements]) {
      if (outcome.at !== "dead" || by !== version) continue;
      journal.redrive(task);
      pipeline.redriven(HANDLER, task.key);
    }
  };
  pipeline = openPipeline({
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
      pipeline.accept({ ...event, qos: 1, retain: false, hops: 0, timeMs: 1 }, { committed: () => undefined }, sent);
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
  const figures = () => pipeline.figures().handlers[0]?.versions;
  return { journal, runners, verdicts, attach, publish, ends, settled, figures };
}

const goods = (count: number): string[] => Array.from({ length: count }, () => "good");
const throwsOnBad: Behaviour = (payload) => (payload === "bad" ? failure() : done("2"));
const fine: Behaviour = () => done("1");

describe("a version on probation", () => {
  it("that fails more events than it may is rejected, and they all end on the one before it", async () => {
    const { attach, publish, ends, settled, verdicts } = await setUp({ 1: fine, 2: throwsOnBad });
    await publish(goods(30));
    await settled(30);
    await attach({ version: 2, trust: "fresh", probation: RULES });
    const payloads = Array.from({ length: 100 }, (_, n) => (n % 20 === 3 ? "bad" : "good"));
    await publish(payloads);
    await settled(130);
    expect(verdicts).toEqual([{ version: 2, verdict: { at: "rejected", reason: expect.stringContaining("X: no") } }]);
    await expect.poll(() => ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
    for (const { task, version } of ends()) if (task.page.includes("<bad>")) expect(version).toBe(1);
  });

  it("takes no try from an event that it fails at, and what it gave up runs again when it is rejected", async () => {
    const dies: Behaviour = (payload) =>
      payload === "bad" ? failure() : payload === "worse" ? failure(true) : done("2");
    const { journal, attach, publish, ends, settled, verdicts } = await setUp({ 1: fine, 2: dies });
    await attach({ version: 2, trust: "fresh", probation: RULES });
    await publish(["bad", "worse", ...goods(20)]);
    await settled(22);
    expect(ends().filter(({ outcome }) => outcome.at === "dead")).toMatchObject([{ version: 2 }, { version: 2 }]);
    expect(journal.settlements.every(({ task }) => task.attempt === 0)).toBe(true);
    expect(verdicts).toEqual([]);
    await publish(["bad"]);
    await settled(23);
    await expect.poll(() => ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "rejected" } }]);
  });

  it("is not blamed for what the one before it failed at as well", async () => {
    const { attach, publish, settled, verdicts } = await setUp({ 1: throwsOnBad, 2: throwsOnBad });
    const payloads = Array.from({ length: 100 }, (_, n) => (n % 10 === 3 ? "bad" : "good"));
    await publish(payloads);
    await settled(100);
    await attach({ version: 2, trust: "fresh", probation: RULES });
    await publish(payloads);
    await settled(200);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "passed" } }]);
  });

  it("that costs a runner is rejected at once", async () => {
    const crashes: Behaviour = (payload) => (payload === "bad" ? "crash" : done("2"));
    const { attach, publish, ends, settled, verdicts } = await setUp({ 1: fine, 2: crashes });
    await attach({ version: 2, trust: "fresh", probation: RULES });
    await publish(["good", "bad", "good"]);
    await settled(3);
    expect(verdicts).toEqual([{ version: 2, verdict: { at: "rejected", reason: "it cost a runner" } }]);
    expect(ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
  });

  it("that is slower than it may be is rejected", async () => {
    const { runners, attach, publish, settled, verdicts } = await setUp({ 1: fine, 2: fine });
    runners.tookMs = { 1: 4, 2: 30 };
    await publish(goods(40));
    await settled(40);
    await attach({ version: 2, trust: "fresh", probation: { ...RULES, slower: 5 } });
    await publish(goods(60));
    await settled(100);
    expect(verdicts).toMatchObject([
      { version: 2, verdict: { at: "rejected", reason: expect.stringContaining("7.5 times") } },
    ]);
  });

  it("does not pass before its least time, and what may fail grows with what has run", async () => {
    const { attach, publish, settled, verdicts, figures } = await setUp({ 1: fine, 2: throwsOnBad });
    await attach({ version: 2, trust: "fresh", probation: { ...RULES, leastMs: 700 } });
    await publish(goods(300), 400);
    await expect.poll(() => figures()?.live.done).toBe(300);
    await publish(["bad", "bad", "bad"], 400);
    await expect.poll(() => figures()?.live.probation).toMatchObject({ failures: 3, failuresMax: 6 });
    expect(verdicts).toEqual([]);
    await sleep(700);
    await publish(goods(10), 400);
    await settled(313);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "passed" } }]);
  });

  it("keeps its books when its settings change", async () => {
    const { attach, publish, settled, figures } = await setUp({ 1: fine, 2: throwsOnBad });
    await attach({ version: 2, trust: "fresh", probation: RULES });
    await publish(["bad", ...goods(20)], 30);
    await expect.poll(() => figures()?.live.done).toBe(20);
    await attach({ version: 2, trust: "same", probation: RULES, type: "another" });
    expect(figures()?.live).toMatchObject({ version: 2, done: 20, probation: { failures: 1, failuresMax: 2 } });
    await attach({ version: 1 });
    await settled(21);
  });
});

describe("a version that was taken back", () => {
  it("is not held against the one before when batches of it come back late, and nothing of them is given up", async () => {
    const { runners, attach, publish, ends, settled } = await setUp({ 1: fine, 2: () => failure(true) });
    await attach({ version: 2, trust: "fresh", probation: RULES });
    // Answers of the new version are held up until the one before is live again.
    runners.hold = true;
    await publish(goods(6));
    await expect.poll(() => runners.held.length).toBeGreaterThan(0);
    await attach({ version: 1 });
    runners.release();
    await settled(6);
    expect(ends().every(({ outcome, version }) => outcome.at === "done" && version === 1)).toBe(true);
    expect(pipeline.figures().handlers[0]).toMatchObject({ dead: 0, proven: true });
  });

  it("is judged by what it did itself, however many events that were", () => {
    const own = new Tally(2);
    const probation = new Probation(
      own,
      undefined,
      { eventsMax: 200, leastMs: 0, timeMs: 1e6, errors: 0.01, slower: 0 },
      systemClock,
    );
    for (let batch = 0; batch < 2000; batch++) {
      own.batch(200, {});
      own.done += 200;
      probation.done += 200;
      if (batch % 2 === 0) probation.failed(batch, "X");
    }
    expect(probation.isRejected).toBe(false);
    expect(probation.look()).toMatchObject({ at: "passed" });
  });
});

describe("a candidate on a share of the keys", () => {
  const candidate = { version: 2, share: 0.5, rules: RULES, to: [], type: "t2" };

  it("runs its keys and no others, and keeps to them", async () => {
    const { attach, publish, settled, runners, figures } = await setUp({ 1: fine, 2: fine });
    await attach({ candidate });
    await publish(goods(300), 40);
    await settled(300);
    const sides = Map.groupBy(runners.ran, ({ key }) => key);
    for (const own of sides.values()) expect(new Set(own.map(({ version }) => version)).size).toBe(1);
    const tried = [...sides.values()].filter(([first]) => first?.version === 2).length;
    expect(tried).toBeGreaterThan(8);
    expect(tried).toBeLessThan(32);
    expect(figures()?.candidate).toMatchObject({ version: 2, share: 0.5 });
  });

  it("that fails too much is dropped, and its events end on the live version", async () => {
    const { attach, publish, ends, settled, verdicts, figures } = await setUp({ 1: fine, 2: throwsOnBad });
    await attach({ candidate });
    await publish(
      Array.from({ length: 200 }, (_, n) => (n % 3 === 0 ? "bad" : "good")),
      40,
    );
    await settled(200);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "rejected" } }]);
    await expect.poll(() => ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
    for (const { task, version } of ends()) if (task.page.includes("<bad>")) expect(version).toBe(1);
    expect(figures()?.candidate).toBeUndefined();
  });

  it("that costs runners does not cost the live version its standing", async () => {
    const crashes: Behaviour = (payload) => (payload === "bad" ? "crash" : done("2"));
    const { attach, publish, settled } = await setUp({ 1: fine, 2: crashes });
    await attach({ candidate });
    await publish(
      Array.from({ length: 40 }, () => "bad"),
      40,
    );
    await settled(40);
    expect(pipeline.figures().handlers[0]).toMatchObject({ proven: true, runnersLost: 0, dead: 0 });
  });

  it("becomes the live one with its books", async () => {
    const { attach, publish, settled, figures } = await setUp({ 1: fine, 2: fine });
    await attach({ candidate });
    await publish(goods(200), 40);
    await settled(200);
    const tried = figures()?.candidate?.done ?? 0;
    expect(tried).toBeGreaterThan(0);
    await attach({ version: 2, probation: RULES });
    expect(figures()).toMatchObject({ live: { version: 2, done: tried } });
  });
});

describe("a shadow", () => {
  const candidate = { version: 2, share: 0, rules: RULES, to: [], type: "t" };

  it("runs what the live version ran, changes nothing, and says what would have been different", async () => {
    const other: Behaviour = (payload, { seq }) =>
      payload === "bad"
        ? failure()
        : payload === "odd"
          ? done("other")
          : done("1", seq % 9 === 0 ? `{"n":${seq}}` : undefined);
    const live: Behaviour = (payload) => (payload === "worse" ? failure(true) : done("1"));
    const { attach, publish, ends, settled, figures, runners, verdicts } = await setUp({ 1: live, 2: other });
    await attach({ candidate });
    const payloads = ["bad", "odd", "worse", ...goods(87)];
    await publish(payloads, 50);
    await settled(90);
    await expect
      .poll(() => {
        const report = figures()?.candidate?.shadow;
        return (report?.events ?? 0) + (report?.skipped ?? 0);
      })
      .toBe(90);
    expect(ends().every(({ version }) => version === 1)).toBe(true);
    expect(ends().filter(({ outcome }) => outcome.at === "dead")).toHaveLength(1);
    const report = figures()?.candidate?.shadow;
    expect(report?.events).toBeGreaterThan(20);
    const { outputs, state, failed, mended } = report?.differences ?? { outputs: 0, state: 0, failed: 0, mended: 0 };
    expect((report?.same ?? 0) + outputs + state + failed + mended).toBe(report?.events);
    expect(state).toBeGreaterThan(0);
    const kept = [outputs, state, failed, mended].map((count) => Math.min(4, count));
    expect(report?.samples.length).toBe(kept.reduce((sum, count) => sum + count));
    expect(runners.ran.some(({ version }) => version === 2)).toBe(true);
    expect(verdicts).toEqual([]);
  });

  it("gets one batch at a time, and what it does not get is counted", async () => {
    const { attach, publish, settled, figures } = await setUp({ 1: fine, 2: fine });
    await attach({ candidate });
    await publish(goods(600), 600);
    await settled(600);
    await sleep(20);
    const report = figures()?.candidate?.shadow;
    expect((report?.events ?? 0) + (report?.skipped ?? 0)).toBe(600);
    expect(report?.same).toBe(report?.events);
  });

  it("that could not be stopped is dropped at once", async () => {
    const stuck: RunResult = {
      at: "failed",
      failure: { code: "SANDBOX_TIMEOUT", message: "" },
      final: false,
      cost: "runner",
    };
    const { attach, publish, settled, verdicts, figures } = await setUp({ 1: fine, 2: () => stuck });
    await attach({ candidate });
    await publish(goods(40));
    await settled(40);
    await expect.poll(() => verdicts).toMatchObject([{ version: 2, verdict: { at: "rejected" } }]);
    expect(figures()?.candidate).toBeUndefined();
  });

  it("that is gone when its last answer comes costs nobody else anything", async () => {
    const { runners, attach, publish, settled, verdicts } = await setUp({ 1: fine, 2: () => "crash" });
    await attach({ candidate });
    runners.holdSlot = "candidate";
    runners.hold = true;
    await publish(goods(10));
    await expect.poll(() => runners.held.length).toBeGreaterThan(0);
    await attach();
    runners.release();
    await publish(goods(10));
    await settled(20);
    expect(verdicts).toEqual([]);
  });

  it("that costs runners is dropped, and no event of the live version pays for it", async () => {
    const { attach, publish, ends, settled, verdicts, figures } = await setUp({ 1: fine, 2: () => "crash" });
    await attach({ candidate });
    await publish(goods(60));
    await settled(60);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "rejected" } }]);
    expect(figures()?.candidate).toBeUndefined();
    expect(ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
  });
});

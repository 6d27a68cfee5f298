/** Outputs a second: what waits, for how long, and that nothing is lost over it (P6). */
import { afterEach, describe, expect, it } from "vitest";
import type { Pipeline } from "../../src/pipeline.ts";
import type { Task } from "../../src/task.ts";
import { EmitRate } from "../../src/tasks/emit-rate.ts";
import type { RateLimits } from "../../src/tasks/emit-rate.ts";
import type { LineSettings } from "../../src/tasks/line.ts";
import type { BatchResult, RunResult } from "../../src/tasks/run.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { openPipeline } from "./opened.ts";

describe("the bucket", () => {
  const opened = (limits: RateLimits): { rate: EmitRate; pass: (ms: number) => void } => {
    const time = { ms: 5 };
    const rate = new EmitRate({ now: () => 0, monotonic: () => time.ms }, () => limits);
    return { rate, pass: (ms) => (time.ms += ms) };
  };

  it("has no end where there is no limit", () => {
    const { rate } = opened({});
    rate.spend(1_000_000);
    expect(rate.room(4000)).toBe(Infinity);
  });

  it("holds a burst, has one put by for each task in hand, and refills by the second", () => {
    const { rate, pass } = opened({ outputsPerSecond: 10, outputsBurst: 4 });
    expect([rate.room(0), rate.room(3), rate.room(4)]).toEqual([4, 1, 0]);
    rate.spend(4);
    expect(rate.room(0)).toBe(0);
    pass(99);
    expect(rate.room(0)).toBe(0);
    pass(1);
    expect(rate.room(0)).toBe(1);
    pass(10_000);
    expect(rate.room(0)).toBe(4);
  });

  it("makes an event that sends more than it holds wait for as much longer", () => {
    const { rate, pass } = opened({ outputsPerSecond: 10 });
    rate.spend(30);
    expect(rate.hold(0)).toEqual({ wakeMs: 2100, isSaid: true });
    pass(2099);
    expect(rate.room(0)).toBe(0);
    expect(rate.hold(0)).toEqual({ wakeMs: 10, isSaid: false });
    pass(1);
    expect(rate.room(0)).toBe(1);
  });

  it("wakes once for all that wait, again when they have less to wait for, and says so once a minute", () => {
    const { rate, pass } = opened({ outputsPerSecond: 1 });
    rate.spend(1);
    expect(rate.hold(9)).toEqual({ wakeMs: 10_000, isSaid: true });
    expect(rate.hold(9)).toEqual({ wakeMs: undefined, isSaid: false });
    expect(rate.hold(0)).toEqual({ wakeMs: 1000, isSaid: false });
    rate.go();
    pass(59_999);
    rate.spend(60);
    expect(rate.hold(0).isSaid).toBe(false);
    rate.go();
    pass(1);
    expect(rate.hold(0).isSaid).toBe(true);
  });

  it("counts for how long tasks were held back, and how often", () => {
    const { rate, pass } = opened({ outputsPerSecond: 1 });
    rate.spend(1);
    rate.hold(0);
    pass(300);
    expect([rate.heldBackMs, rate.spent]).toEqual([300, 1]);
    rate.go();
    pass(300);
    rate.go();
    expect([rate.heldBackMs, rate.spent]).toEqual([300, 1]);
  });
});

/** Runs each task with so many outputs, and notes when. */
class CountingRunners extends RestingRunners {
  readonly ran: { runner: number; handler: number; seq: number; atMs: number }[] = [];
  readonly #outputs: number;
  readonly #fails: (seq: number) => boolean;

  constructor(outputs: number, fails: (seq: number) => boolean = () => false) {
    super(2);
    this.#outputs = outputs;
    this.#fails = fails;
  }

  /** Busy all the time, so that both come into use. */
  override busyMs(): number {
    return performance.now();
  }

  run(
    runner: number,
    handler: number,
    batch: readonly Task[],
    _states: readonly (string | undefined)[],
    done: (result: BatchResult) => void,
  ): void {
    const output = { data: Buffer.from("1"), json: true };
    setImmediate(() => {
      const results = batch.map(({ seq }): RunResult => {
        this.ran.push({ runner, handler, seq, atMs: performance.now() });
        if (this.#fails(seq)) return { at: "failed", failure: { code: "X", message: "once" }, final: false };
        return { at: "done", outputs: Array.from({ length: this.#outputs }, () => output), state: undefined };
      });
      done({ version: 1, results });
    });
  }
}

describe("a handler with a limit", () => {
  let pipeline: Pipeline | undefined;
  afterEach(() => pipeline?.close());

  const LIMITED = 1;
  const FREE = 2;
  async function started(runners: CountingRunners, limits: RateLimits): Promise<MemoryJournal> {
    const journal = new MemoryJournal();
    pipeline = openPipeline({
      journal,
      runners,
      wanted: (topic) => (topic.startsWith("free") ? [FREE] : [LIMITED]),
    });
    const settings = (name: string, id: number): LineSettings => ({
      name,
      id,
      to: [],
      type: "t",
      retry: { firstMs: 1, maxMs: 2, triesMax: 3 },
      concurrency: 1,
      route: false,
      version: 1,
      trust: "known",
      keyOf: (topic) => topic,
    });
    await pipeline.lines.attach({ ...settings("limited", LIMITED), limits: { ...limits, stateTotalBytesMax: 1000 } });
    await pipeline.lines.attach(settings("free", FREE));
    return journal;
  }
  const publish = (topic: string): void => {
    const event = { kind: "topic", topic, device: "d", payload: Buffer.from("1"), qos: 1, retain: false } as const;
    pipeline?.accept({ ...event, hops: 0, timeMs: 1 }, { committed: () => undefined }, 0);
  };

  it("hands out no more than its burst at once, the rest by and by, all of it and in order; a neighbour waits for nothing", async () => {
    const runners = new CountingRunners(1);
    const journal = await started(runners, { outputsPerSecond: 50, outputsBurst: 10 });
    const startMs = performance.now();
    for (let n = 0; n < 30; n++) publish(`a/${n % 3}`);
    for (let n = 0; n < 300; n++) publish(`free/${n}`);
    await expect.poll(() => journal.settlements.length, { timeout: 10_000 }).toBe(330);
    const limited = runners.ran.filter(({ handler }) => handler === LIMITED);
    expect(limited).toHaveLength(30);
    // At no time more than the burst and what had come since.
    for (const [n, { atMs }] of limited.entries()) expect(n + 1).toBeLessThanOrEqual(10 + (atMs - startMs) / 20 + 1);
    expect((limited.at(-1)?.atMs ?? 0) - startMs).toBeGreaterThanOrEqual(390);
    const free = runners.ran.filter(({ handler }) => handler === FREE);
    expect((free.at(-1)?.atMs ?? Infinity) - startMs).toBeLessThan((limited.at(-1)?.atMs ?? 0) - startMs);
    for (const key of ["a/0", "a/1", "a/2"]) {
      const seqs = journal.settlements.filter(({ task }) => task.key === key).map(({ task }) => task.seq);
      expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    }
    const [line] = pipeline?.figures().handlers ?? [];
    expect(line?.budgets["rate"]).toBeGreaterThan(0);
    expect(line?.heldBackMs).toBeGreaterThan(200);
  });

  it("shares what it may hand out among all its runners' keys", async () => {
    const runners = new CountingRunners(1);
    const journal = await started(runners, { outputsPerSecond: 100, outputsBurst: 1 });
    await expect.poll(() => pipeline?.figures().runners, { timeout: 15_000 }).toBe(2);
    for (let n = 0; n < 60; n++) publish(`a/${n % 10}`);
    await expect.poll(() => journal.settlements.length, { timeout: 10_000 }).toBe(60);
    const early = runners.ran.slice(0, 20).map(({ runner }) => runner);
    expect(early.filter((runner) => runner === 0).length).toBeGreaterThan(5);
    expect(early.filter((runner) => runner === 1).length).toBeGreaterThan(5);
  });

  it("goes on with parked tasks as well, when nothing else waits", async () => {
    const tried = new Set<number>();
    const fails = (seq: number): boolean => seq === 3 && tried.size < tried.add(seq).size;
    const journal = await started(new CountingRunners(1, fails), { outputsPerSecond: 20, outputsBurst: 2 });
    for (let n = 0; n < 3; n++) publish(`a/${n}`);
    await expect
      .poll(() => journal.settlements.map(({ outcome }) => outcome.at), { timeout: 10_000 })
      .toEqual(["done", "done", "retry", "done"]);
  });

  it("does not wait for as long as under limits that it had before", async () => {
    const runners = new CountingRunners(50);
    const journal = await started(runners, { outputsPerSecond: 1, outputsBurst: 1 });
    publish("a");
    publish("a");
    await expect.poll(() => pipeline?.figures().handlers[0]?.heldBackMs).toBeGreaterThan(0);
    // Fifty seconds of outputs are to be made up for.
    const settings: LineSettings = {
      name: "limited",
      id: LIMITED,
      to: [],
      type: "t",
      retry: { firstMs: 1, maxMs: 2, triesMax: 3 },
      concurrency: 1,
      route: false,
      version: 1,
      trust: "same",
      keyOf: (topic) => topic,
    };
    const limits = { outputsPerSecond: 200, outputsBurst: 1, stateTotalBytesMax: 1000 };
    await pipeline?.lines.attach({ ...settings, limits });
    await expect.poll(() => journal.settlements.length, { timeout: 5000 }).toBe(2);
  });

  it("is not held back by events that send nothing", async () => {
    const journal = await started(new CountingRunners(0), { outputsPerSecond: 1, outputsBurst: 5 });
    for (let n = 0; n < 500; n++) publish(`a/${n}`);
    await expect.poll(() => journal.settlements.length, { timeout: 5000 }).toBe(500);
  });
});

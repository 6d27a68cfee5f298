/** A handler that keeps costing runners stands aside; its events wait, and others go on (P5). */
import { afterEach, describe, expect, it } from "vitest";
import type { Pipeline } from "../../src/pipeline.ts";
import type { LineFigures } from "../../src/tasks/line-figures.ts";
import { Quarantine } from "../../src/tasks/quarantine.ts";
import type { BatchResult, RunResult } from "../../src/tasks/run.ts";
import type { Task } from "../../src/task.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { openPipeline } from "./opened.ts";

const MINUTE = 60_000;

function quarantine(): { it: Quarantine; at: (ms: number) => void } {
  let nowMs = 1000;
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  return { it: new Quarantine(clock, 3), at: (ms) => (nowMs = 1000 + ms) };
}

it("the third runner within ten minutes is one too many, and from then on each", () => {
  const { it: held, at } = quarantine();
  expect([held.add(), held.add()]).toEqual([0, 0]);
  expect(held.add()).toBe(10_000);
  expect(held.isOn).toBe(true);
  at(10_000);
  expect(held.isOn).toBe(false);
  expect(held.add()).toBe(20_000);
  at(40_000);
  expect(held.add()).toBe(40_000);
  expect(held.lost).toBe(5);
});

it("it never stands aside for longer than ten minutes, and what is long ago is forgotten", () => {
  const { it: held, at } = quarantine();
  let nowMs = 0;
  let longest = 0;
  for (let n = 0; n < 12; n++) {
    const ms = held.add();
    longest = Math.max(longest, ms);
    at((nowMs += ms));
  }
  expect(longest).toBe(10 * MINUTE);
  at(nowMs + 11 * MINUTE);
  expect([held.add(), held.add()]).toEqual([0, 0]);
  expect(held.add()).toBe(10_000);
});

it("a new version is not to blame for the one before", () => {
  const { it: held } = quarantine();
  for (let n = 0; n < 3; n++) held.add();
  expect(held.isOn).toBe(true);
  held.lift();
  expect(held.isOn).toBe(false);
  expect(held.add()).toBe(0);
});

it("its events wait while others go on, and a new deploy lets them run at once", async () => {
  const [deadly, good] = [1, 2];
  const journal = new MemoryJournal();
  const ran: number[] = [];
  const pipeline = openPipeline({
    journal,
    runners: {
      sharedMax: 1,
      busyMs: () => undefined,
      wake: () => Promise.resolve(),
      prepare: () => Promise.resolve(true),
      run(_runner, handler, batch: readonly Task[], _states, done: (result: BatchResult) => void) {
        ran.push(handler);
        const failure = { code: "SANDBOX_TIMEOUT", message: "" };
        const result =
          handler === deadly
            ? ({ at: "failed", failure, final: true, cost: "runner" } as const)
            : ({ at: "done", outputs: [], state: undefined } as const);
        queueMicrotask(() => done({ version: 1, results: batch.map(() => result) }));
      },
    },
    wanted: (topic) => [topic.startsWith("deadly") ? deadly : good],
  });
  const attach = attachTo(pipeline);
  await attach(deadly);
  await attach(good);
  const publish = publishTo(pipeline);
  const little = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
  try {
    for (let n = 0; n < 6; n++) {
      publish(`deadly/${n}`);
      await little();
    }
    publish("good");
    await little();
    expect(ran).toEqual([deadly, deadly, deadly, good]);
    const figures = pipeline.figures().handlers.find(({ name }) => name === "h1");
    expect(figures).toMatchObject({ runnersLost: 3 });
    expect(figures?.quarantinedMs).toBeGreaterThan(9_000);
    // Its settings alone change nothing of what it costs.
    await attach(deadly);
    await little();
    expect(ran.slice(4)).not.toContain(deadly);
    await attach(deadly, 2);
    await little();
    expect(ran.slice(4)).toContain(deadly);
  } finally {
    pipeline.close();
  }
});

describe("of what a dying runner had in hand", () => {
  const [deadly, good] = [1, 2];
  /** Every event of the deadly handler, until version 2, takes the runner down with all that is in it. */
  let version: number;
  let tried: string[];
  let pipeline: Pipeline;
  /** Until then what comes is not answered, so that what comes after it waits; and what is to happen then. */
  let isBusy: boolean;
  let until: (() => void)[];

  /** It dies for the first time when it has `inHandMax` batches. */
  function open(inHandMax: number): { attach: ReturnType<typeof attachTo> } {
    version = 1;
    tried = [];
    isBusy = false;
    until = [];
    let inHand: (() => void)[] = [];
    let batches = 0;
    pipeline = openPipeline({
      journal: new MemoryJournal(),
      runners: {
        sharedMax: 1,
        busyMs: () => undefined,
        wake: () => Promise.resolve(),
        prepare: () => Promise.resolve(true),
        run(_runner, handler, batch: readonly Task[], _states, done: (result: BatchResult) => void) {
          const answer = (result: RunResult): void => done({ version, results: batch.map(() => result) });
          if (isBusy) {
            until.push(() => answer(DONE));
          } else if (batches < inHandMax) {
            batches++;
            inHand.push(() => answer({ at: "crashed", byItself: false }));
            if (batches < inHandMax) return;
            const died = inHand;
            inHand = [];
            setImmediate(() => died.forEach((tell) => tell()));
          } else {
            tried.push(...batch.map(({ key }) => key));
            const kills = handler === deadly && version === 1;
            setImmediate(() => answer(kills ? { at: "crashed", byItself: false } : DONE));
          }
        },
      },
      wanted: (topic) => [topic.startsWith("deadly") ? deadly : good],
    });
    return { attach: attachTo(pipeline) };
  }
  afterEach(() => pipeline.close());
  const figuresOf = (name: string): LineFigures | undefined =>
    pipeline.figures().handlers.find((each) => each.name === name);

  it("nobody waits for what belongs to whoever has cost the runner", async () => {
    const { attach } = open(4);
    await attach(deadly);
    await attach(good);
    const publish = publishTo(pipeline);
    for (let n = 0; n < 2; n++) publish(`deadly/${n}`);
    for (let n = 0; n < 2; n++) publish(`good/${n}`);
    await expect.poll(() => tried).toEqual(["good/0", "good/1", "deadly/0", "deadly/1"]);
    expect(figuresOf("h2")).toMatchObject({ waiting: 0, running: 0, dead: 0 });
  });

  it("the quarantine holds what has not been tried by then, until there is another version", async () => {
    // So many at a time that a call on the stack for each would be too deep.
    const { attach } = open(11);
    await attach(good);
    await attach(deadly, 1, 10);
    const publish = publishTo(pipeline);
    isBusy = true;
    for (let n = 0; n < 2000; n++) publish(`deadly/${n}`);
    await expect.poll(() => until.length).toBe(11);
    isBusy = false;
    until.forEach((tell) => tell());
    await expect.poll(() => figuresOf("h1")?.quarantinedMs ?? 0).toBeGreaterThan(0);
    await expect.poll(() => figuresOf("h1")).toMatchObject({ dead: 3, running: 0, waiting: 2000 - 11 - 3 });
    publish("good");
    await expect.poll(() => tried.at(-1)).toBe("good");
    expect(tried).toHaveLength(4);
    version = 2;
    await attach(deadly, 2);
    await expect.poll(() => figuresOf("h1")).toMatchObject({ dead: 3, running: 0, waiting: 0 });
  });
});

const DONE: RunResult = { at: "done", outputs: [], state: undefined };

function attachTo(pipeline: Pipeline): (id: number, version?: number, concurrency?: number) => Promise<void> {
  return (id, version = 1, concurrency = 1) =>
    pipeline.lines.attach({
      name: `h${id}`,
      id,
      to: [],
      type: "t",
      retry: { firstMs: 1, maxMs: 2, triesMax: 1 },
      concurrency,
      route: false,
      version,
      trust: "known",
      keyOf: (topic) => topic,
    });
}

function publishTo(pipeline: Pipeline): (topic: string) => void {
  const event = { kind: "topic", device: "d", qos: 1, retain: false, hops: 0, timeMs: 0 } as const;
  return (topic) =>
    void pipeline.accept({ ...event, topic, payload: Buffer.alloc(0) }, { committed: () => undefined }, 1);
}

/** A handler that keeps costing runners stands aside; its events wait, and others go on (P5). */
import { expect, it } from "vitest";
import { Quarantine } from "../../src/tasks/quarantine.ts";
import type { BatchResult } from "../../src/tasks/run.ts";
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
  const attach = (id: number, version = 1): Promise<void> =>
    pipeline.lines.attach({
      name: `h${id}`,
      id,
      to: [],
      type: "t",
      retry: { firstMs: 1, maxMs: 2, triesMax: 1 },
      concurrency: 1,
      route: false,
      version,
      trust: "known",
      keyOf: (topic) => topic,
    });
  await attach(deadly);
  await attach(good);
  const publish = async (topic: string): Promise<void> => {
    const event = { topic, kind: "topic", device: "d", qos: 1, retain: false, hops: 0, timeMs: 0 } as const;
    pipeline.accept({ ...event, payload: Buffer.alloc(0) }, { committed: () => undefined }, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
  };
  try {
    for (let n = 0; n < 6; n++) await publish(`deadly/${n}`);
    await publish("good");
    expect(ran).toEqual([deadly, deadly, deadly, good]);
    const figures = pipeline.figures().handlers.find(({ name }) => name === "h1");
    expect(figures).toMatchObject({ runnersLost: 3 });
    expect(figures?.quarantinedMs).toBeGreaterThan(9_000);
    // Its settings alone change nothing of what it costs.
    await attach(deadly);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(ran.slice(4)).not.toContain(deadly);
    await attach(deadly, 2);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(ran.slice(4)).toContain(deadly);
  } finally {
    pipeline.close();
  }
});

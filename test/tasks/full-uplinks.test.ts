/** What waits while an uplink takes no more under `whenFull: refuse`, and what does not (P3). */
import { afterEach, expect, it } from "vitest";
import type { Pipeline } from "../../src/pipeline.ts";
import type { Task } from "../../src/task.ts";
import type { LineSettings } from "../../src/tasks/line.ts";
import type { BatchResult, RawOutput, RunResult } from "../../src/tasks/run.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { draft } from "../journal/fixture.ts";
import { openPipeline } from "./opened.ts";

const CLOUD = 1;
const AWAY = 2;
const OWN = 11;
const NAMED = 12;
const OTHER = 13;

/** The handler NAMED sends to the uplink `away` by name, whatever its settings say. */
class Senders extends RestingRunners {
  readonly ran = new Map<number, number>();

  constructor() {
    super(1);
  }

  run(
    _runner: number,
    handler: number,
    batch: readonly Task[],
    _states: readonly (string | undefined)[],
    done: (result: BatchResult) => void,
  ): void {
    const output: RawOutput = { data: Buffer.from("1"), json: true };
    const outputs = [handler === NAMED ? { ...output, to: ["away"] } : output];
    this.ran.set(handler, (this.ran.get(handler) ?? 0) + batch.length);
    const results = batch.map((): RunResult => ({ at: "done", outputs, state: undefined }));
    setImmediate(() => done({ version: 1, results }));
  }
}

let pipeline: Pipeline | undefined;
afterEach(() => pipeline?.close());

it("handlers that send to an uplink that is full wait, also those that name it in their outputs only; others go on (P3)", async () => {
  const full = new Set<number>();
  const runners = new Senders();
  const opened = openPipeline({
    journal: new MemoryJournal(),
    runners,
    wanted: () => [OWN, NAMED, OTHER],
    isFull: (uplink) => full.has(uplink),
    uplink: (name) => (name === "away" ? AWAY : CLOUD),
  });
  pipeline = opened;
  const settings = (id: number, to: readonly number[]): LineSettings => ({
    name: `handler-${id}`,
    id,
    to,
    type: "t",
    retry: { firstMs: 1, maxMs: 2, triesMax: 3 },
    concurrency: 1,
    route: false,
    version: 1,
    trust: "known",
    keyOf: (topic) => topic,
  });
  await opened.lines.attach(settings(OWN, [AWAY]));
  await opened.lines.attach(settings(NAMED, [CLOUD]));
  await opened.lines.attach(settings(OTHER, [CLOUD]));
  let tag = 0;
  const publish = (): void => void opened.accept(draft("t"), { committed: () => undefined }, ++tag);
  const ran = (): (number | undefined)[] => [OWN, NAMED, OTHER].map((handler) => runners.ran.get(handler));

  publish();
  await expect.poll(ran).toEqual([1, 1, 1]);
  await expect.poll(() => opened.lines.idle).toBe(true);
  full.add(AWAY);
  publish();
  publish();
  await expect.poll(ran).toEqual([1, 1, 3]);
  await expect.poll(() => opened.lines.idle).toBe(true);
  expect(ran()).toEqual([1, 1, 3]);
  full.clear();
  await expect.poll(ran).toEqual([3, 3, 3]);

  // Another version has to show anew where it sends to.
  await expect.poll(() => opened.lines.idle).toBe(true);
  full.add(AWAY);
  await opened.lines.attach({ ...settings(NAMED, [CLOUD]), version: 2 });
  publish();
  await expect.poll(ran).toEqual([3, 4, 4]);
});

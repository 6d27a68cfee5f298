/** How a replay takes its steps: its record, its events and its runner are the test's. */
import { describe, expect, it } from "vitest";
import { writeEventRecord } from "../../src/event.ts";
import { Replay } from "../../src/tasks/replay.ts";
import type { Loaded, Plan, Progress, Recorded } from "../../src/tasks/replay.ts";
import { systemClock } from "../../src/time.ts";
import { draft } from "../journal/fixture.ts";

const EVENTS = 100;
const BEGUN: Progress = {
  ...{ place: 0, events: 0, same: 0, samples: [], skipped: 0, sent: 0 },
  differences: { outputs: 0, state: 0, failed: 0, mended: 0 },
};

/** How many events each step ran, up to the first `stepsMax` of them. */
async function stepsOf(plan: Partial<Plan>, stepsMax = Infinity): Promise<number[]> {
  const page = Buffer.alloc(512);
  writeEventRecord(page, 0, draft("t"), [1]);
  const recorded = (seq: number): Recorded => ({
    ...{
      seq,
      version: 1,
      startMs: 0,
      attempt: 1,
      key: `k${seq}`,
      before: { at: "kept", state: undefined, version: 1 },
    },
    ...{ after: undefined, failure: undefined, outputs: { at: "here", bytes: Buffer.alloc(0) } },
  });
  const ending = new AbortController();
  const steps: number[] = [];
  const loaded: Loaded = {
    id: 1,
    fill: () => [],
    run: (tasks, _states, _began, done) => {
      if (steps.push(tasks.length) >= stepsMax) ending.abort();
      setImmediate(() =>
        done({ version: 1, results: tasks.map(() => ({ at: "done", outputs: [], state: undefined })) }),
      );
    },
  };
  const whole: Plan = { handler: "h", version: 1, sinceMs: 0, untilMs: 2 ** 50, apply: false, ...plan };
  const doors = {
    read: (
      _handler: number,
      { from, to }: { from: number; to: number },
      visit: (r: Recorded, behind: number) => boolean,
    ) => {
      for (let seq = from; seq < to && visit(recorded(seq), seq + 1);) seq++;
      return Promise.resolve();
    },
    event: () => Promise.resolve({ page, at: 0 }),
    isBusy: () => false,
    hasRoom: () => true,
    clock: systemClock,
  };
  await new Replay(whole, EVENTS, loaded, doors, ending.signal).run(BEGUN, () => Promise.resolve());
  return steps;
}

describe("a replay's step", () => {
  it("is of 64 events", async () => {
    expect(await stepsOf({})).toEqual([64, 36]);
  });

  it("has no more events than a second may have, and one at least", async () => {
    expect(await stepsOf({ perSecond: 10 }, 1)).toEqual([10]);
    expect(await stepsOf({ perSecond: 0.1 }, 1)).toEqual([1]);
    expect(await stepsOf({ perSecond: 100_000 })).toEqual([64, 36]);
  });
});

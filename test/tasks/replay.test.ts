/** How replays begin, take their steps and end: their record, events and runner are the test's. */
import { describe, expect, it } from "vitest";
import { writeEventRecord } from "../../src/event.ts";
import { createLog } from "../../src/log.ts";
import { Replay } from "../../src/tasks/replay.ts";
import type { Loaded, Plan, Progress, Recorded, ReplayDoors } from "../../src/tasks/replay.ts";
import { Replays } from "../../src/tasks/replays.ts";
import type { ReplaysDoors } from "../../src/tasks/replays.ts";
import { systemClock } from "../../src/time.ts";
import { draft } from "../journal/fixture.ts";

const EVENTS = 100;
const BEGUN: Progress = {
  ...{ place: 0, events: 0, same: 0, samples: [], skipped: 0, sent: 0 },
  differences: { outputs: 0, state: 0, failed: 0, mended: 0 },
};

/** A record, of which each event is the only one of its key, and its events. */
function past(): ReplayDoors {
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
  return {
    read: (_handler, { from, to }, visit) => {
      for (let seq = from; seq < to && visit(recorded(seq), seq + 1);) seq++;
      return Promise.resolve();
    },
    event: () => Promise.resolve({ page, at: 0 }),
    isBusy: () => false,
    hasRoom: () => true,
    clock: systemClock,
  };
}

/** `ran` is told of each run before it is answered. */
function loaded(ran: (events: number) => void): Loaded {
  return {
    id: 1,
    fill: () => [],
    run: (tasks, _states, _began, done) => {
      ran(tasks.length);
      setImmediate(() =>
        done({ version: 1, results: tasks.map(() => ({ at: "done", outputs: [], state: undefined })) }),
      );
    },
  };
}

const PLAN: Plan = { handler: "h", version: 1, sinceMs: 0, untilMs: 2 ** 50, apply: false };

/** How many events each step ran, up to the first `stepsMax` of them. */
async function stepsOf(plan: Partial<Plan>, stepsMax = Infinity): Promise<number[]> {
  const ending = new AbortController();
  const steps: number[] = [];
  const version = loaded((events) => {
    if (steps.push(events) >= stepsMax) ending.abort();
  });
  const replay = new Replay({ ...PLAN, ...plan }, EVENTS, version, past(), ending.signal);
  await replay.run(BEGUN, () => Promise.resolve());
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

describe("replays", () => {
  async function open(more: Partial<ReplaysDoors> = {}): Promise<Replays> {
    return await Replays.open({
      ...past(),
      log: createLog({ level: "silent", pretty: false }),
      span: () => Promise.resolve({ from: 0, to: EVENTS }),
      known: () => Promise.resolve([]),
      save: () => Promise.resolve(),
      forget: () => undefined,
      load: () => Promise.resolve(loaded(() => undefined)),
      unload: () => undefined,
      ...more,
    });
  }

  it("are over when they are, though nothing can be written any more", async () => {
    let saves = 0;
    const save = (): Promise<void> =>
      ++saves === 1 ? Promise.resolve() : Promise.reject(new Error("the disk is away"));
    const replays = await open({ save });
    const { id } = await replays.start(PLAN);
    await replays.cancel("h", id);
    expect(replays.get("h", id).at).toMatch(/^(?:cancelled|failed)$/);
    await expect(replays.resume("h", id)).resolves.toMatchObject({ at: "running" });
  });

  it("do not begin when the gateway has ended while they were loaded", async () => {
    const { promise, resolve } = Promise.withResolvers<Loaded>();
    const replays = await open({ load: () => promise });
    const started = replays.start(PLAN);
    await replays.close();
    resolve(loaded(() => undefined));
    await expect(started).rejects.toMatchObject({ code: "CONTROL_CLOSING" });
    expect(replays.figures().running).toBe(0);
  });
});

/** Who runs apart from whom, and who is blamed for what happens there. */
import { describe, expect, it } from "vitest";
import type { Pipeline } from "../../src/pipeline.ts";
import type { RunResult, Runners } from "../../src/tasks/run.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { openPipeline } from "./opened.ts";

describe("what is suspected of having ended a runner", () => {
  const [INNOCENT, HOSTILE] = [1, 2];
  const APART = 1;

  /** Batches that the test answers by hand. */
  class ByHand extends RestingRunners {
    readonly open: { runner: number; handler: number; tasks: number; answer: (result: RunResult) => void }[] = [];

    run(...[runner, handler, batch, , done]: Parameters<Runners["run"]>): void {
      const answer = (result: RunResult): void => done({ version: 1, results: batch.map(() => result) });
      this.open.push({ runner, handler, tasks: batch.length, answer });
    }

    take(handler: number, runner: number): (result: RunResult) => void {
      const at = this.open.findIndex((each) => each.handler === handler && each.runner === runner);
      const [found] = this.open.splice(at, at < 0 ? 0 : 1);
      if (found === undefined) throw new Error(`handler ${handler} has nothing in runner ${runner}`);
      return found.answer;
    }
  }

  it("is not blamed for a second runner that was killed for what somebody else did there (P4)", async () => {
    const runners = new ByHand(1);
    const journal = new MemoryJournal();
    const pipeline = openPipeline({
      journal,
      runners,
      wanted: (topic) => [Number(topic)],
      provenAfterMs: 1e6,
    });
    const settings = { to: [], type: "t", retry: { firstMs: 1, maxMs: 2, triesMax: 1 }, concurrency: 1, route: false };
    const attach = (id: number, trust: "known" | "fresh"): Promise<void> =>
      pipeline.lines.attach({ ...settings, name: `h${id}`, id, version: 1, trust, keyOf: (topic) => topic });
    await attach(INNOCENT, "known");
    await attach(HOSTILE, "fresh");
    const event = { kind: "topic", device: "d", qos: 1, retain: false, hops: 0, timeMs: 0 } as const;
    for (const topic of [HOSTILE, INNOCENT]) {
      const draft = { ...event, topic: String(topic), payload: Buffer.alloc(0) };
      pipeline.accept(draft, { committed: () => undefined }, 1);
    }
    const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));
    await turn();
    const killed: RunResult = { at: "crashed", byItself: false };
    runners.take(INNOCENT, 0)(killed);
    await turn();
    // It is tried apart, where the hostile one is at work; and that runner is killed as well.
    const trial = runners.take(INNOCENT, APART);
    runners.take(HOSTILE, APART)(killed);
    trial(killed);
    await turn();
    // Now nothing is beside it.
    expect(runners.open.map(({ handler }) => handler)).toEqual([INNOCENT]);
    runners.take(INNOCENT, APART)({ at: "done", outputs: [], state: undefined });
    await turn();
    runners.take(HOSTILE, APART)(killed);
    await turn();
    const ends = journal.settlements.map(({ task: { handler }, outcome }) => [handler, outcome.at]);
    expect(ends).toEqual([
      [INNOCENT, "done"],
      [HOSTILE, "dead"],
    ]);
    pipeline.close();
  });
});

describe("a handler that is not proven", () => {
  const [GOOD, OTHER] = [1, 2];
  const APART = 1;

  class Watched extends RestingRunners {
    readonly ran: [handler: number, runner: number][] = [];
    readonly prepared: number[] = [];
    result: RunResult = { at: "done", outputs: [], state: undefined };

    override prepare(_runner?: number, handler?: number): Promise<boolean> {
      this.prepared.push(handler as number);
      return Promise.resolve(true);
    }

    run(...[runner, handler, batch, , done]: Parameters<Runners["run"]>): void {
      this.ran.push([handler, runner]);
      const { result } = this;
      queueMicrotask(() => done({ version: 1, results: batch.map(() => result) }));
    }
  }

  async function setUp(): Promise<{
    runners: Watched;
    pipeline: Pipeline;
    publish: (handler: number, times?: number) => Promise<number[]>;
    attach: (id: number, trust: "known" | "fresh" | "same") => Promise<void>;
  }> {
    const runners = new Watched(1);
    const pipeline = openPipeline({
      journal: new MemoryJournal(),
      runners,
      wanted: (topic) => [Number(topic)],
    });
    const settings = { to: [], type: "t", retry: { firstMs: 1, maxMs: 2, triesMax: 1 }, concurrency: 1, route: false };
    const attach = (id: number, trust: "known" | "fresh" | "same"): Promise<void> =>
      pipeline.lines.attach({ ...settings, name: `h${id}`, id, version: 1, trust, keyOf: (topic) => topic });
    /** Resolves with the runners of the events. */
    const publish = async (handler: number, times = 1): Promise<number[]> => {
      runners.ran.length = 0;
      for (let n = 0; n < times; n++) {
        const event = { topic: String(handler), kind: "topic", device: "d", qos: 1, retain: false, hops: 0 } as const;
        pipeline.accept({ ...event, timeMs: 0, payload: Buffer.alloc(0) }, { committed: () => undefined }, 1);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return [...new Set(runners.ran.map(([, runner]) => runner))];
    };
    return { runners, pipeline, publish, attach };
  }

  it("runs where all do while nothing proven is there to be kept from it", async () => {
    const { pipeline, publish, attach } = await setUp();
    await attach(GOOD, "fresh");
    await attach(OTHER, "fresh");
    expect([await publish(GOOD), await publish(OTHER)]).toEqual([[0], [0]]);
    pipeline.close();
  });

  it("runs apart from what is, until it is proven itself and all is prepared for it (E1)", async () => {
    const { runners, pipeline, publish, attach } = await setUp();
    await attach(GOOD, "known");
    expect(pipeline.lines.placeFor(OTHER, "fresh")).toBe(APART);
    await attach(OTHER, "fresh");
    expect([await publish(GOOD), await publish(OTHER)]).toEqual([[0], [APART]]);
    await publish(OTHER, 19);
    expect(runners.prepared).toEqual([OTHER]);
    expect(await publish(OTHER)).toEqual([0]);
    expect(pipeline.figures().handlers.map(({ proven }) => proven)).toEqual([true, true]);
    // The next version of it has shown nothing yet; other settings make no other version.
    await attach(OTHER, "same");
    expect(await publish(OTHER)).toEqual([0]);
    await attach(OTHER, "fresh");
    expect(await publish(OTHER)).toEqual([APART]);
    pipeline.close();
  });

  it("is proven with the first of those that came with it, and does not move away and back", async () => {
    const { runners, pipeline, publish, attach } = await setUp();
    await attach(GOOD, "fresh");
    await attach(OTHER, "fresh");
    pipeline.lines.begun();
    runners.prepare = () => new Promise(() => undefined);
    await publish(OTHER, 20);
    runners.prepare = () => Promise.resolve(true);
    await publish(GOOD, 20);
    expect(await publish(OTHER)).toEqual([0]);
    expect(pipeline.figures().handlers.map(({ proven }) => proven)).toEqual([true, true]);
    pipeline.close();
  });

  it("is what has cost an isolate, and nobody else moves", async () => {
    const { runners, pipeline, publish, attach } = await setUp();
    await attach(GOOD, "known");
    await attach(OTHER, "known");
    expect(await publish(OTHER)).toEqual([0]);
    const fine = runners.result;
    runners.result = { at: "failed", failure: { code: "SANDBOX_MEMORY", message: "" }, final: true, cost: "isolate" };
    await publish(OTHER);
    runners.result = fine;
    await expect.poll(() => publish(OTHER)).toEqual([APART]);
    expect(await publish(GOOD)).toEqual([0]);
    pipeline.close();
  });

  it("stays apart while its isolate cannot be built elsewhere", async () => {
    const { runners, pipeline, publish, attach } = await setUp();
    runners.prepare = () => Promise.resolve(false);
    await attach(GOOD, "known");
    await attach(OTHER, "fresh");
    expect(await publish(OTHER, 30)).toEqual([APART]);
    pipeline.close();
  });
});

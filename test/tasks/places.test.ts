/** Which runners a handler's tasks go to: what it has shown of itself, and how busy the runners are. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLog } from "../../src/log.ts";
import { Pipeline } from "../../src/pipeline.ts";
import { Lane } from "../../src/tasks/lane.ts";
import type { Batch } from "../../src/tasks/lane.ts";
import { ParkedKeys } from "../../src/tasks/parked.ts";
import { BUSY_LOOKS, EASY_LOOKS, Places } from "../../src/tasks/places.ts";
import type { RunResult, Runners } from "../../src/tasks/run.ts";
import { Standing } from "../../src/tasks/standing.ts";
import type { Task } from "../../src/task.ts";
import { systemClock } from "../../src/time.ts";
import { MemoryJournal } from "../doubles/memory-journal.ts";
import { RestingRunners } from "../doubles/resting-runners.ts";
import { task } from "../sandbox/opened.ts";

describe("a handler's standing", () => {
  const set = { nowMs: 0 };
  const clock = { now: () => set.nowMs, monotonic: () => set.nowMs };

  it("is proven by time and events together, and lost with an offence for twice as long each time", () => {
    set.nowMs = 0;
    const standing = new Standing(clock, 10_000);
    expect(standing.served(1000)).toBe(false);
    set.nowMs = 10_000;
    expect(standing.served(0)).toBe(true);
    standing.prove();
    expect([standing.isProven, standing.offended(), standing.isProven]).toEqual([true, true, false]);
    set.nowMs += 20_000;
    expect([standing.served(19), standing.served(1)]).toEqual([false, true]);
    expect(standing.offended()).toBe(false);
    set.nowMs += 39_999;
    expect(standing.served(20)).toBe(false);
    set.nowMs += 1;
    expect(standing.served(0)).toBe(true);
  });

  it("begins anew with another version, and is never more than ten minutes away", () => {
    set.nowMs = 0;
    const standing = new Standing(clock, 10_000);
    for (let n = 0; n < 30; n++) standing.offended();
    set.nowMs = 10 * 60_000;
    expect(standing.served(20)).toBe(true);
    standing.renew();
    expect(standing.served(20)).toBe(false);
    set.nowMs += 10_000;
    expect(standing.served(0)).toBe(true);
  });
});

describe("the shared runners in use", () => {
  /** Looks once a second; `shares` is the part of a core that each runner has, by number. */
  function looking(sharedMax: number): {
    look: (shares: readonly number[], times: number) => Promise<number>;
    woken: number[];
  } {
    const busy: number[] = [];
    const woken: number[] = [];
    const places = new Places({
      sharedMax,
      busyMs: (runner) => busy[runner],
      wake: (runner) => {
        woken.push(runner);
        return Promise.resolve();
      },
    });
    let nowMs = 0;
    const look = async (shares: readonly number[], times: number): Promise<number> => {
      for (let n = 0; n < times; n++) {
        for (const [runner, share] of shares.entries()) busy[runner] = (busy[runner] ?? 0) + share * 1000;
        places.look((nowMs += 1000), () => undefined);
        await Promise.resolve();
      }
      return places.shared.length;
    };
    return { look, woken };
  }

  it("become more while all are busy, one at a time, each when it is ready, and never more than there may be (E3)", async () => {
    const { look, woken } = looking(3);
    expect(await look([1], BUSY_LOOKS)).toBe(1);
    expect(await look([1], 1)).toBe(2);
    expect(await look([0.9, 0.9], BUSY_LOOKS + 1)).toBe(3);
    expect(await look([1, 1, 1], 10)).toBe(3);
    expect(woken).toEqual([1, 2]);
  });

  it("are not more for a moment's load, nor for one that is busy beside others that are not", async () => {
    const { look } = looking(3);
    for (let n = 0; n < 5; n++) {
      await look([1], BUSY_LOOKS - 1);
      expect(await look([0.5], 1)).toBe(1);
    }
    await look([1], BUSY_LOOKS + 1);
    expect(await look([1, 0.3], 20)).toBe(2);
  });

  it("become fewer when the others could do it with ease for long", async () => {
    const { look } = looking(2);
    await look([1], BUSY_LOOKS + 1);
    expect(await look([0.2, 0.2], EASY_LOOKS)).toBe(2);
    expect(await look([0.2, 0.2], 1)).toBe(1);
  });

  it("stay as they are where processor time cannot be known, or a runner cannot be started", async () => {
    const places = new Places({ sharedMax: 2, busyMs: () => undefined, wake: () => Promise.reject(new Error("no")) });
    for (let n = 1; n < 20; n++) places.look(n * 1000, () => undefined);
    expect(places.shared).toEqual([0]);
    let busyMs = 0;
    const failing = new Places({ sharedMax: 2, busyMs: () => busyMs, wake: () => Promise.reject(new Error("no")) });
    for (let n = 1; n < 20; n++) {
      busyMs += 1000;
      failing.look(n * 1000, () => undefined);
      await Promise.resolve();
    }
    expect(failing.shared).toEqual([0]);
  });
});

describe("a lane", () => {
  const places = fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 });
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ at: fc.constant("come" as const), key: fc.integer({ min: 0, max: 4 }) }) },
    { weight: 4, arbitrary: fc.record({ at: fc.constant("next" as const), runner: fc.integer({ min: 0, max: 3 }) }) },
    { weight: 3, arbitrary: fc.record({ at: fc.constant("back" as const), again: fc.boolean(), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ at: fc.constant("place" as const), places }) },
  );

  it("keeps every key in order however its runners change, and forgets nothing (L1, E2)", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.integer({ min: 1, max: 3 }), (steps, width) => {
        const feed: Task[] = [];
        const ends: Task[] = [];
        const out: Batch[] = [];
        const source = { take: () => feed.shift(), close: () => undefined, waiting: 0 };
        const parked = new ParkedKeys(
          systemClock,
          () => 1000,
          () => undefined,
        );
        const lane = new Lane(
          1,
          4,
          source,
          parked,
          () => width,
          () => undefined,
        );
        let lastSeq = 0;
        /** Run to the end, or only the first task of it: that one's key is slow. */
        const back = (index: number, again: boolean): void => {
          const [batch] = out.splice(index, 1) as [Batch];
          const kept = again ? batch.tasks.slice(1) : [];
          ends.push(...batch.tasks.slice(0, batch.tasks.length - kept.length));
          lane.finished(batch, kept, batch.tasks.length - kept.length);
        };
        const next = (runner: number): boolean => {
          const batch = lane.next(runner);
          if (batch !== undefined) out.push(batch);
          return batch !== undefined;
        };
        for (const each of steps) {
          if (each.at === "come") feed.push(task(1, { seq: ++lastSeq, key: `k${each.key}` }));
          else if (each.at === "next") next(each.runner);
          else if (each.at === "place") lane.place(each.places);
          else if (out.length > 0) back(each.which % out.length, each.again);
        }
        for (let quiet = 0; quiet < 2;) {
          const handed = lane.places.some(next);
          if (out.length > 0) back(0, false);
          quiet = handed || out.length > 0 ? 0 : quiet + 1;
        }
        expect(ends.map(({ seq }) => seq).sort((a, b) => a - b)).toEqual(
          Array.from({ length: lastSeq }, (_, n) => n + 1),
        );
        for (const own of Map.groupBy(ends, ({ key }) => key).values()) {
          expect(own.map(({ seq }) => seq)).toEqual(own.map(({ seq }) => seq).sort((a, b) => a - b));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("a key whose events take a whole slice", () => {
  function lane(): { lane: Lane; come: (key: string, times: number) => void } {
    const feed: Task[] = [];
    let seq = 0;
    const source = { take: () => feed.shift(), close: () => undefined, waiting: 0 };
    const parked = new ParkedKeys(
      systemClock,
      () => 1000,
      () => undefined,
    );
    return {
      lane: new Lane(
        1,
        1,
        source,
        parked,
        () => 1,
        () => undefined,
      ),
      come: (key, times) => {
        for (let n = 0; n < times; n++) feed.push(task(1, { seq: ++seq, key }));
      },
    };
  }
  const keysOf = (batch: Batch | undefined): string => (batch?.tasks ?? []).map(({ key }) => key).join("");
  /** Its slice is over after `ran` tasks. */
  const cut = (of: Lane, batch: Batch | undefined, ran: number): void =>
    of.finished(batch as Batch, (batch as Batch).tasks.slice(ran), ran);

  it("goes behind the others, one task a batch, and has all of it when nobody else waits (L5)", () => {
    const { lane: it, come } = lane();
    come("s", 3);
    for (const key of ["a", "b", "a"]) come(key, 1);
    const first = it.next(0);
    expect(keysOf(first)).toBe("sssaba");
    cut(it, first, 1);
    const second = it.next(0);
    expect(keysOf(second)).toBe("abas");
    come("c", 1);
    const third = it.next(0);
    // Its turn is in the runner's hands: it waits, and nobody waits for it.
    expect(keysOf(third)).toBe("c");
    it.finished(second as Batch, []);
    it.finished(third as Batch, []);
    come("s", 9);
    const fourth = it.next(0);
    expect(keysOf(fourth)).toBe("ssssssss");
    it.finished(fourth as Batch, []);
  });

  it("has its turn also while batches are full, and where they have one place only", () => {
    for (const most of [256, 2, 1]) {
      const { lane: it, come } = lane();
      come("s", 4);
      cut(it, it.next(0), 1);
      come("a", 600);
      let all = "";
      for (let n = 0; n < 6; n++) {
        const batch = it.next(0, most);
        if (batch === undefined) break;
        expect(batch.tasks.length).toBeLessThanOrEqual(most);
        all += keysOf(batch);
        it.finished(batch, []);
      }
      expect(all.replaceAll("a", ""), `batches of ${most}`).toBe("sss");
    }
  });

  it("is as any other again when it has long not been slow", () => {
    const { lane: it, come } = lane();
    come("s", 2);
    cut(it, it.next(0), 1);
    for (let n = 0; n < 70; n++) {
      come("a", 1);
      it.finished(it.next(0) as Batch, []);
    }
    come("s", 2);
    come("a", 1);
    expect(keysOf(it.next(0))).toBe("ssa");
  });

  it("is none of many whose events are short and many", () => {
    const { lane: it, come } = lane();
    come("h", 200);
    come("a", 1);
    cut(it, it.next(0), 50);
    expect(keysOf(it.next(0))).toBe(`${"h".repeat(150)}a`);
  });
});

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
    const pipeline = new Pipeline({
      journal,
      runners,
      wanted: (topic) => [Number(topic)],
      isFull: () => false,
      uplink: () => undefined,
      local: 0,
      clock: systemClock,
      random: () => 0,
      lossesMax: 3,
      provenAfterMs: 1e6,
      log: createLog({ level: "silent", pretty: false }),
    });
    const settings = { to: [], type: "t", retry: { firstMs: 1, maxMs: 2, triesMax: 1 }, concurrency: 1, route: false };
    const attach = (id: number, trust: "known" | "fresh"): Promise<void> =>
      pipeline.attach({ ...settings, name: `h${id}`, id, trust, keyOf: (topic) => topic });
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
    const pipeline = new Pipeline({
      journal: new MemoryJournal(),
      runners,
      wanted: (topic) => [Number(topic)],
      isFull: () => false,
      uplink: () => undefined,
      local: 0,
      clock: systemClock,
      random: () => 0,
      lossesMax: 3,
      provenAfterMs: 0,
      log: createLog({ level: "silent", pretty: false }),
    });
    const settings = { to: [], type: "t", retry: { firstMs: 1, maxMs: 2, triesMax: 1 }, concurrency: 1, route: false };
    const attach = (id: number, trust: "known" | "fresh" | "same"): Promise<void> =>
      pipeline.attach({ ...settings, name: `h${id}`, id, trust, keyOf: (topic) => topic });
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
    expect(pipeline.placeFor(OTHER, "fresh")).toBe(APART);
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
    pipeline.begun();
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

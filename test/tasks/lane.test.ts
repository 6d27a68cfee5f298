/** A lane by itself: order whatever becomes of its runners, and the turns of slow keys. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Lane } from "../../src/tasks/lane.ts";
import type { Batch } from "../../src/tasks/lane.ts";
import { ParkedKeys } from "../../src/tasks/parked.ts";
import type { Task } from "../../src/task.ts";
import { systemClock } from "../../src/time.ts";
import { task } from "../sandbox/opened.ts";

describe("a lane", () => {
  const places = fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 });
  const canary = fc.option(fc.record({ places, share: fc.constantFrom(0.1, 0.5, 1) }), { nil: undefined });
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ at: fc.constant("come" as const), key: fc.integer({ min: 0, max: 4 }) }) },
    { weight: 4, arbitrary: fc.record({ at: fc.constant("next" as const), port: fc.integer({ min: 0, max: 7 }) }) },
    { weight: 3, arbitrary: fc.record({ at: fc.constant("back" as const), again: fc.boolean(), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ at: fc.constant("place" as const), places, canary }) },
  );

  it("keeps every key in order however its runners and sides change, and forgets nothing (L1, E2)", () => {
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
        const next = (port: number): boolean => {
          const batch = lane.next(port);
          if (batch !== undefined) out.push(batch);
          return batch !== undefined;
        };
        for (const each of steps) {
          if (each.at === "come") feed.push(task(1, { seq: ++lastSeq, key: `k${each.key}` }));
          else if (each.at === "next") next(each.port);
          else if (each.at === "place") lane.place(each.places, each.canary);
          else if (out.length > 0) back(each.which % out.length, each.again);
        }
        for (let quiet = 0; quiet < 2;) {
          const handed = lane.ports.some(next);
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

  it("runs a share of the keys on the candidate, each key always on the same side (L6)", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.05, max: 0.95, noNaN: true }), places, (share, candidates) => {
        const feed = Array.from({ length: 4000 }, (_, n) => task(1, { seq: n + 1, key: `device-${n % 2000}` }));
        const parked = new ParkedKeys(
          systemClock,
          () => 1000,
          () => undefined,
        );
        const source = { take: () => feed.shift(), close: () => undefined, waiting: 0 };
        const lane = new Lane(
          1,
          4,
          source,
          parked,
          () => 1,
          () => undefined,
        );
        lane.place([0, 1], { places: candidates, share });
        const sides = new Map<string, Set<string>>();
        for (let quiet = false; !quiet;) {
          quiet = true;
          for (const port of lane.ports) {
            const batch = lane.next(port);
            if (batch === undefined) continue;
            quiet = false;
            expect((batch.side === "live" ? [0, 1] : candidates).includes(batch.runner)).toBe(true);
            for (const { key } of batch.tasks) sides.set(key, (sides.get(key) ?? new Set()).add(batch.side));
            lane.finished(batch, []);
          }
        }
        expect(sides.size).toBe(2000);
        const counts = { live: 0, candidate: 0 };
        for (const [side, ...others] of sides.values()) {
          expect(others).toEqual([]);
          counts[side as "live" | "candidate"]++;
        }
        expect(Math.abs(counts.candidate / 2000 - share)).toBeLessThan(0.05);
      }),
      { numRuns: 20 },
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

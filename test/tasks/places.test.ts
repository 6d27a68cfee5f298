/** What a handler has shown of itself, and how many runners are in use. */
import { describe, expect, it } from "vitest";
import { BUSY_LOOKS, EASY_LOOKS, Places } from "../../src/tasks/places.ts";
import { Standing } from "../../src/tasks/standing.ts";

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

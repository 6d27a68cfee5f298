/** Schedules when their clock is set, and when summer time comes and goes. */
import { describe, expect, it } from "vitest";
import type { Missed } from "../../src/triggers/plan.ts";
import { Box, every, HOUR, MINUTE, START } from "./box.ts";

describe("when the clock is set forward over many instants", () => {
  const instants = Array.from({ length: 3 }, (_, n): [string, number] => [`1${n + 1}:00:00`, 0]);
  it.each<[Missed, number, [string, number][], number]>([
    ["skip", 3 * HOUR, [["13:00:00", 2]], 2],
    ["skip", 3 * HOUR + MINUTE, [], 3],
    ["once", 3 * HOUR + MINUTE, [["13:00:00", 2]], 2],
    ["all", 3 * HOUR + MINUTE, instants, 0],
  ])("missed: %s, by %i ms", async (missed, byMs, ticks, left) => {
    const box = await Box.open(every(HOUR, missed));
    box.clock.nowMs += byMs;
    expect(await box.ticks()).toEqual(ticks);
    expect(await box.ticks()).toEqual([]);
    expect(box.ticker.figures().missed).toBe(left);
    box.clock.pass(HOUR);
    expect((await box.ticks()).length).toBe(missed === "skip" && byMs > 3 * HOUR ? 0 : 1);
  });
});

describe("when the clock is set back", () => {
  it("a little, no instant ticks again (T4)", async () => {
    const box = await Box.open(every(MINUTE, "all"));
    box.clock.pass(2 * MINUTE);
    expect((await box.ticks()).length).toBe(2);
    box.clock.nowMs -= 59_000;
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["10:03:00", 0]]);
    expect(box.ticker.figures().rewound).toBe(0);
  });

  it("by hours, a schedule of minutes goes on by the new time instead of being silent for hours", async () => {
    const box = await Box.open(every(MINUTE, "all"));
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["10:01:00", 0]]);
    box.clock.nowMs -= 3 * HOUR;
    expect(await box.ticks()).toEqual([]);
    expect(box.ticker.figures().rewound).toBe(1);
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["07:02:00", 0]]);
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["07:03:00", 0]]);
    expect(box.ticker.figures().rewound).toBe(1);
  });

  it("by hours, what happens once a day does not happen twice (T4)", async () => {
    const box = await Box.open({ cron: "30 10 * * *", timeZone: "UTC", missed: "all" });
    box.clock.pass(30 * MINUTE);
    expect(await box.ticks()).toEqual([["10:30:00", 0]]);
    box.clock.nowMs -= 3 * HOUR;
    for (let hour = 0; hour < 26; hour++) {
      expect(await box.ticks()).toEqual([]);
      box.clock.pass(HOUR);
    }
    box.clock.pass(HOUR);
    expect(await box.ticks()).toEqual([["10:30:00", 0]]);
    expect(box.ticker.figures().rewound).toBe(0);
  });

  it("by more than a day, it was wrong before: what happens once a week begins anew as well", async () => {
    const box = await Box.open(every(7 * 24 * HOUR));
    box.clock.nowMs += 14 * 24 * HOUR;
    await box.ticks();
    box.clock.nowMs = START;
    expect(await box.ticks()).toEqual([]);
    expect(box.ticker.figures().rewound).toBe(1);
    expect(box.ticker.look()).toBe(5000);
  });

  it("and forward again, what had ticked before is not made up for, and what had not is; also where it is 1970 at every start (T4, T5)", async () => {
    const schedule = every(HOUR, "all");
    const box = await Box.open(schedule);
    box.clock.pass(HOUR);
    expect(await box.ticks()).toEqual([["11:00:00", 0]]);
    box.clock.nowMs = 5 * MINUTE;
    await box.restart(schedule);
    expect(await box.ticks()).toEqual([]);
    expect(box.ticker.figures().rewound).toBe(1);
    box.clock.pass(55 * MINUTE);
    expect(await box.ticks()).toEqual([["01:00:00", 0]]);
    await box.restart(schedule);
    box.clock.nowMs = START + 3 * HOUR + MINUTE;
    expect(await box.ticks()).toEqual([
      ["12:00:00", 0],
      ["13:00:00", 0],
    ]);
    box.clock.pass(59 * MINUTE);
    expect(await box.ticks()).toEqual([["14:00:00", 0]]);
  });

  it("and forward again, though not beyond its latest tick, what has ticked is not made up for a second time (T4)", async () => {
    const box = await Box.open(every(HOUR, "all"));
    box.clock.pass(6 * HOUR);
    expect((await box.ticks()).length).toBe(6);
    box.clock.nowMs -= 6 * HOUR;
    expect(await box.ticks()).toEqual([]);
    expect(box.ticker.figures().rewound).toBe(1);
    box.clock.pass(4 * HOUR + 10 * MINUTE);
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(50 * MINUTE);
    expect(await box.ticks()).toEqual([["15:00:00", 0]]);
    box.clock.pass(3 * HOUR);
    expect(await box.ticks()).toEqual([
      ["17:00:00", 0],
      ["18:00:00", 0],
    ]);
  });
});

describe("when summer time comes and goes", () => {
  const lived = async (cron: string, from: string, hours: number): Promise<string[]> => {
    const box = await Box.open({ cron, timeZone: "Europe/Berlin", missed: "skip" }, Date.parse(from));
    const ticks: string[] = [];
    for (let n = 0; n < hours * 12; n++) {
      box.clock.pass(5 * MINUTE);
      ticks.push(...(await box.ticks()).map(([at]) => at.slice(0, 5)));
    }
    return ticks;
  };

  it("a time of day that is left out, or comes twice, ticks once all the same", async () => {
    expect(await lived("30 2 * * *", "2026-03-28T23:00Z", 6)).toEqual(["01:00"]);
    expect(await lived("30 2 * * *", "2026-10-24T22:00Z", 6)).toEqual(["00:30"]);
  });

  it("what comes every hour comes every hour", async () => {
    expect(await lived("0 * * * *", "2026-03-28T23:30Z", 4)).toEqual(["00:00", "01:00", "02:00", "03:00"]);
    expect(await lived("0 * * * *", "2026-10-24T22:30Z", 4)).toEqual(["23:00", "00:00", "01:00", "02:00"]);
  });
});

import { describe, expect, it } from "vitest";
import { Fault } from "../../src/fault.ts";
import { planOf } from "../../src/triggers/plan.ts";
import type { ScheduleConfig } from "../../src/triggers/plan.ts";
import { ScheduleTrigger } from "../../src/triggers/schedule.ts";
import { Triggers } from "../../src/triggers/triggers.ts";
import { triggerContract } from "../contracts/trigger.ts";

const every = (everyMs: number): ScheduleConfig => ({ everyMs, missed: "skip" });
const cron = (text: string, timeZone = "UTC"): ScheduleConfig => ({ cron: text, timeZone, missed: "skip" });

triggerContract("schedule", {
  make: () => new ScheduleTrigger(),
  asks: { topics: [], key: undefined, name: "report", schedule: every(1000) },
  covered: "$schedule/tick/report",
  elsewhere: "$schedule/tick/other",
  refused: { topics: [], key: undefined, name: "report", schedule: cron("* * *") },
});

/** `count` instants after `from`, without milliseconds. */
function instants(config: ScheduleConfig, from: string, count: number): string[] {
  const plan = planOf(config);
  const found: string[] = [];
  let at: number | undefined = Date.parse(from);
  while (found.length < count) {
    at = plan.next(at);
    if (at === undefined) break;
    found.push(new Date(at).toISOString().replace(":00.000Z", "Z"));
  }
  return found;
}

describe("the instants of a schedule", () => {
  it("are multiples of an interval since 1970, whenever it was asked", () => {
    const plan = planOf(every(10_000));
    expect([0, 1, 9_999, 10_000].map((ms) => plan.next(1_700_000_000_000 + ms))).toEqual(
      [10_000, 10_000, 10_000, 20_000].map((ms) => 1_700_000_000_000 + ms),
    );
    expect(plan.within(100_000, 140_000, 2)).toEqual([130_000, 140_000]);
    expect(plan.within(100_000, 100_000, 2)).toEqual([]);
  });

  it("are times of day in the schedule's time zone, UTC unless it names one", () => {
    expect(instants(cron("30 6 * * 1-5"), "2026-11-20T12:00Z", 2)).toEqual(["2026-11-23T06:30Z", "2026-11-24T06:30Z"]);
    expect(instants(cron("30 6 * * *", "Asia/Kolkata"), "2026-11-20T12:00Z", 1)).toEqual(["2026-11-21T01:00Z"]);
  });

  it("of a time of day that a change to summer time leaves out, is just after the gap", () => {
    expect(instants(cron("30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00Z", 2)).toEqual([
      "2026-03-29T01:00Z",
      "2026-03-30T00:30Z",
    ]);
  });

  it("of a time of day that a change from summer time repeats, is the first of the two", () => {
    expect(instants(cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00Z", 2)).toEqual([
      "2026-10-25T00:30Z",
      "2026-10-26T01:30Z",
    ]);
  });

  it("that come every so many minutes go on through both of two hours of one name, and over a gap", () => {
    expect(instants(cron("*/30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00Z", 4)).toEqual([
      "2026-10-25T00:00Z",
      "2026-10-25T00:30Z",
      "2026-10-25T01:00Z",
      "2026-10-25T01:30Z",
    ]);
    expect(instants(cron("*/30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00Z", 1)).toEqual(["2026-03-30T00:00Z"]);
  });

  it("within a span are the last ones where there are more than are wanted", () => {
    const plan = planOf(cron("* * * * *"));
    const at = Date.parse("2026-11-25T10:00:00Z");
    expect(plan.within(at, at + 5 * 60_000, 10)).toEqual([1, 2, 3, 4, 5].map((n) => at + n * 60_000));
    expect(plan.within(at, at + 500 * 60_000, 2)).toEqual([499, 500].map((n) => at + n * 60_000));
  });

  it.each([
    ["* * *", "five fields"],
    ["2026-01-01T00:00:00", "five fields"],
    ["61 * * * *", "61"],
    ["0 0 30 2 *", "never happens"],
    ["@reboot", "@reboot"],
  ])("of %j are refused, saying why", (text, why) => {
    expect(() => planOf(cron(text))).toThrow(Fault);
    expect(() => planOf(cron(text))).toThrow(why);
  });

  it("in a time zone that there is not are refused", () => {
    expect(() => planOf(cron("* * * * *", "Mars/Olympus"))).toThrow("Mars/Olympus");
  });
});

describe("the key of a tick", () => {
  it("is the handler's name, beside the keys of its topics; or the handler's own, where that is the same for all", () => {
    const triggers = new Triggers();
    const both = { name: "report", schedule: every(1000), topics: ["plant/{m}"], key: "{m}" };
    const keyOf = triggers.bind(1, both);
    expect(keyOf("plant/press", "d")).toBe("press");
    expect(keyOf("$schedule/tick/report", "")).toBe("report");
    const fixed = triggers.bind(2, { ...both, topics: [], key: "all" });
    expect(fixed("$schedule/tick/report", "")).toBe("all");
  });

  it("may name no level where the handler has no topic", () => {
    const bind = (): unknown => new Triggers().bind(1, { name: "r", schedule: every(1000), topics: [], key: "{m}" });
    expect(bind).toThrow("has no topic, and so no level {m}");
  });
});

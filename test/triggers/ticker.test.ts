/** The ticker with a clock that the test sets, over a real journal. */
import { describe, expect, it } from "vitest";
import { eventRecord } from "../../src/event.ts";
import type { Journal } from "../../src/journal/journal.ts";
import type { Missed, ScheduleConfig } from "../../src/triggers/plan.ts";
import { ScheduleTrigger } from "../../src/triggers/schedule.ts";
import { MADE_UP_MAX, Ticker } from "../../src/triggers/ticker.ts";
import type { TickMark } from "../../src/triggers/ticker.ts";
import { byTopic, dataFolder, drain, nothing, openJournal, quiet, SetClock, takeTasks } from "../journal/fixture.ts";

const START = Date.parse("2026-11-25T10:00:00Z");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

interface Tick {
  readonly scheduled: string;
  readonly missed: number;
}

/** One life of a gateway after another, on one data folder. */
class Box {
  readonly clock = new SetClock();
  readonly path: string;
  journal!: Journal;
  ticker!: Ticker;
  schedules!: ScheduleTrigger;
  #feed!: ReturnType<Journal["tasks"]>;

  private constructor(path: string) {
    this.path = path;
  }

  static async open(schedule: ScheduleConfig, startMs = START): Promise<Box> {
    const box = new Box(await dataFolder());
    box.clock.nowMs = startMs;
    await box.start(schedule);
    return box;
  }

  async start(schedule: ScheduleConfig): Promise<void> {
    this.journal = await openJournal(this.path, { clock: this.clock, retainMs: 2 ** 40 });
    const id = this.journal.handlerId("report");
    this.schedules = new ScheduleTrigger();
    this.ticker = new Ticker({
      schedules: this.schedules,
      ticks: {
        last: (handler) => this.journal.once.lastTick(handler),
        tick: (handler, mark, event) => this.journal.once.tick(handler, mark, event),
      },
      clock: this.clock,
      log: quiet,
      handlerName: (handler) => this.journal.handlerName(handler),
    });
    this.schedules.bind(id, { name: "report", topics: [], key: undefined, schedule });
    this.#feed = this.journal.tasks(id, byTopic, nothing);
    this.ticker.look();
    await this.journal.synced();
  }

  async restart(schedule: ScheduleConfig): Promise<void> {
    await this.journal.close();
    await this.start(schedule);
  }

  /** What has ticked since it was asked last, as [scheduled, missed]. */
  async ticks(): Promise<[string, number][]> {
    this.ticker.look();
    await this.journal.synced();
    const tasks = [...(await takeTasks(this.#feed, this.#feed.waiting)), ...(await drain(this.#feed, 5))];
    for (const task of tasks) this.journal.settle(task, { at: "done", outputs: [], state: undefined }, 1);
    return tasks.map(({ page, at }) => {
      const { scheduled, missed } = JSON.parse(eventRecord.payload(page, at).toString()) as Tick;
      if (eventRecord.kind(page, at) !== "schedule") throw new Error("this is no tick");
      if (eventRecord.topic(page, at) !== "$schedule/tick/report") throw new Error("this is another handler's tick");
      return [scheduled.slice(11, 19), missed];
    });
  }
}

const every = (everyMs: number, missed: Missed = "skip"): ScheduleConfig => ({ everyMs, missed });

describe("a schedule", () => {
  it("ticks at its instants, once each however often the clock is looked at", async () => {
    const box = await Box.open(every(MINUTE));
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(MINUTE - 1);
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(1);
    expect(await box.ticks()).toEqual([["10:01:00", 0]]);
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["10:02:00", 0]]);
  });

  it("is looked at when its next instant comes, and at the latest after 5 s, so that a clock that is set is noticed", async () => {
    const box = await Box.open(every(MINUTE));
    expect(box.ticker.look()).toBe(5000);
    box.clock.pass(MINUTE - 10);
    expect(box.ticker.look()).toBe(10);
    expect(new Ticker({ ...unscheduled(box) }).look()).toBeUndefined();
  });

  it("does not tick again for an instant after a restart (T4)", async () => {
    const box = await Box.open(every(MINUTE, "all"));
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["10:01:00", 0]]);
    await box.restart(every(MINUTE, "all"));
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["10:02:00", 0]]);
  });

  it("that is new, or another than before, makes up for nothing that was before it", async () => {
    const box = await Box.open(every(HOUR, "all"));
    box.clock.pass(90 * MINUTE);
    await box.restart(every(MINUTE, "all"));
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["11:31:00", 0]]);
  });

  it("that went and came back begins anew", async () => {
    const box = await Box.open(every(MINUTE, "all"));
    box.journal.once.forgetTicks(box.journal.handlerId("report"));
    box.clock.pass(HOUR);
    await box.restart(every(MINUTE, "all"));
    expect(await box.ticks()).toEqual([]);
  });

  it("goes on from before a restart also if it had not ticked yet", async () => {
    const box = await Box.open(every(HOUR, "once"));
    box.clock.pass(50 * MINUTE);
    await box.restart(every(HOUR, "once"));
    box.clock.pass(30 * MINUTE);
    await box.restart(every(HOUR, "once"));
    expect(await box.ticks()).toEqual([["11:00:00", 0]]);
  });
});

describe("instants that were missed (T5)", () => {
  it("are left out and counted with missed: skip, but for one that is not late", async () => {
    const box = await Box.open(every(MINUTE));
    box.clock.pass(5 * MINUTE + 31_000);
    expect(await box.ticks()).toEqual([]);
    expect(box.ticker.figures()).toMatchObject({ ticks: 0, missed: 5 });
    box.clock.pass(59_000);
    expect(await box.ticks()).toEqual([["10:06:00", 0]]);
    box.clock.pass(2 * MINUTE);
    expect(await box.ticks()).toEqual([["10:08:00", 1]]);
    expect(box.ticker.figures()).toMatchObject({ ticks: 2, missed: 6 });
  });

  it("are one tick with missed: once, that of the last of them, and it says how many there were", async () => {
    const box = await Box.open(every(MINUTE, "once"));
    box.clock.pass(5 * MINUTE + 31_000);
    await box.restart(every(MINUTE, "once"));
    expect(await box.ticks()).toEqual([["10:05:00", 4]]);
  });

  it("are a tick each with missed: all, in order", async () => {
    const box = await Box.open(every(MINUTE, "all"));
    box.clock.pass(3 * MINUTE + 31_000);
    await box.restart(every(MINUTE, "all"));
    expect(await box.ticks()).toEqual([
      ["10:01:00", 0],
      ["10:02:00", 0],
      ["10:03:00", 0],
    ]);
  });

  it("are at most 1,000 with missed: all, the last ones, and what is left out is counted", async () => {
    const box = await Box.open(every(1000, "all"));
    box.clock.pass(MADE_UP_MAX * 1000);
    expect((await box.ticks()).length).toBe(MADE_UP_MAX);
    expect(box.ticker.figures().missed).toBe(0);
    box.clock.pass((MADE_UP_MAX + 1) * 1000);
    const ticks = await box.ticks();
    expect(ticks.length).toBe(MADE_UP_MAX);
    expect(ticks[0]?.[1]).toBe(1);
    expect(box.ticker.figures().missed).toBe(1);
  });
});

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

it("an instant for which the journal has no room is tried again, and ticks once", async () => {
  const box = await Box.open(every(MINUTE));
  let room = false;
  const ticker = new Ticker({
    ...unscheduled(box),
    schedules: box.schedules,
    ticks: {
      last: (handler) => box.journal.once.lastTick(handler),
      tick: (handler, mark, event) => (room ? box.journal.once.tick(handler, mark, event) : "refused"),
    },
  });
  box.clock.pass(MINUTE);
  expect(ticker.look()).toBe(250);
  room = true;
  expect(ticker.look()).toBe(5000);
  expect(ticker.figures()).toMatchObject({ ticks: 1, missed: 0 });
  expect(await box.ticks()).toEqual([["10:01:00", 0]]);
});

function unscheduled(box: Box): ConstructorParameters<typeof Ticker>[0] {
  const { journal, clock } = box;
  return {
    schedules: new ScheduleTrigger(),
    ticks: { last: (handler) => journal.once.lastTick(handler), tick: (...tick) => journal.once.tick(...tick) },
    clock,
    log: quiet,
    handlerName: String,
  };
}

describe("many schedules", () => {
  /** Each look at the clock takes `lookMs`. */
  function many(
    count: number,
    lookMs: number,
  ): {
    ticker: Ticker;
    schedules: ScheduleTrigger;
    asked: number[];
    room: { has: boolean };
    pass: (ms: number) => void;
  } {
    const [asked, room, marks]: [number[], { has: boolean }, Map<number, TickMark & { latestMs: number }>] = [
      [],
      { has: true },
      new Map(),
    ];
    const schedules = new ScheduleTrigger();
    let [nowMs, monotonicMs] = [START, 0];
    const ticker = new Ticker({
      schedules,
      ticks: {
        last: (handler) => marks.get(handler),
        tick: (handler, mark) => {
          asked.push(handler);
          if (room.has) marks.set(handler, { latestMs: mark.instantMs, ...mark });
          return room.has ? "taken" : "refused";
        },
      },
      clock: { now: () => nowMs, monotonic: () => (monotonicMs += lookMs) },
      log: quiet,
      handlerName: String,
    });
    for (let id = 0; id < count; id++)
      schedules.bind(id, { name: `h${id}`, topics: [], key: undefined, schedule: { everyMs: MINUTE, missed: "once" } });
    return { ticker, schedules, asked, room, pass: (ms) => void (nowMs += ms) };
  }

  it("that take long have their turns with everything else, and one that goes meanwhile has none", () => {
    const { ticker, schedules, asked } = many(4, 30);
    expect([ticker.look(), ticker.look()]).toEqual([1, 1]);
    expect(asked).toEqual([0, 1]);
    schedules.unbind(2);
    expect([ticker.look(), ticker.look()]).toEqual([1, 5000]);
    expect(asked).toEqual([0, 1, 3]);
  });

  it("are asked about no more than one at a time, and ever later, while the journal takes nothing", () => {
    const { ticker, asked, room, pass } = many(100, 0);
    expect(ticker.look()).toBe(5000);
    pass(HOUR);
    room.has = false;
    asked.length = 0;
    expect(Array.from({ length: 7 }, () => ticker.look())).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000]);
    expect(asked).toHaveLength(7);
    room.has = true;
    expect(ticker.look()).toBe(5000);
    expect(asked).toHaveLength(107);
  });
});

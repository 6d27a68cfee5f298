/** The ticker with a clock that the test sets, over a real journal. */
import { describe, expect, it } from "vitest";
import { eventRecord } from "../../src/event.ts";
import type { Journal } from "../../src/journal/journal.ts";
import type { Missed, ScheduleConfig } from "../../src/triggers/plan.ts";
import { ScheduleTrigger } from "../../src/triggers/schedule.ts";
import { MADE_UP_MAX, Ticker } from "../../src/triggers/ticker.ts";
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
    this.clock.nowMs = START;
  }

  static async open(schedule: ScheduleConfig): Promise<Box> {
    const box = new Box(await dataFolder());
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

describe("when the clock is set", () => {
  it("forward, what lies between was missed", async () => {
    const box = await Box.open(every(HOUR, "once"));
    box.clock.nowMs += 3 * HOUR;
    expect(await box.ticks()).toEqual([["13:00:00", 2]]);
  });

  it("back, no instant ticks again (T4)", async () => {
    const box = await Box.open(every(MINUTE, "all"));
    box.clock.pass(2 * MINUTE);
    expect((await box.ticks()).length).toBe(2);
    box.clock.nowMs -= 90_000;
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(89_000);
    expect(await box.ticks()).toEqual([]);
    box.clock.pass(MINUTE + 1000);
    expect(await box.ticks()).toEqual([["10:03:00", 0]]);
  });

  it("back by more than a day, it was wrong before: the schedule begins anew instead of being silent for so long", async () => {
    const box = await Box.open(every(MINUTE));
    box.clock.nowMs += 24 * HOUR + 3 * MINUTE;
    expect((await box.ticks()).length).toBe(1);
    box.clock.nowMs = START;
    expect(await box.ticks()).toEqual([]);
    expect(box.ticker.figures().rewound).toBe(1);
    box.clock.pass(MINUTE);
    expect(await box.ticks()).toEqual([["10:01:00", 0]]);
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

/** Rig: schedules of a gateway with a clock that the test sets, over a real journal. */
import { eventRecord } from "../../src/event.ts";
import type { Journal } from "../../src/journal/journal.ts";
import type { Missed, ScheduleConfig } from "../../src/triggers/plan.ts";
import { ScheduleTrigger } from "../../src/triggers/schedule.ts";
import { Ticker } from "../../src/triggers/ticker.ts";
import { byTopic, dataFolder, drain, nothing, openJournal, quiet, SetClock, takeTasks } from "../journal/fixture.ts";

export const START = Date.parse("2026-11-25T10:00:00Z");
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

interface Tick {
  readonly scheduled: string;
  readonly missed: number;
}

/** One life of a gateway after another, on one data folder. */
export class Box {
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

export const every = (everyMs: number, missed: Missed = "skip"): ScheduleConfig => ({ everyMs, missed });

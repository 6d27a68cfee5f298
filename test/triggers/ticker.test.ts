/** When schedules tick, and what becomes of instants that nobody was there for. */
import { describe, expect, it } from "vitest";
import { ScheduleTrigger } from "../../src/triggers/schedule.ts";
import { MADE_UP_MAX, Ticker } from "../../src/triggers/ticker.ts";
import type { TickMark } from "../../src/triggers/ticker.ts";
import { quiet } from "../journal/fixture.ts";
import { Box, every, HOUR, MINUTE, START } from "./box.ts";

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

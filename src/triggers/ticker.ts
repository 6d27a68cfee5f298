/**
 * The ticker: looks at the wall clock and makes the events of the instants that have come.
 *
 * It keeps nothing of its own: up to which instant a schedule has ticked is in the journal, written in the commit that
 * has the tick's event. So an instant ticks once whatever ends the process. It never waits longer than a few seconds at
 * a time, so that a clock that was set, forward or back, is noticed.
 *
 * T4  An instant of a handler's schedule makes at most one event, also across restarts and when the clock goes back a
 *     little. Set back further, beyond its instant before and a minute, the schedule begins anew: a silence for as long as
 *     the clock was wrong would be worse. Until the clock is beyond all that has ticked, instants then tick as they come,
 *     and none is made up for.
 * T5  An instant that nobody was there for is skipped, made up for once, or each is, as `missed` says; never more than
 *     {@link MADE_UP_MAX} at once.
 */
import { crc32 } from "node:zlib";
import type { EventDraft } from "../event.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import type { Plan } from "./plan.ts";
import type { Scheduled, ScheduleTrigger } from "./schedule.ts";

/** Up to which instant a schedule has ticked, and which schedule that was: another one begins anew. */
export interface TickMark {
  readonly instantMs: number;
  readonly plan: number;
}

export interface Ticks {
  /** `latestMs`: the latest instant up to which that schedule has ever ticked. */
  last(handler: number): (TickMark & { readonly latestMs: number }) | undefined;
  /** Both in one commit: the mark and, if there is one, the event for the handler. */
  tick(handler: number, mark: TickMark, event: EventDraft | undefined): "taken" | "later" | "refused";
}

export interface TickerOptions {
  readonly schedules: ScheduleTrigger;
  readonly ticks: Ticks;
  readonly clock: Clock;
  readonly log: Log;
  readonly handlerName: (handler: number) => string;
}

export interface TickerFigures {
  readonly ticks: number;
  /** Instants that made no event. */
  readonly missed: number;
  /** Times that the clock was found so far behind that a schedule began anew. */
  readonly rewound: number;
}

/** The most that are made up for at once, the last ones. */
export const MADE_UP_MAX = 1000;
/** An instant that is seen later than this was missed. */
const LATE_MS = 30_000;
/** The longest wait between two looks at the clock. */
const LOOK_MS = 5000;
/** Where the journal takes nothing, at first; twice as long each further time, up to the longest. */
const AGAIN_MS = 250;
/** After so long others have their turn before the next schedules have theirs: to list a thousand instants takes a while. */
const TURN_MS = 20;
/**
 * Behind the last tick by less than a schedule's own time to the next one, within these bounds, its next tick comes a little
 * late. Further behind it would be silent for many of them, for years where the clock was wrong then and is right now.
 */
const BEHIND_MS_MIN = 60_000;
const BEHIND_MS_MAX = 24 * 3_600_000;

export class Ticker {
  readonly #options: TickerOptions;
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #missed = 0;
  #rewound = 0;
  #isRunning = false;
  /** Those that are still to be looked at, of a look that took long; and when those before are to be looked at again. */
  #left: Scheduled[] = [];
  #nextMs = Infinity;
  #againMs = AGAIN_MS;

  constructor(options: TickerOptions) {
    this.#options = options;
    options.schedules.onChange = () => {
      this.#left = [];
      this.#wait(0);
    };
  }

  /** Begins to tick: handlers that there are at the start have been bound. */
  start(): void {
    this.#isRunning = true;
    this.#wait(0);
  }

  close(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
  }

  figures(): TickerFigures {
    return { ticks: this.#ticks, missed: this.#missed, rewound: this.#rewound };
  }

  #wait(ms: number | undefined): void {
    clearTimeout(this.#timer);
    if (!this.#isRunning || ms === undefined) return;
    this.#timer = setTimeout(() => this.#wait(this.look()), ms);
    this.#timer.unref();
  }

  /** Ticks whatever is due, for a while. Returns how long to wait before the next look; undefined when nothing is scheduled. */
  look(): number | undefined {
    const { clock, schedules } = this.#options;
    const [nowMs, startMs] = [clock.now(), clock.monotonic()];
    if (this.#left.length === 0) {
      this.#left = [...schedules.scheduled].toReversed();
      this.#nextMs = Infinity;
      if (this.#left.length === 0) return undefined;
    }
    for (let scheduled = this.#left.pop(); scheduled !== undefined; scheduled = this.#left.pop()) {
      const nextMs = schedules.has(scheduled) ? this.#lookAt(scheduled, nowMs) : Infinity;
      if (nextMs === undefined) {
        // The others would fare no better.
        this.#left = [];
        const waitMs = this.#againMs;
        this.#againMs = Math.min(LOOK_MS, 2 * waitMs);
        return waitMs;
      }
      this.#nextMs = Math.min(this.#nextMs, nextMs);
      if (this.#left.length > 0 && clock.monotonic() - startMs >= TURN_MS) return 1;
    }
    this.#againMs = AGAIN_MS;
    return Math.min(LOOK_MS, Math.max(1, this.#nextMs - nowMs));
  }

  /** When it is to be looked at again; undefined: the journal takes nothing. */
  #lookAt(scheduled: Scheduled, nowMs: number): number | undefined {
    const { ticks, log, handlerName } = this.#options;
    const { handler, plan } = scheduled;
    const id = crc32(plan.text);
    const last = ticks.last(handler);
    if (last === undefined || last.plan !== id) return this.#begin(scheduled, id, nowMs);
    if (last.instantMs > nowMs + BEHIND_MS_MIN && last.instantMs > nowMs + behindMsMax(plan, last.instantMs)) {
      this.#rewound++;
      const fields = { handler: handlerName(handler), last: new Date(last.instantMs).toISOString() };
      log.warn(fields, "the clock is far behind a schedule's last tick: the schedule begins anew");
      return this.#begin(scheduled, id, nowMs);
    }
    // Up to the latest instant each has had its tick: one that nobody was there for is not missing.
    const afterMs = nowMs > last.latestMs ? last.latestMs : Math.max(last.instantMs, nowMs - LATE_MS);
    const nextMs = plan.next(afterMs) ?? Infinity;
    if (nextMs > nowMs) return nextMs;
    return this.#tick(scheduled, id, afterMs, nowMs) ? (plan.next(nowMs) ?? Infinity) : undefined;
  }

  /** Nothing before now is made up for. */
  #begin({ handler, plan }: Scheduled, id: number, nowMs: number): number | undefined {
    const taken = this.#options.ticks.tick(handler, { instantMs: nowMs, plan: id }, undefined) === "taken";
    return taken ? (plan.next(nowMs) ?? Infinity) : undefined;
  }

  /** False when the journal took not all of it. */
  #tick(scheduled: Scheduled, id: number, afterMs: number, nowMs: number): boolean {
    const { handler, plan, missed } = scheduled;
    // One more than are made up for, so that it is seen that there are more.
    const due = plan.within(afterMs, nowMs, MADE_UP_MAX + 1);
    const newestMs = due.at(-1) as number;
    const kept = missed === "all" ? due.slice(-MADE_UP_MAX) : due.slice(-1);
    if (missed === "skip" && nowMs - newestMs > LATE_MS) {
      if (!this.#stage(handler, { instantMs: newestMs, plan: id })) return false;
      this.#missed += due.length;
      return true;
    }
    let left = due.length - kept.length;
    for (const instantMs of kept) {
      const event = eventOf(scheduled, instantMs, left, nowMs);
      if (!this.#stage(handler, { instantMs, plan: id }, event)) return false;
      this.#ticks++;
      this.#missed += left;
      left = 0;
    }
    return true;
  }

  #stage(handler: number, mark: TickMark, event?: EventDraft): boolean {
    return this.#options.ticks.tick(handler, mark, event) === "taken";
  }
}

function behindMsMax(plan: Plan, lastMs: number): number {
  const periodMs = (plan.next(lastMs) ?? Infinity) - lastMs;
  return Math.min(BEHIND_MS_MAX, Math.max(BEHIND_MS_MIN, periodMs));
}

/** `left`: instants before it that make no event. */
function eventOf({ topic }: Scheduled, instantMs: number, left: number, timeMs: number): EventDraft {
  const data = { scheduled: new Date(instantMs).toISOString(), missed: left };
  const payload = Buffer.from(JSON.stringify(data));
  return { kind: "schedule", topic, device: "", payload, qos: 1, retain: false, hops: 0, timeMs };
}

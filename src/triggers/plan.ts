/**
 * When a schedule ticks. Instants follow from the config and the wall clock alone: an interval's are whole multiples of
 * it since 1970, a cron pattern's are times of day in its time zone. So whoever asks twice, or after a restart, gets the
 * same ones, which is what lets an instant be an identity.
 *
 * Daylight saving (croner, after Vixie cron): a pattern with one second, one minute and one hour (`30 2 * * *`) ticks once a day;
 * at the first of two times that bear its name, and just after the gap where its time does not exist. Any other pattern
 * ticks at both, and not at times that do not exist.
 */
import { Cron } from "croner";
import { Fault, messageOf } from "../fault.ts";

/** What to do about instants at which nobody was there to tick. */
export type Missed = "skip" | "once" | "all";

export type ScheduleConfig = { readonly missed: Missed } & (
  | { readonly everyMs: number }
  | { readonly cron: string; readonly timeZone: string }
);

export interface Plan {
  /** The first instant after `afterMs`; undefined when there is none any more. */
  next(afterMs: number): number | undefined;
  /** The last `max` instants in (afterMs, untilMs], rising. */
  within(afterMs: number, untilMs: number, max: number): number[];
  /** Tells this plan from another one. */
  readonly text: string;
}

/** Throws Fault TRIGGER_SCHEDULE_INVALID. */
export function planOf(config: ScheduleConfig): Plan {
  return "everyMs" in config ? interval(config.everyMs) : calendar(config.cron, config.timeZone);
}

function interval(everyMs: number): Plan {
  return {
    text: `every ${everyMs}`,
    next: (afterMs) => (Math.floor(afterMs / everyMs) + 1) * everyMs,
    within: (afterMs, untilMs, max) => {
      const last = Math.floor(untilMs / everyMs);
      const first = Math.max(Math.floor(afterMs / everyMs) + 1, last - max + 1);
      return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * everyMs);
    },
  };
}

function calendar(pattern: string, timeZone: string): Plan {
  const refuse = (why: string): Fault => new Fault("TRIGGER_SCHEDULE_INVALID", `schedule "${pattern}": ${why}`);
  // Croner also takes dates, which happen once.
  if (!/^\s*(@|\S+(\s+\S+){4,5}\s*$)/.test(pattern))
    throw refuse("a cron pattern has five fields, or six with seconds");
  let cron: Cron;
  let first: Date | null;
  try {
    cron = new Cron(pattern, { paused: true, mode: "5-or-6-parts", timezone: timeZone });
    first = cron.nextRun(new Date(0));
  } catch (thrown) {
    throw refuse(messageOf(thrown).replace(/^Cron\w+: /, ""));
  }
  if (first === null) throw refuse("it never happens");
  const next = (afterMs: number): number | undefined => cron.nextRun(new Date(afterMs))?.getTime();
  return {
    text: `cron ${timeZone} ${pattern}`,
    next,
    within: (afterMs, untilMs, max) => {
      const found: number[] = [];
      for (let at = next(afterMs); at !== undefined && at <= untilMs && found.length <= max; at = next(at))
        found.push(at);
      if (found.length <= max) return found;
      // More than are wanted, and the last of them are.
      return cron
        .previousRuns(max, new Date(untilMs + 1))
        .map((date) => date.getTime())
        .reverse();
    },
  };
}

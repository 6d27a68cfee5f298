/** The triggers in a handler's settings, `topic` aside. What they mean is checked by who makes events of them. */
import { z } from "zod";
import { durationWithin } from "../quantity.ts";

const missed = z.enum(["skip", "once", "all"]).default("skip").meta({
  description: "What becomes of instants at which the gateway was not running: skipped, one for all, or each.",
});

const cron = z
  .string()
  .min(1)
  .max(200)
  .meta({ description: "Five fields, or six with seconds first, as in `*/5 * * * *`." });

const schedule = z
  .union([
    cron,
    z.strictObject({
      cron,
      timeZone: z.string().min(1).max(100).default("UTC").meta({ description: "Such as Europe/Berlin; default: UTC." }),
      missed,
    }),
    z.strictObject({
      every: durationWithin({ min: "1s", max: "366d" }).meta({ description: "An interval, from 1s to 366d." }),
      missed,
    }),
  ])
  .meta({ description: "When the handler gets a tick: a cron pattern, or { every } for an interval." });

export const triggerSettings = { schedule: schedule.optional() };

export type ScheduleSettings = { readonly missed: "skip" | "once" | "all" } & (
  | { readonly everyMs: number }
  | { readonly cron: string; readonly timeZone: string }
);

export function scheduleOf(given: z.output<typeof schedule> | undefined): ScheduleSettings | undefined {
  if (given === undefined) return undefined;
  if (typeof given === "string") return { cron: given, timeZone: "UTC", missed: "skip" };
  return "every" in given ? { everyMs: given.every, missed: given.missed } : given;
}

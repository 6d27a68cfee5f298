/** What a handler is run by, in words: for `sluice check`, the status and the log. */
import type { HandlerSettings } from "./settings.ts";

/** One line each: "topic plant/+/temperature", "schedule every 10s". */
export function shownTriggers({ topics, schedule }: HandlerSettings): readonly string[] {
  const shown = topics.map((topic) => `topic ${topic}`);
  if (schedule !== undefined) {
    const when = "everyMs" in schedule ? `every ${schedule.everyMs / 1000} s` : `${schedule.cron} ${schedule.timeZone}`;
    shown.push(`schedule ${when}, missed: ${schedule.missed}`);
  }
  return shown;
}

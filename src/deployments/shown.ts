/** What a handler is run by, in words: for `sluice check`, the status and the log. */
import type { HandlerSettings } from "./settings.ts";

/** One line each: "topic plant/+/temperature", "schedule every 10s". */
export function shownTriggers({ topics, schedule, webhook, on }: HandlerSettings): readonly string[] {
  const shown = topics.map((topic) => `topic ${topic}`);
  if (schedule !== undefined) {
    const when = "everyMs" in schedule ? `every ${schedule.everyMs / 1000} s` : `${schedule.cron} ${schedule.timeZone}`;
    shown.push(`schedule ${when}, missed: ${schedule.missed}`);
  }
  if (webhook !== undefined) {
    const { auth, path } = webhook;
    const who = typeof auth === "string" ? auth : "token" in auth ? "a token" : "a signature";
    shown.push(`webhook ${webhook.methods.join("|")} /hooks${path}, auth: ${who}`);
  }
  for (const { what, folder } of on) shown.push(folder === undefined ? `on ${what}` : `on ${what} in ${folder}`);
  return shown;
}

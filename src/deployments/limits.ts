/** The `limits` group of a handler's settings: its budgets as an operator or the handler's author writes them. */
import { z } from "zod";
import { DEFAULT_LIMITS } from "../limits.ts";
import type { HandlerLimits } from "../limits.ts";
import { durationWithin, sizeWithin } from "../quantity.ts";

const count = (max: number): z.ZodOptional<z.ZodInt> => z.int().min(1).max(max).optional();

export const limitSettings = z
  .strictObject({
    cpu: durationWithin({ min: "1ms", max: "1h" }).optional().meta({
      description:
        "Processor time that one event may take, waits not counted; more fails it. Default: as `timeout`, so that it is for handlers that wait.",
    }),
    outputsMax: count(10_000).meta({ description: "Outputs and publishes of one event; more fail it. Default: 100." }),
    resultMax: sizeWithin({ min: "1B", max: "16MB" })
      .optional()
      .meta({ description: "Length of one event's outputs together, as JSON; more fails it. Default: 1MB." }),
    outputsPerSecond: count(1_000_000).meta({
      description:
        "Outputs and publishes a second. When they are spent the handler's events wait in the journal; nothing fails. Default: no limit.",
    }),
    outputsBurst: count(1_000_000).meta({
      description: "So many of them may come at once after a pause. Default: as `outputsPerSecond`.",
    }),
    stateMax: sizeWithin({ min: "2B", max: "1MB" })
      .optional()
      .meta({ description: "Length of one key's state, as JSON; more fails the event. Default: 64KB." }),
    stateTotalMax: sizeWithin({ min: "1KB" }).optional().meta({
      description:
        "Bytes of all keys' states as they are stored; an event that adds more fails, and one that takes some away does not. Default: 64MB.",
    }),
    timersMax: count(10_000).meta({
      description: "Timers (setTimeout and its like) that one event may have at a time; more fail it. Default: 100.",
    }),
    fetchesMax: count(1000).meta({
      description: "Fetches that one event may have under way at a time; more are refused. Default: 16.",
    }),
    fetchesPerEvent: count(1000).meta({
      description: "Fetches that one event may make in all, however they end; more are refused. Default: 100.",
    }),
    fetchTimeout: durationWithin({ min: "1ms", max: "1h" }).optional().meta({
      description:
        "How long one fetch may take, redirects and body included. It ends with its event at the latest: beyond `timeout`, 1s by default, this has no effect. Default: 10s.",
    }),
    fetchRequestMax: sizeWithin({ max: "8MB" }).optional().meta({
      description: "Longest body that is sent with a fetch; longer ones are refused. Default: 256KB.",
    }),
    fetchResponseMax: sizeWithin({ max: "32MB" }).optional().meta({
      description: "Longest answer to a fetch, unpacked; a longer one is cut off, and the fetch fails. Default: 1MB.",
    }),
    logLinesPerSecond: count(10_000).meta({
      description: "Log lines a second, in each isolate; more are dropped and counted. Default: 100.",
    }),
    logBytesPerSecond: sizeWithin({ min: "1B", max: "16MB" }).optional().meta({
      description: "Length of a second's log lines, in each isolate; more is dropped and counted. Default: 64KB.",
    }),
    logLineMax: sizeWithin({ min: "1B", max: "64KB" })
      .optional()
      .meta({ description: "Longest log line; longer ones are cut. Default: 2KB." }),
  })
  .meta({ description: "Budgets, each with what happens when it is spent." });

export type LimitSettings = z.output<typeof limitSettings>;

/** Complete: what is not set is as in src/limits.ts. */
export function limitsOf(settings: LimitSettings): HandlerLimits {
  return {
    cpuMs: settings.cpu,
    outputsMax: settings.outputsMax ?? DEFAULT_LIMITS.outputsMax,
    resultBytesMax: settings.resultMax ?? DEFAULT_LIMITS.resultBytesMax,
    outputsPerSecond: settings.outputsPerSecond,
    outputsBurst: settings.outputsBurst,
    stateBytesMax: settings.stateMax ?? DEFAULT_LIMITS.stateBytesMax,
    stateTotalBytesMax: settings.stateTotalMax ?? DEFAULT_LIMITS.stateTotalBytesMax,
    timersMax: settings.timersMax ?? DEFAULT_LIMITS.timersMax,
    fetchesMax: settings.fetchesMax ?? DEFAULT_LIMITS.fetchesMax,
    fetchesPerEvent: settings.fetchesPerEvent ?? DEFAULT_LIMITS.fetchesPerEvent,
    fetchMs: settings.fetchTimeout ?? DEFAULT_LIMITS.fetchMs,
    fetchRequestBytesMax: settings.fetchRequestMax ?? DEFAULT_LIMITS.fetchRequestBytesMax,
    fetchResponseBytesMax: settings.fetchResponseMax ?? DEFAULT_LIMITS.fetchResponseBytesMax,
    logLinesPerSecond: settings.logLinesPerSecond ?? DEFAULT_LIMITS.logLinesPerSecond,
    logBytesPerSecond: settings.logBytesPerSecond ?? DEFAULT_LIMITS.logBytesPerSecond,
    logCharsMax: settings.logLineMax ?? DEFAULT_LIMITS.logCharsMax,
  };
}

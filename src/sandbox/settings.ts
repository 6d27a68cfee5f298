/**
 * The sandbox's part of the config: what all handlers share. What one handler may have (timeout, memory) is in the
 * handlers' settings.
 */
import { z } from "zod";
import { duration, durationWithin, size, sizeWithin } from "../quantity.ts";

const count = z.int().min(1);

export const sandboxSettings = z
  .strictObject({
    runners: count.max(64).optional().meta({
      description:
        "The most processes that run proven handlers; default: one for each core. One is in use, and more while those in use are busy. One more, apart, runs new versions and handlers that have cost an isolate or a runner.",
    }),
    provenAfter: duration.prefault("10s").meta({
      description:
        "A new version runs apart from proven handlers until it has run for so long, and 20 events, without costing an isolate or a runner; one that does is apart again, for twice as long each time, up to 10m.",
    }),
    runnerMemoryMax: size.prefault("300MB").meta({
      description:
        "A runner that grows beyond this (or beyond 128MB plus the `memory` of the largest handler), plus 5MB for each isolate that handlers may have, is killed and replaced. From three quarters of that on it gives isolates up.",
    }),
    slice: duration
      .prefault("50ms")
      .meta({ description: "After this long no further event of a batch is begun, so that handlers take turns." }),
    idle: duration.prefault("5m").meta({
      description:
        "A handler that has run nothing for so long gives up its isolate, about 1.5MB. Its next event builds a new one, which takes a few milliseconds; what its module keeps in variables starts anew.",
    }),
    outputsMax: count
      .max(10_000)
      .default(100)
      .meta({ description: "Outputs and publishes of one event; more fail it." }),
    resultMax: size
      .prefault("1MB")
      .meta({ description: "Length of one event's outputs together, as JSON; more fails it." }),
    stateMax: size.prefault("64KB").meta({ description: "Length of one key's state, as JSON; more fails the event." }),
    quarantineAfter: count.max(1000).default(3).meta({
      description:
        "So many runners that one handler has cost within ten minutes put it aside for a while: 10s, then longer each time, up to 10m. Its events wait.",
    }),
    timersMax: count
      .max(10_000)
      .default(100)
      .meta({ description: "Timers (setTimeout and its like) that one event may have at a time; more fail it." }),
    fetchesMax: count
      .max(1000)
      .default(16)
      .meta({ description: "Fetches that one event may have under way at a time; more are refused." }),
    fetchTimeout: durationWithin({ min: "1ms", max: "1h" }).prefault("10s").meta({
      description:
        "How long one fetch may take, redirects and body included; and never longer than the handler's `timeout`.",
    }),
    fetchRequestMax: sizeWithin({ max: "8MB" })
      .prefault("256KB")
      .meta({ description: "Longest body that a handler may send with a fetch; longer ones are refused." }),
    fetchResponseMax: sizeWithin({ max: "32MB" })
      .prefault("1MB")
      .meta({ description: "Longest answer to a fetch, unpacked; a longer one is cut off, and the fetch fails." }),
    fetchesTotalMax: count
      .max(10_000)
      .default(256)
      .meta({ description: "Fetches of all handlers under way at a time; more fail at once, and may be tried again." }),
    fetchBytesTotalMax: size.prefault("64MB").meta({
      description: "Bytes of requests and answers that the gateway holds for all fetches; what goes beyond it fails.",
    }),
    logLinesPerSecond: count
      .default(100)
      .meta({ description: "Log lines of one handler in each runner; more are dropped and counted." }),
    logLineMax: size.prefault("2KB").meta({ description: "Longest log line of a handler; longer ones are cut." }),
  })
  .meta({ description: "The processes and limits that contain handlers." });

export type SandboxSettings = z.output<typeof sandboxSettings>;

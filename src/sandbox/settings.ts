/**
 * The sandbox's part of the config: what all handlers share. What one handler may have (timeout, memory,
 * limits) is in the handlers' settings.
 */
import { z } from "zod";
import { duration, size } from "../quantity.ts";

const count = z.int().min(1);

export const sandboxSettings = z
  .strictObject({
    runners: count.max(64).optional().meta({
      description:
        "The most processes that run proven handlers; default: one for each core but one, which is the gateway's. One is in use, and more while those in use are busy. One more, apart, runs new versions and handlers that have cost an isolate or a runner.",
    }),
    provenAfter: duration.prefault("10s").meta({
      description:
        "A new version runs apart from proven handlers until it has run for so long, and 20 events, without costing an isolate or a runner; one that does is apart again, for twice as long each time, up to 10m.",
    }),
    runnerMemoryMax: size.prefault("300MB").meta({
      description:
        "A runner that grows beyond this (or beyond 128MB plus the `memory` of the largest handler), plus 5MB for each isolate that handlers may have, is killed and replaced. From three quarters of that on it gives isolates up.",
    }),
    cgroup: z.enum(["auto", "off"]).default("auto").meta({
      description:
        "`auto`: where the gateway may make cgroups (as root, in a systemd unit with `Delegate=memory`), each runner has one, and the kernel stops a runner that outgrows `runnerMemoryMax` by 32MB between two looks of the gateway. `off`: the gateway alone looks.",
    }),
    slice: duration
      .prefault("50ms")
      .meta({ description: "After this long no further event of a batch is begun, so that handlers take turns." }),
    idle: duration.prefault("5m").meta({
      description:
        "A handler that has run nothing for so long gives up its isolate, about 1.5MB. Its next event builds a new one, which takes a few milliseconds; what its module keeps in variables starts anew. Runners that nobody needs, and one kept in reserve after a loss, end after as long.",
    }),
    quarantineAfter: count.max(1000).default(3).meta({
      description:
        "So many runners that one handler has cost within ten minutes put it aside for a while: 10s, then longer each time, up to 10m. Its events wait.",
    }),
    fetchesTotalMax: count.max(10_000).default(256).meta({
      description:
        "Fetches of all handlers under way at a time, half of them of one handler at the most; more fail at once, and may be tried again.",
    }),
    fetchBytesTotalMax: size.prefault("64MB").meta({
      description:
        "Bytes of requests and answers that the gateway holds for all fetches, half of them for one handler at the most; what goes beyond it fails.",
    }),
  })
  .meta({ description: "The processes and limits that contain handlers." });

export type SandboxSettings = z.output<typeof sandboxSettings>;

/**
 * The journal's part of the config.
 */
import { z } from "zod";
import { duration, size, sizeWithin } from "../quantity.ts";

const limits = z.strictObject({
  parkedMax: z.int().min(1).default(10_000).meta({
    description:
      "Tasks of one handler that wait for a further try, or behind one that does; at the limit the handler gets no new tasks until some are settled.",
  }),
  parkedBytesMax: sizeWithin({ min: "64KB" }).prefault("16MB").meta({ description: "Bytes of the same." }),
  deadMax: z.int().min(1).default(10_000).meta({
    description:
      "Dead letters kept; then the oldest are dropped, those of a handler that has more than half first, and counted.",
  }),
  deadBytesMax: size.prefault("64MB").meta({
    description:
      "Bytes of dead letters kept, and never more than a quarter of sizeMax; then the oldest are dropped, those of a handler that has more than half first, and counted.",
  }),
  stagedMax: sizeWithin({ min: "64KB" })
    .prefault("32MB")
    .meta({ description: "Bytes waiting for the disk; then devices wait." }),
  recordsMax: size.prefault("256MB").meta({
    description: "Bytes of what handlers' runs came to, kept for replays (`record`); then the oldest are forgotten.",
  }),
  stateCacheMax: size
    .prefault("32MB")
    .meta({ description: "Bytes of state kept in memory; the rest is read from disk." }),
});

export const journalSettings = z.strictObject({
  sizeMax: sizeWithin({ min: "1MB" }).prefault("2GB").meta({
    description:
      "Bytes of events, outputs, state and dead letters together. The store's own files can take up to half as much again, and some 100MB more for moments in which it cannot merge as fast as is written. Where the disk has less left than they need (`sluice_journal_disk_reserve_bytes`, 128MB at most), events are refused as well.",
  }),
  retain: duration.prefault("24h").meta({
    description:
      "How long settled events are kept, for replay. They go earlier when the room is needed. Tasks of handlers that are gone expire after the same time.",
  }),
  whenFull: z.enum(["refuse", "drop-oldest"]).default("refuse").meta({
    description:
      "At sizeMax: refuse new events, so that devices keep them, or drop the oldest waiting tasks, those that wait for a further try too, or outputs: of what takes the most room.",
  }),
  record: z.enum(["outcomes", "none"]).default("outcomes").meta({
    description:
      "What is kept of each run of a handler, as long as its event is: `outcomes`, that is the time, the state before and after, and the outputs, which is what `sluice replay` compares with; or `none`, and then nothing can be replayed.",
  }),
  limits: limits.prefault({}).meta({ description: "What else is bounded." }),
});

/** The answers of the API, as zod schemas: they type what is sent and describe it in OpenAPI. Times are ISO 8601. */
import { z } from "zod";

const count = z.number().meta({ description: "A count since the data folder was made." });

const ledger = z
  .object({
    events: z
      .object({ accepted: count, done: count, dead: count, expired: count, dropped: count, pending: z.number() })
      .meta({ description: "Tasks, one for each event and handler or route: accepted is the sum of the others." }),
    uplinks: z.record(
      z.string(),
      z
        .object({
          emitted: count,
          delivered: count,
          expired: count,
          dropped: count,
          rejected: count,
          waiting: z.number(),
        })
        .meta({ description: "Outputs: emitted is the sum of the others." }),
    ),
  })
  .meta({ id: "Ledger" });

export const status = z
  .object({
    gateway: z.string(),
    version: z.string(),
    journalId: z.string().meta({ description: "Drawn with the data folder; event ids begin with it." }),
    started: z.iso.datetime(),
    uptimeMs: z.number(),
    ready: z.boolean(),
    reasons: z.array(z.string()).meta({ description: "Why it is not ready." }),
    ledger,
    unmatched: z
      .number()
      .meta({ description: "Events since the start that no handler wanted; they are not journaled." }),
    handlers: z.array(
      z.object({
        name: z.string(),
        triggers: z.array(z.string()).meta({ description: 'What runs it: "topic plant/+", "schedule every 10 s".' }),
        version: z.number().meta({ description: "The live version; 0 when none is, and for routes." }),
        waiting: z.number(),
        parked: z.number(),
        running: z.number(),
        removed: z.boolean().meta({
          description: "Its source, or the route, is gone, and tasks wait for it all the same, until they expire.",
        }),
        quarantinedMs: z.number().meta({
          description: "For how long it stands aside because it has cost runners; 0 when it does not.",
        }),
        proven: z.boolean().meta({
          description:
            "Whether it has run for a while without costing an isolate or a runner; until then it runs apart from those that have.",
        }),
        onProbation: z.boolean().meta({
          description: "Whether the live version is rolled back when it fails too much; see its versions.",
        }),
        candidate: z
          .object({ version: z.number(), share: z.number() })
          .optional()
          .meta({ description: "What is tried beside the live version: a canary, or a shadow (share 0)." }),
        failure: z.string().optional(),
      }),
    ),
    uplinks: z.array(
      z.object({
        name: z.string(),
        kind: z.string(),
        state: z.string(),
        healthy: z.boolean(),
        waiting: z.number(),
        waitingBytes: z.number(),
        retryInMs: z.number().optional(),
        failure: z.string().optional(),
      }),
    ),
    journal: z.object({ bytes: z.number(), sizeMaxBytes: z.number() }),
    damage: z.array(z.object({ where: z.string(), from: z.number(), to: z.number(), what: z.string() })),
  })
  .meta({ id: "Status" });
export type StatusAnswer = z.output<typeof status>;

export const readiness = z.object({ ready: z.boolean(), reasons: z.array(z.string()) }).meta({ id: "Readiness" });
export const liveness = z.object({ live: z.literal(true) }).meta({ id: "Liveness" });

const letterFields = {
  id: z.string(),
  kind: z.enum(["task", "output"]),
  handler: z.string(),
  version: z.number(),
  uplink: z.string().optional(),
  event: z.string(),
  topic: z.string(),
  device: z.string().optional(),
  key: z.string(),
  tries: z.number(),
  died: z.iso.datetime(),
  failure: z.object({ code: z.string(), message: z.string(), stack: z.string().optional() }),
};
export const letter = z.object(letterFields).meta({ id: "DeadLetter" });
export type LetterAnswer = z.output<typeof letter>;

export const letterWhole = z
  .object({
    ...letterFields,
    time: z.iso.datetime().optional().meta({ description: "When the event was accepted." }),
    data: z.unknown().optional().meta({ description: "The payload, when it is JSON." }),
    data_base64: z.string().meta({ description: "The payload's bytes." }),
  })
  .meta({ id: "DeadLetterWhole" });
export type LetterWholeAnswer = z.output<typeof letterWhole>;

export const letters = z
  .object({
    letters: z.array(letter),
    next: z.string().optional().meta({ description: "Pass it as `after` for the next page; absent on the last." }),
  })
  .meta({ id: "DeadLetters" });
export type LettersAnswer = z.output<typeof letters>;

export const listQuery = z.object({
  handler: z.string().optional().meta({ description: "Only those of this handler." }),
  after: z.string().optional().meta({ description: "Only those after this id." }),
  limit: z.coerce.number().int().min(1).max(1000).default(100).meta({ description: "At most so many." }),
});

export const letterId = z.object({ id: z.string().min(1).max(200) });

export const handlerName = z.object({ name: z.string().min(1).max(200) });

export const bulkBody = z
  .strictObject({
    handler: z.string().optional().meta({ description: "Only those of this handler; all when absent." }),
    after: z.string().optional().meta({ description: "`next` of the answer before." }),
    until: z.iso.datetime().optional().meta({
      description:
        "Only those that died until then: pass the time of the first request, so that what dies again is not chased.",
    }),
    limit: z.int().min(1).max(1000).default(500).meta({ description: "At most so many in this request." }),
  })
  .prefault({});

export const bulkAnswer = z
  .object({
    count: z.int().meta({ description: "How many it was done to." }),
    next: z.string().optional().meta({ description: "There are more: ask again with it as `after`." }),
  })
  .meta({ id: "Bulk" });
export type BulkAnswer = z.output<typeof bulkAnswer>;

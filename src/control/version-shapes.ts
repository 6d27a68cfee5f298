/** What the API says and takes of handlers' versions, as zod schemas. Times are ISO 8601. */
import { z } from "zod";

const share = z.number().min(0).max(1);
const author = z.string().max(100).optional().meta({ description: "Who does it, as the history says." });
const message = z.string().max(1000).optional().meta({ description: "Why, as the history says." });

/** Of a version on probation. */
export const probation = z
  .object({ failures: z.number(), failuresMax: z.number(), eventsMax: z.number(), leastLeftMs: z.number() })
  .meta({
    description:
      "While it is on probation: events that failed, how many may, after how many it is over, and how long it lasts at least yet.",
  });

const figures = {
  version: z.number(),
  done: z.number().meta({ description: "Events that ended well since the start, or in the recent past." }),
  failed: z.number().meta({ description: "Tries that failed." }),
  meanMs: z.number().optional().meta({ description: "Mean time of an event." }),
  probation: probation.optional(),
};

const shadow = z
  .object({
    version: z.number(),
    events: z.number().meta({ description: "Events compared." }),
    same: z.number(),
    skipped: z.number().meta({ description: "Events that the live version ran and the shadow did not." }),
    differences: z.object({ outputs: z.number(), state: z.number(), failed: z.number(), mended: z.number() }).meta({
      description: "Other outputs; another state; failed with the shadow only; failed with the live version only.",
    }),
    liveMs: z.number(),
    candidateMs: z.number(),
    samples: z.array(
      z.object({ event: z.number(), topic: z.string(), key: z.string(), live: z.string(), candidate: z.string() }),
    ),
  })
  .meta({ id: "Shadow" });

export const versions = z
  .object({
    name: z.string(),
    live: z.object(figures).meta({ description: "The live version." }),
    before: z
      .number()
      .optional()
      .meta({ description: "What was live before it, and is again when it is rolled back." }),
    candidate: z
      .object({ ...figures, share, since: z.iso.datetime(), shadow: shadow.optional() })
      .optional()
      .meta({ description: "What is tried beside it: a canary on a share of the keys, or a shadow (share 0)." }),
    versions: z.array(
      z.object({
        version: z.number(),
        hash: z.string().meta({ description: "SHA-256 of its code and source map." }),
        built: z.iso.datetime(),
        file: z.string(),
        author: z.string().optional(),
        message: z.string().optional(),
      }),
    ),
    history: z.array(
      z.object({
        at: z.iso.datetime(),
        version: z.number(),
        what: z.enum(["live", "passed", "rolled-back", "canary", "shadow", "dropped", "removed"]),
        why: z.string().optional(),
        author: z.string().optional(),
      }),
    ),
  })
  .meta({ id: "Versions" });
export type VersionsAnswer = z.output<typeof versions>;

export const deployBody = z.strictObject({
  code: z.string().meta({ description: "CommonJS text without imports, as `sluice deploy` bundles it." }),
  sourceMap: z.string().default("").meta({ description: "Its source map as JSON." }),
  file: z.string().max(500).meta({ description: "Where its source begins, as people read it." }),
  canary: share
    .refine((value) => value > 0, { error: "a share is more than 0 and at most 1" })
    .optional()
    .meta({ description: "Try it on this share of the keys, beside the live version." }),
  shadow: z.boolean().default(false).meta({ description: "Run it beside the live version, without effects." }),
  author,
  message,
});

export const deployed = z
  .object({
    name: z.string(),
    version: z.number(),
    at: z.enum(["live", "canary", "shadow"]),
    before: z.number().optional().meta({ description: "The version that it replaces, or runs beside." }),
  })
  .meta({ id: "Deployed" });
export type DeployedAnswer = z.output<typeof deployed>;

export const removeQuery = z.object({ author, message });

export const promoteBody = z.strictObject({ author, message });
export const rollbackBody = z.strictObject({
  version: z.int().min(1).optional().meta({ description: "Which one is to be live; without it the one before." }),
  author,
  message,
});
export const removed = z.object({ waiting: z.number().meta({ description: "Tasks that wait for it." }) });
export type RemovedAnswer = z.output<typeof removed>;

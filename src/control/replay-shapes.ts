/** What the API says and takes of replays, as zod schemas. Times are ISO 8601. */
import { z } from "zod";

const optionalText = z.string().max(65_535).optional();

export const replayBody = z.strictObject({
  version: z.int().min(1).optional().meta({ description: "One that is kept; the live one when it is not given." }),
  since: z.iso.datetime({ offset: true }).meta({ description: "Events that were accepted from then on." }),
  until: z.iso.datetime({ offset: true }).optional().meta({ description: "Events that were accepted before then." }),
  key: optionalText.meta({ description: "Events of this key alone." }),
  apply: z.boolean().default(false).meta({
    description: "Send what comes of it, as new outputs that are marked as replayed; else nothing has effects.",
  }),
  perSecond: z.number().min(0.1).max(100_000).optional().meta({ description: "Events of a second, at most." }),
});
export type ReplayBody = z.output<typeof replayBody>;

export const replay = z
  .object({
    id: z.string(),
    handler: z.string(),
    version: z.number(),
    state: z.enum(["running", "done", "cancelled", "interrupted", "failed"]).meta({
      description: "`interrupted`: the gateway ended. All but `running` and `done` can be resumed.",
    }),
    why: z.string().optional().meta({ description: "Why it failed." }),
    apply: z.boolean(),
    since: z.iso.datetime(),
    until: z.iso.datetime().optional(),
    key: optionalText,
    perSecond: z.number().optional(),
    started: z.iso.datetime(),
    ended: z.iso.datetime().optional(),
    share: z.number().meta({ description: "How much of what is recorded is behind it, 0 to 1." }),
    events: z.number().meta({ description: "Events that were run again." }),
    same: z.number().meta({ description: "Of those, events that came to what was recorded, byte for byte." }),
    skipped: z.number().meta({ description: "Events that were not: they, or the state before them, are not kept." }),
    sent: z.number().meta({ description: "Outputs sent." }),
    differences: z.object({ outputs: z.number(), state: z.number(), failed: z.number(), mended: z.number() }).meta({
      description: "Other outputs; another state; failed in the replay only; failed in the first run only.",
    }),
    samples: z
      .array(
        z.object({
          event: z.string(),
          topic: z.string(),
          key: z.string(),
          kind: z.enum(["outputs", "state", "failed", "mended"]),
          version: z.number().meta({ description: "The version that ran it first." }),
          recorded: z.string(),
          replayed: z.string(),
        }),
      )
      .meta({ description: "The first differences." }),
  })
  .meta({ id: "Replay" });
export type ReplayAnswer = z.output<typeof replay>;

export const replays = z.object({ replays: z.array(replay).meta({ description: "The newest first." }) });
export const replayId = z.object({ name: z.string().meta({ description: "The handler." }), id: z.string() });
/** Of a dead letter. */
export const redriveBody = z
  .strictObject({
    version: z.int().min(1).optional().meta({
      description: "Run it on this version of its handler now, as a replay does; else it is tried again as any event.",
    }),
  })
  .optional();

/** Answers about handlers as they run, as zod schemas (see shapes.ts). */
import { z } from "zod";
import { probation } from "./version-shapes.ts";

const version = {
  version: z.number(),
  done: z.number().meta({
    description: "Events that ended well on it since it began to be watched; beyond 100,000 about the last half.",
  }),
  failed: z.number().meta({ description: "Tries that failed on it, likewise." }),
  meanMs: z.number().optional().meta({ description: "Mean time of an event on it." }),
  probation: probation.optional(),
};

const difference = z.object({
  event: z.number(),
  topic: z.string(),
  key: z.string(),
  live: z.string(),
  candidate: z.string(),
});

const shadow = z.object({
  version: z.number(),
  events: z.number(),
  same: z.number(),
  skipped: z.number(),
  differences: z.object({ outputs: z.number(), state: z.number(), failed: z.number(), mended: z.number() }),
  liveMs: z.number(),
  candidateMs: z.number(),
  samples: z.array(difference),
});

const handler = z.object({
  name: z.string(),
  route: z.boolean().meta({ description: "It is a route of the config: it forwards, and runs no code." }),
  version: z.number().meta({ description: "The live version; 0 when none is, and for routes." }),
  removed: z.boolean().meta({ description: "It is gone, and tasks wait for it all the same." }),
  proven: z.boolean().meta({ description: "It runs among those that have cost no isolate and no runner for a while." }),
  quarantinedMs: z.number().meta({ description: "For how long it stands aside because it has cost runners." }),
  failure: z.string().optional().meta({ description: "Why the newest build is not live." }),
  waiting: z.number(),
  parked: z.number(),
  running: z.number(),
  recent: z
    .object({
      windowMs: z.number().meta({ description: "The figures are of so long a time until now: four minutes at most." }),
      events: z.number().meta({ description: "Events that ran, tries that failed included." }),
      failed: z.number().meta({ description: "Tries that failed." }),
      perSecond: z.number(),
      p50Ms: z.number().optional().meta({
        description:
          "Half of the events took no longer. An event's time is the mean of the batch that it ran in, read off a histogram.",
      }),
      p99Ms: z.number().optional().meta({ description: "99 of 100 events took no longer." }),
      cpuMs: z.number().meta({ description: "Processor time that runners spent on its batches." }),
      heapBytes: z.number().meta({
        description:
          "The most that the heap of one of its isolates took, and buffers outside of it, garbage included; looked at once a second at most, at the end of a batch. 0: not yet.",
      }),
    })
    .meta({ description: "What it did lately." }),
  memoryMax: z.number().optional().meta({
    description: "The most that the heap of one of its isolates may take, in bytes.",
  }),
  stateBytes: z.number().meta({ description: "Bytes of the states of all its keys, as they are stored." }),
  live: z.object(version).optional(),
  candidate: z
    .object({
      ...version,
      share: z.number().meta({ description: "Share of the keys that run on it; 0: it is a shadow." }),
      shadow: shadow.optional(),
    })
    .optional()
    .meta({ description: "The version that is tried beside the live one." }),
});

export const handlersAnswer = z.object({ handlers: z.array(handler) }).meta({ id: "Handlers" });
export type HandlersAnswer = z.output<typeof handlersAnswer>;
export type HandlerAnswer = HandlersAnswer["handlers"][number];

/**
 * What a handler may have set: in its own exported `config`, in `handlers.settings` of the gateway's config, and in
 * `handlers.defaults`. The gateway's config goes over the file's, the file's over the defaults.
 */
import { z } from "zod";
import { HOPS_LIMIT } from "../event.ts";
import { messageOf } from "../fault.ts";
import { parseOrigin } from "../fetch.ts";
import type { FetchGrant } from "../fetch.ts";
import type { HandlerLimits } from "../limits.ts";
import { durationWithin, filePath, secretName, sizeWithin } from "../quantity.ts";
import { parseTopicFilter } from "../topic.ts";
import { limitSettings, limitsOf } from "./limits.ts";
import { onOf, scheduleOf, triggerSettings, webhookOf } from "./trigger-settings.ts";
import type { OnSettings, ScheduleSettings, WebhookSettings } from "./trigger-settings.ts";

const count = z.int().min(1);

const topicFilter = z
  .string()
  .superRefine((text, ctx) => {
    try {
      parseTopicFilter(text);
    } catch (thrown) {
      ctx.addIssue({ code: "custom", message: messageOf(thrown) });
    }
  })
  .meta({ description: "A topic filter; {name} is one level and lands in event.params." });

/** A wait that is longer is a setting's mistake; timers count to 24 days at the most. */
const wait = durationWithin({ max: "24h" });

const name = z.string().min(1).max(200);

const retry = z
  .strictObject({
    triesMax: count
      .max(1000)
      .optional()
      .meta({ description: "Tries of one event, the first included; then it is a dead letter." }),
    backoff: wait
      .optional()
      .meta({ description: "Wait before the second try, at most 24h; it doubles with each further one." }),
    backoffMax: wait.optional().meta({ description: "Longest wait between two tries, at most 24h." }),
  })
  .meta({ description: "What happens when an event fails." });

const probation = z
  .union([
    z.literal(false),
    z.strictObject({
      events: count.max(1_000_000).optional().meta({ description: "Over after so many events. Default: 200." }),
      atLeast: durationWithin({ max: "24h" })
        .optional()
        .meta({ description: "But not before so long. Default: 30s, or `time` where that is less." }),
      time: wait.optional().meta({ description: "And after so long, at most 24h, whatever has run. Default: 1h." }),
      errors: z.number().min(0).max(1).optional().meta({
        description:
          "Share of `events`, or of the events so far where they are more, that may fail, beside what the version before failed at. Default: 0.01. One that costs a runner is rolled back at once.",
      }),
      slower: z.number().min(0).max(1000).optional().meta({
        description:
          "So many times as long as with the version before may an event take, in the mean of at least 20 events, and from 5 ms on. 0: as long as it likes. Default: 5.",
      }),
    }),
  ])
  .meta({
    description:
      "How a new version is watched. Past the budget it is rolled back by itself, and what it failed at runs again on the version before. false: not at all.",
  });

const shared = {
  // 0 would mean no limit to an isolate, which a handler must never have.
  timeout: durationWithin({ min: "1ms", max: "1h" })
    .optional()
    .meta({ description: "Longest time one event may take, from 1ms to 1h." }),
  memory: sizeWithin({ min: "8MB", max: "4GB" })
    .optional()
    .meta({ description: "Heap of the handler's isolate in each runner, from 8MB to 4GB." }),
  concurrency: count.max(64).optional().meta({
    description:
      "Events of different keys that may be under way at a time in each runner, each in an isolate of its own: for handlers that wait. Each isolate takes memory, and has module variables of its own.",
  }),
  retry: retry.optional(),
  limits: limitSettings.optional(),
  probation: probation.optional(),
  state: z
    .strictObject({
      ttl: durationWithin({ min: "1s" })
        .optional()
        .meta({ description: "The state of a key that was not written for so long, at least 1s, is gone." }),
    })
    .optional()
    .meta({ description: "What becomes of ctx.state." }),
};

const origin = z
  .string()
  .superRefine((text, ctx) => {
    const parsed = parseOrigin(text);
    if ("flaw" in parsed) ctx.addIssue({ code: "custom", message: parsed.flaw });
  })
  // No transform: in a union its complaint would be "none of its forms".
  .overwrite((text) => {
    const parsed = parseOrigin(text);
    return "origin" in parsed ? parsed.origin : text;
  });

const grants = {
  fetch: z
    .array(
      z.union([
        origin,
        z.strictObject({
          origin: origin.meta({ description: "The origin, such as http://historian.plant.local:8080." }),
          private: z
            .boolean()
            .default(false)
            .meta({ description: "Whether its name may resolve to a private address." }),
        }),
      ]),
    )
    .max(100)
    .optional()
    .meta({
      description:
        "Origins that the handler may fetch from, such as https://api.example.com; { origin, private: true } for a name of the own network.",
    }),
  secrets: z
    .array(secretName)
    .max(64)
    .optional()
    .meta({ description: "Names of secrets that the handler gets in ctx.secrets; see the section secrets." }),
};

const own = z.strictObject({
  topic: z
    .union([topicFilter, z.array(topicFilter).min(1).max(100)])
    .optional()
    .meta({ description: "Which publishes the handler gets: a topic filter, or a list of them." }),
  key: name
    .optional()
    .meta({ description: "What orders events and scopes state, such as {machine}; default: the topic." }),
  to: z
    .union([name, z.array(name).max(64)])
    .optional()
    .meta({ description: "Uplinks that outputs go to." }),
  type: name.optional().meta({ description: "CloudEvents type of the outputs; default: sluice.<handler>." }),
  params: z
    .record(z.string(), z.json())
    .optional()
    .meta({ description: "Handed to the handler as ctx.params; merged by name." }),
  ...triggerSettings,
  ...grants,
  ...shared,
});

/** One layer: everything is optional, unknown keys are errors. */
export const handlerSettings = own.meta({ description: "Settings of one handler." });
export type HandlerLayer = z.output<typeof handlerSettings>;

/** The `handlers` section of the gateway's config. */
export const handlersSettings = z
  .strictObject({
    dir: filePath
      .default("../handlers")
      .meta({ description: "The folder with a file or folder for each handler. It must be there where it is named." }),
    watch: z.boolean().default(true).meta({ description: "Whether a handler is taken on as soon as it is saved." }),
    hopsMax: z.int().min(0).max(HOPS_LIMIT).default(8).meta({
      description:
        "Handlers that may lie between a device and an event that ctx.publish makes for another handler, at most 16; an event that would go further is a dead letter.",
    }),
    defaults: z.strictObject(shared).prefault({}).meta({ description: "For handlers that say nothing else." }),
    settings: z
      .record(z.string(), handlerSettings)
      .default({})
      .meta({ description: "By handler; goes over the config in its file." }),
  })
  .meta({ description: "The functions that run on events." });
export type HandlersSettings = z.output<typeof handlersSettings>;

/** How a version is watched. */
export interface ProbationSettings {
  readonly eventsMax: number;
  readonly leastMs: number;
  readonly timeMs: number;
  /** Share of the events that may fail. */
  readonly errors: number;
  /** So many times as long as the version before it may take; 0: as long as it likes. */
  readonly slower: number;
}

/** All layers merged and complete. */
export interface HandlerSettings {
  readonly topics: readonly string[];
  readonly schedule: ScheduleSettings | undefined;
  readonly webhook: WebhookSettings | undefined;
  readonly on: readonly OnSettings[];
  /** undefined: the topic. */
  readonly key: string | undefined;
  readonly to: readonly string[];
  /** CloudEvents type of outputs that name none. */
  readonly type: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** Where it may fetch from, and the names of the secrets that it gets. */
  readonly fetch: readonly FetchGrant[];
  readonly secrets: readonly string[];
  readonly timeoutMs: number;
  readonly memoryBytes: number;
  readonly concurrency: number;
  readonly retry: { readonly triesMax: number; readonly firstMs: number; readonly maxMs: number };
  readonly limits: HandlerLimits;
  /** How a new version is watched; undefined: not at all. */
  readonly probation: ProbationSettings | undefined;
  /** State that was not written for so long is gone; undefined: it stays. */
  readonly stateTtlMs: number | undefined;
}

const BUILT_IN = {
  timeoutMs: 1000,
  memoryBytes: 32 * 1024 * 1024,
  concurrency: 1,
  retry: { triesMax: 5, backoff: 500, backoffMax: 5 * 60_000 },
} as const;

const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === "string" ? [value] : value;

/** Later layers go over earlier ones; `params`, `retry` and `limits` are merged by name, everything else is replaced. */
export function mergeSettings(handler: string, layers: readonly HandlerLayer[]): HandlerSettings {
  let merged: HandlerLayer = {};
  for (const layer of layers) {
    const present = Object.fromEntries(Object.entries(layer).filter(([, value]) => value !== undefined));
    const params = { ...merged.params, ...layer.params };
    const limits = { ...merged.limits, ...layer.limits };
    merged = { ...merged, ...present, params, retry: { ...merged.retry, ...layer.retry }, limits };
  }
  const { triesMax, backoff, backoffMax } = { ...BUILT_IN.retry, ...merged.retry };
  return {
    topics: listOf(merged.topic),
    schedule: scheduleOf(merged.schedule),
    webhook: webhookOf(merged.webhook),
    on: onOf(merged.on),
    key: merged.key,
    to: listOf(merged.to),
    type: merged.type ?? `sluice.${handler}`,
    params: merged.params ?? {},
    fetch: (merged.fetch ?? []).map((each) => (typeof each === "string" ? { origin: each, private: false } : each)),
    secrets: [...new Set(merged.secrets)],
    timeoutMs: merged.timeout ?? BUILT_IN.timeoutMs,
    memoryBytes: merged.memory ?? BUILT_IN.memoryBytes,
    concurrency: merged.concurrency ?? BUILT_IN.concurrency,
    retry: { triesMax, firstMs: backoff, maxMs: Math.max(backoff, backoffMax) },
    limits: limitsOf(merged.limits ?? {}),
    probation: probationOf(merged.probation ?? {}),
    stateTtlMs: merged.state?.ttl,
  };
}

function probationOf(given: z.output<typeof probation>): ProbationSettings | undefined {
  if (given === false) return undefined;
  const { events = 200, atLeast = 30_000, time = 60 * 60_000, errors = 0.01, slower = 5 } = given;
  return { eventsMax: events, leastMs: Math.min(atLeast, time), timeMs: time, errors, slower };
}

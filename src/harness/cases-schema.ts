/** What a file of cases may say; config/cases.schema.json is written from it, for editors. */
import { z } from "zod";
import { duration, secretName } from "../quantity.ts";
import { NOTICES } from "../triggers/triggers.ts";

const CASES_MAX = 10_000;
const EVENTS_MAX = 10_000;

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
const CALL_ONLY = ["method", "query", "headers"] as const;

const json = z.json();
const texts = z.record(z.string(), z.string());

const instant = z
  .string()
  .refine((text) => /^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text)), {
    error: "write a time such as 2026-01-31T12:00:00Z",
  })
  .meta({ description: "A time such as 2026-01-31T12:00:00Z." });

const output = z
  .strictObject({
    data: json
      .optional()
      .meta({ description: "What it holds: of objects the members that are named, unless `exact` is true." }),
    exact: z.boolean().optional().meta({ description: "Whether `data` is all of it." }),
    to: z
      .union([z.string(), z.array(z.string())])
      .optional()
      .meta({ description: "The uplinks that it goes to." }),
    type: z.string().optional().meta({ description: "Its CloudEvents type." }),
    subject: z.string().optional().meta({ description: "Its CloudEvents subject." }),
  })
  .meta({ description: "An output; what is not named is not compared." });

const published = z.strictObject({
  topic: z.string().optional().meta({ description: "Where to." }),
  data: json.optional().meta({ description: "What: as for outputs." }),
  exact: z.boolean().optional().meta({ description: "Whether `data` is all of it." }),
  qos: z
    .union([z.literal(0), z.literal(1), z.literal(2)])
    .optional()
    .meta({ description: "Its quality of service." }),
  retain: z.boolean().optional().meta({ description: "Whether it is retained." }),
});

const fetched = z.strictObject({
  url: z.string().optional().meta({ description: "Its whole address." }),
  method: z.string().optional().meta({ description: "Its method." }),
  headers: texts.optional().meta({ description: "Headers that it has, among others." }),
  data: json.optional().meta({ description: "Its body, as JSON where it is JSON: as for outputs." }),
});

const logged = z.union([
  z.string(),
  z.strictObject({
    level: z.enum(["debug", "info", "warn", "error"]).optional().meta({ description: "Its level." }),
    message: z.string().optional().meta({ description: "A part of its text." }),
  }),
]);

const failure = z.union([
  z.string(),
  z.strictObject({
    code: z.string().optional().meta({ description: "Its code, such as HANDLER_THREW." }),
    message: z.string().optional().meta({ description: "A part of its text." }),
    dead: z.boolean().optional().meta({ description: "Whether it is a dead letter at once, or would be tried again." }),
  }),
]);

const expectation = z
  .strictObject({
    outputs: z.array(output).max(EVENTS_MAX).optional().meta({ description: "All outputs, in order; [] is none." }),
    published: z
      .array(published)
      .max(EVENTS_MAX)
      .optional()
      .meta({ description: "All that it publishes to devices, in order; [] is none." }),
    fetched: z.array(fetched).max(EVENTS_MAX).optional().meta({ description: "All that it fetches, in order." }),
    state: z
      .record(z.string(), json)
      .optional()
      .meta({ description: "States afterwards, by key; null is none. Of objects the members that are named." }),
    logs: z
      .array(logged)
      .optional()
      .meta({ description: "Log lines that come in this order, with others in between; [] is none at all." }),
    error: failure.optional().meta({ description: "The failure: its code, or { code, message, dead }." }),
    unmatched: z
      .boolean()
      .optional()
      .meta({ description: "Whether the handler does not want it: no filter of its matches the topic." }),
  })
  .refine((expected) => Object.keys(expected).length > 0, { error: "says nothing that could be compared" });

const event = z
  .strictObject({
    topic: z.string().min(1).optional().meta({ description: "The topic that it is published on." }),
    pass: duration.optional().meta({
      description: "In place of a topic: so much time passes, and the handler's schedule ticks when it is due.",
    }),
    webhook: z
      .string()
      .regex(/^\//, { error: "write a path below /hooks, such as /orders" })
      .optional()
      .meta({ description: "In place of a topic: the path below /hooks that is called." }),
    method: z.enum(METHODS).optional().meta({ description: "Of the call; default: the first that the webhook takes." }),
    query: texts.optional().meta({ description: "Of the call, by name." }),
    headers: texts.optional().meta({ description: "Of the call; the handler gets those that its webhook names." }),
    on: z
      .enum(NOTICES)
      .optional()
      .meta({ description: "In place of a topic: what happens in the gateway, such as device.connected." }),
    subject: z
      .string()
      .optional()
      .meta({ description: "What that is about; default: the device, uplink, handler or path that `data` names." }),
    data: json.optional().meta({ description: "The payload, sent as JSON." }),
    text: z.string().optional().meta({ description: "The payload, as it is." }),
    base64: z.base64().optional().meta({ description: "The payload's bytes." }),
    hex: z
      .string()
      .regex(/^(?:[0-9a-fA-F]{2}\s*)*$/, { error: "write two hexadecimal digits for each byte" })
      .optional()
      .meta({ description: "The payload's bytes." }),
    device: z.string().optional().meta({ description: "The MQTT client id of the device." }),
    qos: z
      .union([z.literal(0), z.literal(1), z.literal(2)])
      .optional()
      .meta({ description: "As published; default 1." }),
    retain: z.boolean().optional().meta({ description: "As published; default false." }),
    kind: z
      .enum(["topic", "schedule", "webhook", "on"])
      .optional()
      .meta({ description: "What made it; default: topic, a device's publish." }),
    after: duration.optional().meta({ description: "How much later than the event before it comes, such as 5s." }),
    attempt: z.int().min(1).max(1000).optional().meta({ description: "Which try it is, from 1." }),
    expect: expectation.optional().meta({ description: "What must come of this event alone." }),
  })
  .refine(({ data, text, base64, hex }) => [data, text, base64, hex].filter((one) => one !== undefined).length <= 1, {
    error: "has more than one payload: write one of data, text, base64 and hex",
  })
  .refine(
    ({ topic, pass, webhook, on }) => [topic, pass, webhook, on].filter((one) => one !== undefined).length === 1,
    {
      error: "has one of `topic`, `webhook`, `on`, and `pass` for time that passes",
    },
  )
  .refine(({ webhook, ...rest }) => webhook !== undefined || !CALL_ONLY.some((name) => rest[name] !== undefined), {
    error: "has `method`, `query` or `headers`, which only a call of a `webhook` has",
  })
  .refine(({ on, subject }) => on !== undefined || subject === undefined, {
    error: "has `subject`, which only what happens in the gateway has: `on`",
  })
  .refine(({ on, data, text, base64, hex }) => on === undefined || isObject(data ?? text ?? base64 ?? hex ?? {}), {
    error: "has something else than an object as `data`: what happens in the gateway is one",
  });

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const answer = z.strictObject({
  url: z.string().min(1).meta({ description: "The address that is answered; * at its end is whatever follows." }),
  method: z.string().optional().meta({ description: "For this method only." }),
  status: z.int().min(200).max(599).optional().meta({ description: "Default 200." }),
  headers: texts.optional().meta({ description: "Of the answer." }),
  data: json.optional().meta({ description: "The body, sent as JSON." }),
  text: z.string().optional().meta({ description: "The body, as it is." }),
  error: z.string().optional().meta({ description: "Fails with this message instead of an answer." }),
});

/** What may stand for a case, and for all cases of the file. */
const given = {
  params: z.record(z.string(), json).optional().meta({ description: "Over the handler's own params, by name." }),
  secrets: z
    .record(secretName, z.string().min(4))
    .optional()
    .meta({ description: "Values of secrets; one that is not given is test-<name>." }),
  state: z.record(z.string(), json).optional().meta({ description: "States before, by key." }),
  stateVersion: z.int().min(1).max(1_000_000_000).optional().meta({
    description:
      "The version that wrote those states: the handler is the one after it, and its `migrate` is called for each key. Default: this one.",
  }),
  time: instant.optional().meta({ description: "When the first event comes; default 2026-01-01T00:00:00Z." }),
  fetch: z
    .array(answer)
    .max(1000)
    .optional()
    .meta({ description: "Answers to what the handler fetches; the first that fits. What fits none fails." }),
};

const testCase = z
  .strictObject({
    name: z.string().min(1).max(200).meta({ description: "What it shows, as a sentence." }),
    skip: z.boolean().optional().meta({ description: "Whether it is left out for now." }),
    ...given,
    events: z.array(event).min(1).max(EVENTS_MAX).meta({ description: "What is sent, in order." }),
    expect: expectation.optional().meta({ description: "What must come of all events together." }),
  })
  .refine(({ events, expect }) => expect !== undefined || events.some((one) => one.expect !== undefined), {
    error: "has no `expect`, so it shows nothing",
  });

export const casesSchema = z
  .strictObject({
    ...given,
    cases: z.array(testCase).min(1).max(CASES_MAX).meta({ description: "The cases, each with a handler of its own." }),
  })
  .meta({ description: "Cases of a Sluice handler: what is sent, and what must come of it." });

export type CasesFile = z.output<typeof casesSchema>;
export type TestCase = CasesFile["cases"][number];
export type CaseEvent = TestCase["events"][number];
export type Expectation = NonNullable<TestCase["expect"]>;

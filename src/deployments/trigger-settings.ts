/** The triggers in a handler's settings, `topic` aside. What they mean is checked by who makes events of them. */
import { isAbsolute, normalize } from "node:path";
import { z } from "zod";
import { durationWithin, secretName, sizeWithin } from "../quantity.ts";

const missed = z.enum(["skip", "once", "all"]).default("skip").meta({
  description: "What becomes of instants at which the gateway was not running: skipped, one for all, or each.",
});

const cron = z
  .string()
  .min(1)
  .max(200)
  .meta({ description: "Five fields, or six with seconds first, as in `*/5 * * * *`." });

const schedule = z
  .union([
    cron,
    z.strictObject({
      cron,
      timeZone: z.string().min(1).max(100).default("UTC").meta({ description: "Such as Europe/Berlin; default: UTC." }),
      missed,
    }),
    z.strictObject({
      every: durationWithin({ min: "1s", max: "366d" }).meta({ description: "An interval, from 1s to 366d." }),
      missed,
    }),
  ])
  .meta({ description: "When the handler gets a tick: a cron pattern, or { every } for an interval." });

const PATH = /^(\/([A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_]*\}))+$/;
const path = z
  .string()
  .max(200)
  .regex(PATH, { error: "write a path such as /orders or /orders/{id}: letters, digits, . _ ~ - and /" })
  .refine((text) => hasDistinctNames(text), { error: "has one name twice" })
  .meta({
    description: "Below /hooks of the control API's address: /orders, or /orders/{id} with a level that has a name.",
  });
const headerName = z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, { error: "write the name of a header" });
/** Who calls is not the handler's to know, and what it was told by even less. */
const CREDENTIALS = new Set(["authorization", "cookie", "proxy-authorization"]);
const HEADERS_MAX = 32;

const TYPES = [
  "application/json",
  "application/cloudevents+json",
  "application/x-www-form-urlencoded",
  "application/octet-stream",
  "text/*",
];

const auth = z
  .union([
    z.enum(["operator", "none"]),
    z.strictObject({ token: secretName.meta({ description: "Secret that callers bear: Authorization: Bearer." }) }),
    z.strictObject({
      hmac: z
        .strictObject({
          secret: secretName.meta({ description: "Secret that bodies are signed with: HMAC-SHA256, in hex." }),
          header: headerName.default("X-Hub-Signature-256").meta({ description: "Header with the signature." }),
          timestampHeader: headerName.optional().meta({
            description: "Header with seconds since 1970; the signature is then over <seconds>.<body>.",
          }),
          tolerance: durationWithin({ min: "1s", max: "24h" })
            .prefault("5m")
            .meta({ description: "How far that time may be from now." }),
        })
        .meta({ description: "Callers sign the body: HMAC-SHA256 in hex." }),
    }),
  ])
  .default("operator")
  .meta({
    description:
      "Who may call: bearers of the gateway's token (operator), of a secret, who signs with one; or any program on the box (none).",
  });

const webhook = z
  .union([
    path,
    z.strictObject({
      path,
      methods: z
        .array(z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]))
        .min(1)
        .default(["POST"])
        .meta({ description: "HTTP methods." }),
      auth,
      types: z
        .array(
          z
            .string()
            .regex(/^[a-z0-9*]+\/[a-z0-9.+*-]+$/, { error: "write a media type such as application/json or text/*" }),
        )
        .min(1)
        .max(20)
        .default(TYPES)
        .meta({ description: "Media types of bodies." }),
      bodyMax: sizeWithin({ max: "16MB" })
        .prefault("256KB")
        .meta({ description: "Longest body; never longer than control.limits.bodyMax." }),
      idempotencyHeader: headerName
        .default("Idempotency-Key")
        .meta({ description: "Header that names a call: its repeat within a day makes no second event." }),
      headers: z
        .array(
          headerName.refine((name) => !CREDENTIALS.has(name.toLowerCase()), {
            error: "holds credentials, which handlers do not get",
          }),
        )
        .max(HEADERS_MAX)
        .default(["Content-Type"])
        .meta({ description: "Headers of a call that the handler gets in event.request.headers." }),
      perSecond: z.int().min(1).max(100_000).default(100).meta({ description: "Calls a second; more are refused." }),
    }),
  ])
  .meta({
    description: "A path below /hooks of the control API's address at which the handler can be called over HTTP.",
  });

const on = z
  .array(
    z.union([
      z.enum([
        "device.connected",
        "device.disconnected",
        "device.subscribed",
        "uplink.up",
        "uplink.down",
        "uplink.full",
        "handler.failed",
        "handler.rolled-back",
        "gateway.started",
      ]),
      z.strictObject({
        "file.changed": z
          .string()
          .max(1000)
          .refine((text) => isAbsolute(text), { error: "write an absolute path of a folder" })
          .meta({ description: "A folder, absolute, whose files are watched." }),
      }),
    ]),
  )
  .max(100)
  .meta({
    description: "What happens that the handler is run by, such as device.connected; { file.changed: folder }.",
  });

function hasDistinctNames(text: string): boolean {
  const names = text.match(/\{[^{}]*\}/g) ?? [];
  return new Set(names).size === names.length;
}

export const triggerSettings = { schedule: schedule.optional(), webhook: webhook.optional(), on: on.optional() };

export interface OnSettings {
  readonly what: string;
  readonly folder?: string | undefined;
}

export function onOf(given: z.output<typeof on> | undefined): readonly OnSettings[] {
  return (given ?? []).map((each) =>
    typeof each === "string"
      ? { what: each }
      : { what: "file.changed", folder: normalize(each["file.changed"]).replace(/(?<=.)\/$/, "") },
  );
}

export interface WebhookSettings {
  readonly path: string;
  readonly methods: readonly string[];
  readonly auth:
    | "operator"
    | "none"
    | { readonly token: string }
    | {
        readonly hmac: {
          readonly secret: string;
          readonly header: string;
          readonly timestampHeader: string | undefined;
          readonly toleranceMs: number;
        };
      };
  readonly types: readonly string[];
  readonly bodyBytesMax: number;
  readonly idempotencyHeader: string;
  readonly headers: readonly string[];
  readonly perSecond: number;
}

export function webhookOf(given: z.output<typeof webhook> | undefined): WebhookSettings | undefined {
  if (given === undefined) return undefined;
  const whole = typeof given === "string" ? (webhook.parse({ path: given }) as Exclude<typeof given, string>) : given;
  const { auth: who, bodyMax, ...rest } = whole;
  return { ...rest, auth: authOf(who), bodyBytesMax: bodyMax };
}

function authOf(given: z.output<typeof auth>): WebhookSettings["auth"] {
  if (typeof given === "string" || "token" in given) return given;
  const { secret, header, timestampHeader, tolerance } = given.hmac;
  return { hmac: { secret, header, timestampHeader, toleranceMs: tolerance } };
}

/** Names of the secrets that its callers are told by. */
export function webhookSecrets(settings: WebhookSettings | undefined): readonly string[] {
  if (settings === undefined || typeof settings.auth === "string") return [];
  return ["token" in settings.auth ? settings.auth.token : settings.auth.hmac.secret];
}

export type ScheduleSettings = { readonly missed: "skip" | "once" | "all" } & (
  | { readonly everyMs: number }
  | { readonly cron: string; readonly timeZone: string }
);

export function scheduleOf(given: z.output<typeof schedule> | undefined): ScheduleSettings | undefined {
  if (given === undefined) return undefined;
  if (typeof given === "string") return { cron: given, timeZone: "UTC", missed: "skip" };
  return "every" in given ? { everyMs: given.every, missed: given.missed } : given;
}

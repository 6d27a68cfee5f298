/** Events that no device published, as the gateway makes them: calls of webhooks, notices, ticks. */
import { Fault } from "../fault.ts";
import { requestText, webhookTopic } from "../triggers/triggers.ts";
import type { Taken } from "./workbench.ts";
import type { Sent } from "./sitting.ts";

export interface CallGiven {
  /** Below /hooks, as it is called: "/orders/7". */
  readonly webhook: string;
  /** Default: the first that the webhook takes. One that it does not take is not wanted. */
  readonly method?: string | undefined;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface NoticeGiven {
  /** What happened, such as "device.connected". */
  readonly on: string;
  /** What it is about; default: the device, uplink, handler or path that its data names. */
  readonly subject?: string | undefined;
}

type Rest = Pick<Sent, "timeMs" | "attempt">;
type RestAndDevice = Rest & Pick<Sent, "device">;

/** `payload`: the body; `isJson`: whether it says so where `headers` say nothing of it. Undefined: the webhook takes no such call. */
export function callEvent(
  { settings: { webhook } }: Taken,
  { webhook: path, method, query = {}, headers = {} }: CallGiven,
  payload: Uint8Array,
  isJson: boolean,
  rest: Rest,
): Sent | undefined {
  const used = method ?? webhook?.methods[0] ?? "POST";
  if (webhook === undefined || !webhook.methods.includes(used)) return undefined;
  const given = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const type = isJson && payload.length > 0 ? { "content-type": "application/json" } : {};
  const text = new URLSearchParams(query).toString();
  const request = requestText(webhook, { method: used, query: text, headers: { ...type, ...given } });
  return { ...rest, kind: "webhook", topic: webhookTopic(path), payload, request };
}

export function noticeEvent(
  { on, subject }: NoticeGiven,
  data: Readonly<Record<string, unknown>>,
  { device, ...rest }: RestAndDevice,
): Sent {
  const isOfDevice = on.startsWith("device.");
  const whole = isOfDevice && device !== undefined ? { device, ...data } : data;
  const about = [subject, whole["device"], whole["uplink"], whole["handler"], whole["path"]];
  const found = about.find((each): each is string => typeof each === "string") ?? "";
  const own = device ?? (isOfDevice ? found : undefined);
  const payload = Buffer.from(JSON.stringify(whole));
  return { ...rest, kind: "on", topic: `$on/${on}/${found}`, device: own, payload };
}

/** A topic that a filter wants: names are their own level, wildcards are "x": "plant/{line}/+/#" is plant/line/x/x. */
export function sampleTopic(filter: string): string {
  const levels = filter.split("/").map((level) => {
    if (level === "+" || level === "#") return "x";
    return level.replace(/^\{(.*)\}$/, "$1");
  });
  return levels.join("/");
}

/** An event that the handler wants, for a payload that comes without one. Throws DEPLOY_NO_TRIGGER. */
export function sampleEvent(taken: Taken, payload: Uint8Array, given: RestAndDevice): Sent {
  const { topics, webhook, schedule, on } = taken.settings;
  const filter = topics[0];
  if (filter !== undefined) return { ...given, topic: sampleTopic(filter), payload };
  const { device = "device", ...rest } = given;
  if (webhook !== undefined) {
    const called = callEvent(taken, { webhook: sampleTopic(webhook.path) }, payload, isJson(payload), rest);
    if (called !== undefined) return called;
  }
  if (schedule !== undefined) {
    const tick = { scheduled: new Date(rest.timeMs).toISOString(), missed: 0 };
    const body = payload.length > 0 ? payload : Buffer.from(JSON.stringify(tick));
    return { ...rest, kind: "schedule", topic: `$schedule/tick/${taken.name}`, payload: body };
  }
  const [first] = on;
  if (first === undefined) throw new Fault("DEPLOY_NO_TRIGGER", "nothing runs the handler");
  const { what, folder } = first;
  const data = payload.length > 0 ? objectOf(payload) : folder === undefined ? {} : { path: `${folder}/file` };
  return noticeEvent({ on: what }, data, what.startsWith("device.") ? { ...rest, device } : rest);
}

function isJson(payload: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(payload).toString());
    return true;
  } catch {
    return false;
  }
}

function objectOf(payload: Uint8Array): Record<string, unknown> {
  const data: unknown = isJson(payload) ? JSON.parse(Buffer.from(payload).toString()) : undefined;
  if (typeof data === "object" && data !== null && !Array.isArray(data)) return { ...data };
  throw new Fault("CLI_USAGE", "what happens in the gateway has an object for its data, as JSON");
}

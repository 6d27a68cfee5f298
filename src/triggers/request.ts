/** What a call of a webhook was like, beside its path and its body: part of the event's record, and `event.request`. */
import type { IncomingHttpHeaders } from "node:http";
import { Fault } from "../fault.ts";
import type { WebhookConfig } from "./webhook.ts";

/** Length of all of it as JSON. */
const REQUEST_LENGTH_MAX = 16 * 1024;

export interface RequestHead {
  readonly method: string;
  /** As it came, without the question mark. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
}

/** As JSON: of a name that the query has several times the values stand with commas between. Throws WEBHOOK_TOO_LARGE. */
export function requestText(wanted: Pick<WebhookConfig, "headers">, { method, query, headers }: RequestHead): string {
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    const before = values.get(name);
    values.set(name, before === undefined ? value : `${before},${value}`);
  }
  const given = wanted.headers.flatMap((header) => {
    const name = header.toLowerCase();
    const value = headers[name];
    return value === undefined ? [] : [[name, [value].flat().join(", ")] as const];
  });
  // Object.fromEntries: a query may well have the name __proto__.
  const text = JSON.stringify({ method, query: Object.fromEntries(values), headers: Object.fromEntries(given) });
  if (text.length <= REQUEST_LENGTH_MAX) return text;
  throw new Fault("WEBHOOK_TOO_LARGE", `query and headers are longer than ${REQUEST_LENGTH_MAX} characters`);
}

/** A path with what is encoded in it decoded; undefined when a level would come apart or hold what no topic may. */
export function decodedPath(path: string): string | undefined {
  if (!path.includes("%")) return path;
  try {
    const levels = path.split("/").map((level) => decodeURIComponent(level));
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    return levels.some((level) => /[/\u0000-\u001f\u007f-\u009f]/.test(level)) ? undefined : levels.join("/");
  } catch {
    return undefined;
  }
}

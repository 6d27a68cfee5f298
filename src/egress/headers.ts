/** Which headers of a handler go out, and what is wrong with a request. Sources: RFC 9110, and the standard of fetch. */
import type { FetchAsk } from "../fetch.ts";

/** How a message travels is the gateway's affair. As in browsers, a handler's own are left out without a word. */
const OURS = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "via",
]);
const OUR_PREFIX = /^(?:proxy|sec)-/;
/** Not taken along to another origin. */
const CREDENTIALS = new Set(["authorization", "cookie"]);
/** What a body is; without one they go. */
const OF_CONTENT = /^content-/;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const FORBIDDEN_METHODS = /^(?:CONNECT|TRACE|TRACK)$/i;

export const LIMITS = {
  urlChars: 8192,
  methodChars: 32,
  headers: 100,
  /** Of all names and values together. */
  headerChars: 16_384,
} as const;

/** What is wrong with it, or undefined. */
export function flawOf({ url, method, headers }: FetchAsk): string | undefined {
  if (url.length > LIMITS.urlChars) return `its address is longer than ${LIMITS.urlChars} characters`;
  if (method.length > LIMITS.methodChars || !TOKEN.test(method) || FORBIDDEN_METHODS.test(method))
    return "its method is none that a handler may use";
  if (headers.length > LIMITS.headers) return `it has more than ${LIMITS.headers} headers`;
  let chars = 0;
  for (const [name, value] of headers) {
    chars += name.length + value.length;
    if (!TOKEN.test(name)) return "the name of a header is none";
    if (!VALUE.test(value)) return `the value of the header ${name.slice(0, 64)} cannot be sent`;
  }
  if (chars > LIMITS.headerChars) return `its headers are longer than ${LIMITS.headerChars} characters`;
  return undefined;
}

/** The headers as they go out, by lower-case name. */
export function outgoing(ask: FetchAsk, userAgent: string): Map<string, string> {
  const headers = new Map([
    ["accept", "*/*"],
    ["accept-encoding", "gzip, br"],
    ["user-agent", userAgent],
  ]);
  for (const [name, value] of ask.headers) {
    const lower = name.toLowerCase();
    if (!OURS.has(lower) && !OUR_PREFIX.test(lower)) headers.set(lower, value);
  }
  return headers;
}

export function dropCredentials(headers: Map<string, string>): void {
  for (const name of CREDENTIALS) headers.delete(name);
}

export function dropContent(headers: Map<string, string>): void {
  for (const name of [...headers.keys()]) if (OF_CONTENT.test(name)) headers.delete(name);
}

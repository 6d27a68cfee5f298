/** One fetch: the request, the redirects that it is led through, and the answer. */
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { messageOf } from "../fault.ts";
import type { FetchEnd, FetchFault, FetchGrant, FetchRequest } from "../fetch.ts";
import { request as requestHttp } from "../http.ts";
import { AddressRefused } from "./connect.ts";
import type { Connections } from "./connect.ts";
import { ContentRefused, hasContent, readContent } from "./content.ts";
import type { Reserve } from "./content.ts";
import { dropContent, dropCredentials, flawOf, LIMITS, outgoing } from "./headers.ts";

export interface ExchangeContext {
  readonly connections: Connections;
  readonly userAgent: string;
  /** May so many more bytes of the answer be kept, and why not. */
  readonly reserve: (bytes: number) => "yes" | "too-large" | "busy";
  readonly signal: AbortSignal;
}

const REDIRECTS_MAX = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const HEADER_BYTES_MAX = 16 * 1024;
const MESSAGE_CHARS_MAX = 300;
/** A connection that was idle may have been closed by the other side just now: these may be sent once more. */
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/** Why there is no answer. */
export class Refused extends Error {
  readonly code: FetchFault;
  readonly final: boolean;

  constructor(code: FetchFault, message: string, final = false) {
    super(message.slice(0, MESSAGE_CHARS_MAX));
    this.code = code;
    this.final = final;
  }
}

/** A message to send; changed from one redirect to the next. */
interface Message {
  url: URL;
  method: string;
  body: Buffer | undefined;
  readonly headers: Map<string, string>;
}

/** Rejects with Refused, or with anything when `signal` is aborted. */
export async function exchange(request: FetchRequest, context: ExchangeContext): Promise<FetchEnd> {
  const { ask, grants } = request;
  const flaw = flawOf(ask);
  if (flaw !== undefined) throw new Refused("HANDLER_FETCH_INVALID", `a request cannot be made: ${flaw}`);
  const url = URL.parse(ask.url);
  if (url === null) throw new Refused("HANDLER_FETCH_INVALID", "a request cannot be made: its address is no URL");
  const hasBody = ask.body !== undefined && ask.method !== "GET" && ask.method !== "HEAD";
  const message: Message = {
    url,
    method: ask.method,
    body: hasBody ? ask.body : undefined,
    headers: outgoing(ask, context.userAgent),
  };
  let redirectedBy: string | undefined;
  for (let redirects = 0; ; redirects++) {
    // Before anything is sent, and after every redirect.
    const grant = granted(message.url, grants, redirectedBy);
    const answer = await insist(message, grant, context);
    const status = answer.statusCode ?? 0;
    const location = REDIRECTS.has(status) ? answer.headers.location : undefined;
    if (location === undefined || ask.redirect === "manual")
      return answered(message, answer, redirects > 0, request, context);
    answer.destroy();
    const { origin } = message.url;
    if (ask.redirect === "error") throw new Refused("HANDLER_FETCH_FAILED", `${origin} redirects, and must not`);
    if (redirects === REDIRECTS_MAX) {
      throw new Refused("HANDLER_FETCH_FAILED", `more than ${REDIRECTS_MAX} redirects, the last by ${origin}`);
    }
    follow(message, status, location);
    redirectedBy = origin;
  }
}

/** Throws Refused unless the origin is granted. */
function granted(url: URL, grants: readonly FetchGrant[], redirectedBy: string | undefined): FetchGrant {
  const { origin, protocol } = url;
  const what = redirectedBy === undefined ? "a fetch goes" : `a redirect by ${redirectedBy} leads`;
  if (protocol !== "http:" && protocol !== "https:") {
    throw new Refused("HANDLER_FETCH_DENIED", `${what} to ${protocol} and may go to http: and https: only`, true);
  }
  if (url.username !== "" || url.password !== "") {
    throw new Refused("HANDLER_FETCH_INVALID", `${what} to ${origin} with a password in its address`);
  }
  const grant = grants.find((each) => each.origin === origin);
  if (grant !== undefined) return grant;
  // Where a redirect leads is the other side's choice: nobody should be told to grant that without a thought.
  const advice =
    redirectedBy === undefined
      ? `: add "${origin}" to \`fetch\` of its config`
      : "; that site chose it, so grant it only if you trust where it leads";
  throw new Refused("HANDLER_FETCH_DENIED", `${what} to ${origin}, which is not granted to the handler${advice}`, true);
}

function follow(message: Message, status: number, location: string): void {
  const from = message.url.origin;
  const next = location.length > LIMITS.urlChars ? null : URL.parse(location, message.url.href);
  if (next === null) throw new Refused("HANDLER_FETCH_FAILED", `${from} redirects to something that is no address`);
  // A redirect must not make a handler send a password that it does not have.
  if (next.hash === "") next.hash = message.url.hash;
  message.url = next;
  const becomesGet = status === 303 ? message.method !== "HEAD" : status < 303 && message.method === "POST";
  if (becomesGet && message.method !== "GET") {
    message.method = "GET";
    message.body = undefined;
    dropContent(message.headers);
  }
  if (next.origin !== from) dropCredentials(message.headers);
}

async function insist(message: Message, grant: FetchGrant, context: ExchangeContext): Promise<IncomingMessage> {
  for (;;) {
    const sent = send(message, grant, context);
    try {
      return await sent.answer;
    } catch (error) {
      const isStale = sent.wasIdle() && (error as NodeJS.ErrnoException).code === "ECONNRESET";
      if (context.signal.aborted) throw error;
      // The next one may be idle and closed as well; there are a few, and then a new one is made.
      if (!isStale || !REPEATABLE.has(message.method)) throw refusedBy(error, message.url, grant);
    }
  }
}

/** Sends the message; the answer's head is there when `answer` resolves. */
function send(
  { url, method, headers, body }: Message,
  grant: FetchGrant,
  { connections, signal }: ExchangeContext,
): { readonly answer: Promise<IncomingMessage>; readonly wasIdle: () => boolean } {
  const all = new Map(headers);
  if (body !== undefined || method === "POST" || method === "PUT" || method === "PATCH")
    all.set("content-length", String(body?.length ?? 0));
  let wasIdle = (): boolean => false;
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    const options = {
      method,
      headers: Object.fromEntries(all),
      agent: connections.agent(url.protocol, grant.private),
      maxHeaderSize: HEADER_BYTES_MAX,
      signal,
    };
    const request = url.protocol === "https:" ? requestHttps(url, options) : requestHttp(url, options);
    wasIdle = () => request.reusedSocket;
    request.on("response", (head) => {
      head.on("error", () => undefined); // Whoever reads it hears of it too; nobody reads a redirect.
      resolve(head);
    });
    request.on("error", reject);
    request.on("close", () => reject(new Error("the connection was closed without an answer")));
    request.end(body);
  });
  return { answer, wasIdle: () => wasIdle() };
}

async function answered(
  { url, method }: Message,
  answer: IncomingMessage,
  redirected: boolean,
  { responseBytesMax }: FetchRequest,
  context: ExchangeContext,
): Promise<FetchEnd> {
  const status = answer.statusCode ?? 0;
  const head = {
    at: "answered",
    status,
    statusText: answer.statusMessage ?? "",
    url: withoutFragment(url),
    redirected,
    headers: pairsOf(answer.rawHeaders),
  } as const;
  if (!hasContent(method, status)) {
    // Node reads what another one (205) is followed by, and it may never end.
    if (method === "HEAD" || status === 204 || status === 304) answer.resume();
    else answer.destroy();
    return { ...head, body: undefined };
  }
  let isBusy = false;
  const reserve: Reserve = (bytes) => {
    const may = context.reserve(bytes);
    isBusy = may === "busy";
    return may === "yes";
  };
  try {
    const body = await readContent(answer, reserve);
    // A decoder ends where its stream does, whatever comes behind that.
    if (!answer.complete) answer.destroy();
    return { ...head, body };
  } catch (error) {
    if (!(error instanceof ContentRefused)) throw refusedBy(error, url, undefined);
    if (isBusy) {
      throw new Refused("SANDBOX_FETCH_BUSY", "the fetches of all handlers together hold too much at the moment");
    }
    throw new Refused(
      "SANDBOX_FETCH_TOO_LARGE",
      `the answer of ${url.origin} is longer than ${responseBytesMax} bytes`,
    );
  }
}

/** Only the origin is told: what else is in an address may be a secret. */
function refusedBy(error: unknown, { origin, hostname }: URL, grant: FetchGrant | undefined): Refused {
  if (error instanceof Refused) return error;
  const refused = addressesOf(error);
  if (refused !== undefined) {
    const remedy =
      hostname === "localhost" || grant?.private === true
        ? "only a grant of the address itself reaches that"
        : `if that is meant, grant it as { origin: "${origin}", private: true }, or grant the address itself`;
    const to = refused.length === 0 ? "nothing" : refused.slice(0, 4).join(", ");
    return new Refused("HANDLER_FETCH_ADDRESS", `${origin} resolves to ${to}, which no public name may: ${remedy}`);
  }
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ERR_INVALID_CHAR" || code === "ERR_UNESCAPED_CHARACTERS" || code === "ERR_INVALID_HTTP_TOKEN") {
    return new Refused("HANDLER_FETCH_INVALID", `a request to ${origin} cannot be made: ${code}`);
  }
  return new Refused("HANDLER_FETCH_FAILED", `${origin} cannot be fetched from: ${reasonOf(error)}`);
}

/** Trying several addresses fails with an AggregateError. */
function addressesOf(error: unknown): readonly string[] | undefined {
  const all: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  return all.find((each) => each instanceof AddressRefused)?.addresses;
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  const text = messageOf(error);
  return text === "" ? ((error as NodeJS.ErrnoException).code ?? "the connection failed") : text;
}

function withoutFragment(url: URL): string {
  const plain = new URL(url.href);
  plain.hash = "";
  return plain.href;
}

function pairsOf(raw: readonly string[]): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) pairs.push([raw[i] as string, raw[i + 1] as string]);
  return pairs;
}

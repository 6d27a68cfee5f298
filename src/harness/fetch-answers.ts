/** Answers what a handler fetches from what a case says, and remembers what was asked. Grants hold as in a gateway. */
import type { Fetch, FetchEnd, FetchRequest } from "../fetch.ts";

/** One answer; the first that fits is given. */
export interface FetchAnswer {
  /** `*` at its end is whatever follows. */
  readonly url: string;
  readonly method?: string | undefined;
  readonly status?: number | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sent as JSON. */
  readonly data?: unknown;
  readonly text?: string | undefined;
  /** Fails with this message instead. */
  readonly error?: string | undefined;
}

export interface Fetched {
  readonly url: string;
  readonly method: string;
  /** Names in small letters. */
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed when it is JSON, else its text. */
  readonly data: unknown;
}

/** `fetched` is added to. */
export function answering(answers: readonly FetchAnswer[], fetched: Fetched[]): Fetch {
  return (request, done) => {
    const end = endOf(request, answers, fetched);
    const answer = setImmediate(() => done(end, () => undefined));
    return () => clearImmediate(answer);
  };
}

function endOf({ ask, grants }: FetchRequest, answers: readonly FetchAnswer[], fetched: Fetched[]): FetchEnd {
  const { url, method } = ask;
  const origin = URL.parse(url)?.origin ?? "";
  if (!grants.some((grant) => grant.origin === origin)) {
    const message = `${origin} is not granted to the handler`;
    return { at: "failed", code: "HANDLER_FETCH_DENIED", message, final: true };
  }
  fetched.push({ url, method, headers: headersOf(ask.headers), data: bodyOf(ask.body) });
  const answer = answers.find((one) => fits(one, url, method));
  if (answer?.error !== undefined) {
    return { at: "failed", code: "HANDLER_FETCH_FAILED", message: answer.error, final: false };
  }
  if (answer === undefined) {
    const message = `nothing here answers ${method} ${url}: add it to \`fetch\``;
    return { at: "failed", code: "HANDLER_FETCH_FAILED", message, final: false };
  }
  const { status = 200, headers = {}, data, text } = answer;
  const body = data === undefined ? (text ?? "") : JSON.stringify(data);
  const type = data === undefined ? "text/plain; charset=utf-8" : "application/json";
  return {
    at: "answered",
    status,
    statusText: "",
    url,
    redirected: false,
    headers: Object.entries({ "content-type": type, ...headers }),
    body: status === 204 || status === 205 || status === 304 ? undefined : Buffer.from(body),
  };
}

function fits(answer: FetchAnswer, url: string, method: string): boolean {
  if (answer.method !== undefined && answer.method.toUpperCase() !== method) return false;
  return answer.url.endsWith("*") ? url.startsWith(answer.url.slice(0, -1)) : url === answer.url;
}

function headersOf(headers: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
}

function bodyOf(body: Buffer | undefined): unknown {
  if (body === undefined) return undefined;
  const text = body.toString();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

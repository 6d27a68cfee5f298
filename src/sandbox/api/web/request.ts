/**
 * Request. Source: https://fetch.spec.whatwg.org/#request-class
 *
 * A capability apart from Response, because it parses addresses: only who makes requests of their own has to have URL.
 */
import { Body, contentOf, copyContent, takeContent } from "./bodies.ts";
import { expose } from "./expose.ts";
import type { Sending, WebHost } from "./host.ts";
import { textOf } from "./text-of.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const FORBIDDEN_METHODS = new Set(["CONNECT", "TRACE", "TRACK"]);
const UPPERCASE_METHODS = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);

/** What a request says besides, and the words that each may be. The first is what it is when nothing is said. */
const WORDS = {
  cache: ["default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached"],
  credentials: ["same-origin", "omit", "include"],
  mode: ["cors", "navigate", "same-origin", "no-cors"],
  redirect: ["follow", "error", "manual"],
  referrerPolicy: [
    "",
    "no-referrer",
    "no-referrer-when-downgrade",
    "same-origin",
    "origin",
    "strict-origin",
    "origin-when-cross-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
  ],
} as const;

type Word = keyof typeof WORDS;

interface RequestOptions extends Partial<Record<Word, unknown>> {
  readonly method?: unknown;
  readonly headers?: Headers;
  readonly body?: unknown;
  readonly signal?: unknown;
  readonly integrity?: unknown;
  readonly keepalive?: unknown;
}

class Request extends Body {
  readonly #url: string;
  readonly #method: string;
  readonly #headers: Headers;
  readonly #signal: AbortSignal;
  readonly #words: Readonly<Record<Word, string>>;
  readonly #integrity: string;
  readonly #keepalive: boolean;

  constructor(...given: readonly unknown[]) {
    if (given.length === 0) throw new TypeError("A request needs an address");
    const from = given[0] instanceof Request ? given[0] : undefined;
    const options = optionsOf(given[1]);
    const url = from === undefined ? addressOf(given[0]) : from.#url;
    const method = methodOf(text(options.method) ?? from?.method ?? "GET");
    const words = wordsOf(options, from);
    const signal = options.signal === undefined ? from?.signal : options.signal;
    const headers = new Headers(options.headers ?? from?.headers);
    const own = options.body !== undefined && options.body !== null;
    if ((own || (from !== undefined && hasContent(from))) && (method === "GET" || method === "HEAD")) {
      throw new TypeError(`A request with ${method} has no body`);
    }
    const content = contentOf(options.body);
    if (content?.type !== undefined && !headers.has("content-type")) headers.set("content-type", content.type);
    super(own || from === undefined ? content?.bytes : takeContent(from));
    this.#url = url;
    this.#method = method;
    this.#headers = headers;
    this.#signal = follow(signal);
    this.#words = words;
    this.#integrity = text(options.integrity) ?? from?.integrity ?? "";
    this.#keepalive = options.keepalive === undefined ? (from?.keepalive ?? false) : Boolean(options.keepalive);
  }

  get url(): string {
    return this.#url;
  }
  get method(): string {
    return this.#method;
  }
  get headers(): Headers {
    return this.#headers;
  }
  get signal(): AbortSignal {
    return this.#signal;
  }
  get cache(): string {
    return this.#words.cache;
  }
  get credentials(): string {
    return this.#words.credentials;
  }
  get mode(): string {
    return this.#words.mode;
  }
  get redirect(): string {
    return this.#words.redirect;
  }
  get referrerPolicy(): string {
    return this.#words.referrerPolicy;
  }
  get integrity(): string {
    return this.#integrity;
  }
  get keepalive(): boolean {
    return this.#keepalive;
  }
  get destination(): string {
    return "";
  }
  get referrer(): string {
    return "about:client";
  }
  get duplex(): string {
    return "half";
  }

  clone(): Request {
    const body = copyContent(this);
    const { cache, credentials, mode, redirect, referrerPolicy } = this.#words;
    return new Request(this.#url, {
      method: this.#method,
      headers: this.#headers,
      body,
      signal: this.#signal,
      integrity: this.#integrity,
      keepalive: this.#keepalive,
      cache,
      credentials,
      mode,
      redirect,
      referrerPolicy,
    });
  }
}

function optionsOf(options: unknown): RequestOptions {
  if (options === undefined || options === null) return {};
  if (typeof options !== "object" && typeof options !== "function") throw new TypeError("The options are an object");
  return options;
}

function text(given: unknown): string | undefined {
  return given === undefined ? undefined : textOf(given);
}

function addressOf(given: unknown): string {
  const url = new globalThis.URL(textOf(given));
  if (url.username !== "" || url.password !== "") throw new TypeError("The address of a request has no password in it");
  return url.href;
}

function methodOf(method: string): string {
  const upper = method.toUpperCase();
  if (!TOKEN.test(method) || FORBIDDEN_METHODS.has(upper)) throw new TypeError(`'${method}' is no method of a request`);
  return UPPERCASE_METHODS.has(upper) ? upper : method;
}

function wordsOf(options: RequestOptions, from: Request | undefined): Record<Word, string> {
  const words: Partial<Record<Word, string>> = {};
  for (const name of Object.keys(WORDS) as Word[]) {
    const allowed: readonly string[] = WORDS[name];
    const given = text(options[name]) ?? from?.[name];
    if (given !== undefined && !allowed.includes(given)) throw new TypeError(`"${given}" is no ${name} of a request`);
    words[name] = given ?? allowed[0];
  }
  if (words.mode === "navigate") throw new TypeError("A request of a handler does not navigate");
  return words as Record<Word, string>;
}

function hasContent(request: Request): boolean {
  return !request.bodyUsed && copyContent(request) !== undefined;
}

/** A signal that aborts with the given one. */
function follow(signal: unknown): AbortSignal {
  if (signal === undefined || signal === null) return new AbortController().signal;
  if (!(signal instanceof AbortSignal)) throw new TypeError("`signal` of a request is an AbortSignal");
  return AbortSignal.any([signal]);
}

/** For fetch, which is bundled apart and has no other way to get at a body. */
function sending(given: unknown): Sending {
  const request = given as Request;
  const { url, method, redirect, signal } = request;
  const headers: string[] = [];
  for (const [name, value] of request.headers) headers.push(name, value);
  return { asked: { url, method, redirect, headers, body: takeContent(request) }, signal };
}

export function install(host: WebHost): void {
  expose(host, { Request });
  host.beside.sending = sending;
}

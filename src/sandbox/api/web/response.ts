/** Response. Source: https://fetch.spec.whatwg.org/#response-class */
import { Body, contentOf, copyContent } from "./bodies.ts";
import { Headers, makeImmutable } from "./headers.ts";
import { textOf } from "./text-of.ts";

const NO_REASON = /[^\t\x20-\x7e\x80-\xff]/;
const STATUSES_WITHOUT_BODY = new Set([101, 103, 204, 205, 304]);

interface ResponseOptions {
  readonly status?: unknown;
  readonly statusText?: unknown;
  readonly headers?: unknown;
}

/** What came in answer to a request. */
export interface Received {
  readonly url: string;
  readonly redirected: boolean;
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Belongs to the response from then on. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** The Response that a fetch ends with: it has an address, and its headers do not change. */
export let received: (answer: Received) => Response;

export class Response extends Body {
  #status: number;
  readonly #statusText: string;
  readonly #headers: Headers;
  #type: "default" | "basic" | "error" = "default";
  #url = "";
  #redirected = false;

  static {
    received = ({ url, redirected, status, statusText, headers, bytes }) => {
      const response = new Response(bytes, { statusText, headers });
      return response.#become(status, "basic", url, redirected);
    };
  }

  constructor(body?: unknown, options?: unknown) {
    const { status, statusText, headers } = optionsOf(options);
    const content = contentOf(body);
    super(content?.bytes);
    this.#status = statusOf(status);
    this.#statusText = statusText === undefined ? "" : textOf(statusText);
    if (NO_REASON.test(this.#statusText)) throw new TypeError("Invalid statusText");
    this.#headers = new Headers(headers);
    if (content === undefined) return;
    if (STATUSES_WITHOUT_BODY.has(this.#status)) throw new TypeError(`A response of ${this.#status} has no body`);
    if (content.type !== undefined && !this.#headers.has("content-type")) {
      this.#headers.set("content-type", content.type);
    }
  }

  static json(...given: readonly unknown[]): Response {
    if (given.length === 0) throw new TypeError("Response.json() needs a value");
    const text = JSON.stringify(given[0]) as string | undefined;
    if (text === undefined) throw new TypeError("Value is not JSON serializable");
    const { status, statusText, headers: wanted } = optionsOf(given[1]);
    const headers = new Headers(wanted);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(text, { status, statusText, headers });
  }

  static error(): Response {
    return new Response().#become(0, "error", "", false);
  }

  get type(): string {
    return this.#type;
  }
  /** Where it came from, without the fragment; empty when a handler made it. */
  get url(): string {
    return this.#url;
  }
  get redirected(): boolean {
    return this.#redirected;
  }
  get status(): number {
    return this.#status;
  }
  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299;
  }
  get statusText(): string {
    return this.#statusText;
  }
  get headers(): Headers {
    return this.#headers;
  }

  clone(): Response {
    const copy = new Response(copyContent(this), { statusText: this.#statusText, headers: this.#headers });
    if (this.#type !== "default") return copy.#become(this.#status, this.#type, this.#url, this.#redirected);
    copy.#status = this.#status;
    return copy;
  }

  #become(status: number, type: "basic" | "error", url: string, redirected: boolean): Response {
    this.#status = status;
    this.#type = type;
    this.#url = url;
    this.#redirected = redirected;
    makeImmutable(this.#headers);
    return this;
  }
}

function optionsOf(options: unknown): ResponseOptions {
  if (options === undefined || options === null) return {};
  if (typeof options !== "object" && typeof options !== "function") throw new TypeError("The options are an object");
  return options;
}

function statusOf(given: unknown): number {
  if (given === undefined) return 200;
  // As an unsigned short of the web's interfaces: whole, and modulo 65,536.
  const status = Number(given) & 0xffff;
  if (status < 200 || status > 599) throw new RangeError("A status is a number from 200 to 599");
  return status;
}

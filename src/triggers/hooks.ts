/**
 * Calls of webhooks: what is let in becomes an event, and the caller hears of it when that is on disk.
 *
 * A call is looked at twice: by its head, before the body is read (path, method, who calls, type, rate), and with its
 * body (size, signature, repeat). A call that names itself in its idempotency header is remembered in the commit that has
 * its event, so that its repeat gets the same answer and makes no second event, also after a crash.
 *
 * T6  A call is answered 202 only when its event is on disk (G1).
 * T7  Of calls with one idempotency key, within the journal's memory of them, one makes an event.
 * T8  Secrets and tokens are compared in constant time, and never told.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { EventDraft } from "../event.ts";
import { Fault } from "../fault.ts";
import type { Clock } from "../time.ts";
import { decodedPath, requestText } from "./request.ts";
import { signatureFlaw } from "./signature.ts";
import { TokenBucket } from "./token-bucket.ts";
import { webhookTopic } from "./webhook.ts";
import type { WebhookConfig, WebhookTrigger } from "./webhook.ts";

export interface HookCall {
  readonly method: string;
  /** Below /hooks, with the slash, without a query; as it came. */
  readonly path: string;
  /** Behind the path's question mark; "" without one. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  /** Bears a token of the gateway that may act. */
  readonly isOperator: boolean;
}

interface Receiver {
  committed(tag: number, fault: Fault | undefined): void;
}

export interface CallBook {
  /**
   * Stages the event for `wanted`; or, when `key` is known, nothing but the answer. `content` tells bodies apart:
   * `other` is a known key with another one.
   */
  call(
    key: Buffer | undefined,
    content: number,
    event: EventDraft,
    wanted: readonly number[],
    receiver: Receiver,
  ): { readonly at: "taken" | "repeated"; readonly seq: number } | { readonly at: "later" | "refused" | "other" };
}

export interface HooksOptions {
  readonly webhooks: WebhookTrigger;
  readonly book: CallBook;
  readonly secret: (name: string) => string | undefined;
  readonly eventId: (seq: number) => string;
  readonly clock: Clock;
}

export interface HooksFigures {
  /** Calls by what became of them. */
  readonly calls: Readonly<Record<"taken" | "repeated" | "denied" | "invalid" | "limited" | "busy", number>>;
}

/** Calls whose events are on their way to the disk, of all webhooks together. */
export const CALLS_MAX = 64;
const KEY_LENGTH_MAX = 255;

export class Hooks {
  readonly #options: HooksOptions;
  readonly #rates = new Map<string, TokenBucket>();
  readonly #calls = { taken: 0, repeated: 0, denied: 0, invalid: 0, limited: 0, busy: 0 };
  #under = 0;

  constructor(options: HooksOptions) {
    this.#options = options;
  }

  figures(): HooksFigures {
    return { calls: { ...this.#calls } };
  }

  /** What can be said of a call before its body is read. Throws the Fault that answers it. */
  admit(call: HookCall): void {
    const { config } = this.#found(call.path);
    if (!config.methods.includes(call.method)) {
      throw this.#invalid("WEBHOOK_METHOD", `${call.path} takes ${config.methods.join(", ")}`);
    }
    this.#assertMayCall(config, call);
    const type = (call.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
    if (call.method !== "GET" && !config.types.some((wanted) => isOfType(type, wanted))) {
      throw this.#invalid("WEBHOOK_TYPE", `${call.path} takes ${config.types.join(", ")}`);
    }
    if (call.headers["content-encoding"] !== undefined) {
      throw this.#invalid("WEBHOOK_TYPE", "packed bodies are not taken");
    }
    if (Number(call.headers["content-length"] ?? 0) > config.bodyBytesMax) throw this.#tooLarge(config);
    this.#assertRoom();
    // Who signs is known by the body: before that, whoever does not could use up the rate of who does.
    if (!isSigned(config)) this.#assertRate(config);
  }

  /** Resolves with the event's id when it is on disk. Throws the Fault that answers the call. */
  async call(call: HookCall, body: Buffer): Promise<{ readonly id: string }> {
    const { config, path } = this.#found(call.path);
    if (body.length > config.bodyBytesMax) throw this.#tooLarge(config);
    this.#assertSigned(config, call, body);
    if (isSigned(config)) this.#assertRate(config);
    this.#assertRoom(); // Others may have come while its body did.
    this.#under++;
    try {
      return { id: await this.#take(config, path, call, body) };
    } finally {
      this.#under--;
    }
  }

  #take(config: WebhookConfig, path: string, call: HookCall, body: Buffer): Promise<string> {
    const { book, webhooks, clock, eventId } = this.#options;
    const { headers, query } = call;
    const name = headers[config.idempotencyHeader.toLowerCase()];
    if (name !== undefined && (typeof name !== "string" || name === "" || name.length > KEY_LENGTH_MAX)) {
      throw this.#invalid("WEBHOOK_KEY", `${config.idempotencyHeader} has 1 to ${KEY_LENGTH_MAX} characters`);
    }
    const key = name === undefined ? undefined : callKey(config.path, `${path}\0${name}`);
    const topic = webhookTopic(path);
    // What tells a call from another: headers may well be others in its repeat.
    const content = digest(query === "" ? body : Buffer.concat([Buffer.from(`?${query}\0`), body])).readUInt32BE(0);
    const event: EventDraft = {
      kind: "webhook",
      topic,
      device: "",
      payload: body,
      qos: 1,
      retain: false,
      hops: 0,
      timeMs: clock.now(),
      request: this.#requestOf(config, call),
    };
    return new Promise((resolve, reject) => {
      let id = "";
      const receiver = {
        committed: (_tag: number, fault: Fault | undefined) => (fault === undefined ? resolve(id) : reject(fault)),
      };
      const taken = book.call(key, content, event, webhooks.match(topic), receiver);
      switch (taken.at) {
        case "taken":
        case "repeated":
          this.#calls[taken.at]++;
          id = eventId(taken.seq);
          return;
        case "other":
          reject(this.#invalid("WEBHOOK_KEY", `${config.idempotencyHeader} was used with another body or query`));
          return;
        case "later":
        case "refused":
          this.#calls.busy++;
          reject(new Fault("WEBHOOK_BUSY", "the journal takes no events at the moment"));
      }
    });
  }

  /** Methods that the path takes; none when it is nobody's. */
  methodsOf(path: string): readonly string[] {
    return this.#options.webhooks.at(path)?.methods ?? [];
  }

  #found(raw: string): { readonly config: WebhookConfig; readonly path: string } {
    const { webhooks } = this.#options;
    const path = decodedPath(raw);
    const config = path === undefined ? undefined : webhooks.at(path);
    // What is encoded is in a level that has a name, and leads nowhere else than as it stands.
    if (path === undefined || config === undefined || webhooks.at(raw) !== config) {
      throw this.#invalid("WEBHOOK_UNKNOWN", "no handler has a webhook at this path");
    }
    return { config, path };
  }

  #requestOf(config: WebhookConfig, call: HookCall): string {
    try {
      return requestText(config, call);
    } catch (thrown) {
      this.#calls.invalid++;
      throw thrown;
    }
  }

  #assertMayCall({ auth }: WebhookConfig, { headers, isOperator }: HookCall): void {
    if (auth === "none") {
      // A page in a browser on this box can send it, and only that says so: an image's GET has no origin, but a site.
      const site = headers["sec-fetch-site"] ?? "none";
      if (headers.origin !== undefined || site !== "none") {
        throw this.#denied("WEBHOOK_DENIED", "a web page may not call it");
      }
      return;
    }
    if (typeof auth === "object" && "hmac" in auth) return;
    if (auth === "operator") {
      if (!isOperator) throw this.#denied("WEBHOOK_UNAUTHORIZED", "it takes a token of the gateway");
      return;
    }
    const given = /^Bearer ([\x21-\x7e]{1,16384})$/i.exec(headers.authorization ?? "")?.[1];
    if (given === undefined) throw this.#denied("WEBHOOK_UNAUTHORIZED", "there is no bearer token");
    if (!timingSafeEqual(digest(given), digest(this.#secret(auth.token)))) {
      throw this.#denied("WEBHOOK_UNAUTHORIZED", "the token is not right");
    }
  }

  #assertSigned({ auth }: WebhookConfig, { headers }: HookCall, body: Buffer): void {
    if (typeof auth !== "object" || !("hmac" in auth)) return;
    const nowMs = this.#options.clock.now();
    const flaw = signatureFlaw(auth.hmac, this.#secret(auth.hmac.secret), headers, body, nowMs);
    if (flaw !== undefined) throw this.#denied("WEBHOOK_UNAUTHORIZED", flaw);
  }

  /** That it is there was checked when the handler went live; it may have gone since. */
  #secret(name: string): string {
    const value = this.#options.secret(name);
    if (value === undefined || value === "") throw this.#denied("WEBHOOK_DENIED", `the gateway has lost its secret`);
    return value;
  }

  #assertRate(config: WebhookConfig): void {
    if (!this.#rateOf(config).take(this.#options.clock.monotonic())) throw this.#limited();
  }

  #assertRoom(): void {
    if (this.#under >= CALLS_MAX) throw this.#limited();
  }

  #limited(): Fault {
    this.#calls.limited++;
    return new Fault("WEBHOOK_RATE", "too many calls at a time");
  }

  #rateOf({ path, perSecond }: WebhookConfig): TokenBucket {
    const known = this.#rates.get(path);
    if (known?.perSecond === perSecond) return known;
    // Paths are those of handlers, so there are not more of them than handlers had since the start.
    const rate = new TokenBucket(perSecond, perSecond, this.#options.clock.monotonic());
    this.#rates.set(path, rate);
    return rate;
  }

  #denied(code: "WEBHOOK_UNAUTHORIZED" | "WEBHOOK_DENIED", message: string): Fault {
    this.#calls.denied++;
    return new Fault(code, message);
  }

  #tooLarge({ path, bodyBytesMax }: WebhookConfig): Fault {
    return this.#invalid("WEBHOOK_TOO_LARGE", `${path} takes at most ${bodyBytesMax} bytes`);
  }

  #invalid(
    code: "WEBHOOK_UNKNOWN" | "WEBHOOK_METHOD" | "WEBHOOK_TYPE" | "WEBHOOK_TOO_LARGE" | "WEBHOOK_KEY",
    message: string,
  ): Fault {
    this.#calls.invalid++;
    return new Fault(code, message);
  }
}

function isSigned({ auth }: WebhookConfig): boolean {
  return typeof auth === "object" && "hmac" in auth;
}

function isOfType(type: string, wanted: string): boolean {
  if (wanted === "*/*") return true;
  return wanted.endsWith("/*") ? type.startsWith(wanted.slice(0, -1)) : type === wanted;
}

/** 16 bytes; the first four say which webhook it is, whose calls are remembered beside those of others. */
function callKey(webhook: string, name: string): Buffer {
  return Buffer.concat([digest(webhook).subarray(0, 4), digest(name).subarray(0, 12)]);
}

function digest(of: string | Buffer): Buffer {
  return createHash("sha256").update(of).digest();
}

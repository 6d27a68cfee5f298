/**
 * Uplink kind `https`: batches of CloudEvents by POST, to `https://` or, on site, `http://`.
 *
 * One request is under way at a time, for nothing else keeps order over HTTP. The answer's status says what becomes of
 * the batch: see {@link judge}. With `format: raw` each output is a request of its own, its attributes in `ce-` headers
 * (the binary mode of CloudEvents' HTTP binding).
 */
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { z } from "zod";
import { Fault, messageOf } from "../fault.ts";
import { Agent as HttpAgent, request as requestHttp, validateHeaderName, validateHeaderValue } from "../http.ts";
import type { OutboxEntry } from "../task.ts";
import { deliverySettings } from "./delivery-settings.ts";
import { ENVELOPE_BYTES } from "./envelope.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import { ANSWER_BYTES_MAX, ANSWER_MS_MAX, judge } from "./http-answer.ts";
import type { Answer } from "./http-answer.ts";
import { networkFault } from "./network-fault.ts";
import { tlsOptions, tlsSettings } from "./tls-files.ts";
import type { Uplink, UplinkContext, UplinkKind, Verdict } from "./uplink.ts";

/** Headers that say how the body travels are ours to set. */
const OWN_HEADERS = new Set([
  "content-length",
  "transfer-encoding",
  "content-encoding",
  "connection",
  "host",
  "expect",
]);

const httpsSettings = z.strictObject({
  kind: z.literal("https"),
  url: z
    .string()
    .refine((url) => /^https?:$/.test(URL.parse(url)?.protocol ?? ""), {
      error: "write a URL such as https://host/path",
    })
    .refine((url) => URL.parse(url)?.username === "" && URL.parse(url)?.password === "", {
      error: "write credentials as a header, not in the URL",
    })
    .meta({ description: "Where batches are posted to. http:// is for servers on site." }),
  headers: z
    .record(z.string(), z.string())
    .default({})
    .superRefine((headers, issues) => {
      for (const [name, value] of Object.entries(headers)) {
        const flaw = headerFlaw(name, value);
        if (flaw !== undefined) issues.addIssue({ code: "custom", message: flaw, path: [name] });
      }
    })
    .meta({
      description: "Further headers, such as authorization; write ${NAME} to take a value from the environment.",
    }),
  gzip: z.boolean().default(true).meta({ description: "Compress bodies above 1 KB." }),
  batchMax: z.int().min(1).max(10_000).default(500).meta({ description: "Most outputs in a request." }),
  tls: tlsSettings.optional(),
  ...deliverySettings,
});
type HttpsSettings = z.output<typeof httpsSettings>;

export const httpsKind: UplinkKind<typeof httpsSettings> = {
  settings: httpsSettings,
  open: (settings, context) => new HttpsUplink(settings, context),
};

const BATCH_TYPE = "application/cloudevents-batch+json; charset=utf-8";
const GZIP_ABOVE_BYTES = 1024;
/** Telemetry repeats itself: a higher level costs twice the time for a few percent. */
const GZIP_LEVEL = 3;
const compress = promisify(gzip);

const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;
const COMMA = 0x2c;

class HttpsUplink implements Uplink {
  readonly window = 1;
  readonly batchCountMax: number;
  readonly batchBytesMax = 512 * 1024;
  readonly #settings: HttpsSettings;
  readonly #context: UplinkContext;
  readonly #url: URL;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #where: string;
  #gzip: boolean;

  constructor(settings: HttpsSettings, context: UplinkContext) {
    this.#settings = settings;
    this.#context = context;
    this.#url = new URL(settings.url);
    this.#gzip = settings.gzip;
    // A query may hold a key.
    this.#where = `${context.name} (${this.#url.origin}${this.#url.pathname})`;
    this.batchCountMax = settings.format === "raw" ? 1 : settings.batchMax;
    const agent = { keepAlive: true, maxSockets: 1, scheduling: "lifo" } as const;
    // What cannot be read now should be known now.
    const tls = tlsOptions(settings.tls, context.folder);
    this.#agent = this.#url.protocol === "http:" ? new HttpAgent(agent) : new HttpsAgent({ ...agent, ...tls });
  }

  async send(batch: readonly OutboxEntry[], signal: AbortSignal): Promise<Verdict> {
    try {
      const [body, headers] = this.#settings.format === "raw" ? this.#raw(batch) : [this.#joined(batch), {}];
      const answer = await this.#post(body, headers, signal);
      if (answer.status === 415 && this.#gzip) {
        this.#gzip = false;
        this.#context.log.info({ uplink: this.#context.name }, "uplink does not take gzip; going on without");
        return judge(await this.#post(body, headers, signal), batch.length, this.#where, this.#context.clock);
      }
      return judge(answer, batch.length, this.#where, this.#context.clock);
    } catch (thrown) {
      return { acked: 0, fault: networkFault(thrown, this.#where) };
    }
  }

  /** An empty batch is a valid one (CloudEvents JSON format, 4); a raw endpoint is asked for its head. */
  async test(signal: AbortSignal): Promise<void> {
    let verdict: Verdict;
    try {
      const raw = this.#settings.format === "raw";
      const answer = raw
        ? await this.#ask("HEAD", undefined, {}, signal)
        : await this.#post(Buffer.from("[]"), {}, signal);
      // Whoever takes no HEAD or no empty batch is there all the same, and has let us in.
      const there = (raw ? [400, 405, 422, 501] : [400, 422]).includes(answer.status);
      verdict = there ? { acked: 1 } : judge(answer, 1, this.#where, this.#context.clock);
    } catch (thrown) {
      throw networkFault(thrown, this.#where);
    }
    if (verdict.fault !== undefined) throw verdict.fault;
    if (verdict.refused !== undefined) {
      throw new Fault("UPLINK_REJECTED", verdict.refused.failure.message, { where: this.#where });
    }
  }

  close(): Promise<void> {
    this.#agent.destroy();
    return Promise.resolve();
  }

  #joined(batch: readonly OutboxEntry[]): Buffer {
    let estimate = 2;
    for (const entry of batch) estimate += entry.data.length + ENVELOPE_BYTES + 64;
    const into = new GrowingBuffer(estimate + 4096);
    for (let i = 0; i < batch.length; i++) {
      into.reserve(2);
      into.bytes[into.length++] = i === 0 ? BRACKET_OPEN : COMMA;
      this.#context.envelopes.write(into, batch[i] as OutboxEntry);
    }
    into.reserve(1);
    into.bytes[into.length++] = BRACKET_CLOSE;
    return into.written();
  }

  #raw(batch: readonly OutboxEntry[]): [body: Buffer, headers: Record<string, string>] {
    const { envelopes } = this.#context;
    const entry = batch[0] as OutboxEntry;
    const attributes = {
      specversion: "1.0",
      id: envelopes.id(entry),
      source: envelopes.source(entry),
      type: entry.type,
      subject: entry.subject,
      time: envelopes.time(entry.timeMs),
      sluicekey: entry.key,
      sluiceseq: String(entry.seq),
      sluiceversion: String(entry.version),
    };
    const headers: Record<string, string> = {
      "content-type": entry.json ? "application/json" : "application/octet-stream",
    };
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== "") headers[`ce-${name}`] = headerText(value);
    }
    return [entry.data, headers];
  }

  async #post(body: Buffer, headers: Record<string, string>, signal: AbortSignal): Promise<Answer> {
    const squeeze = this.#gzip && body.length > GZIP_ABOVE_BYTES;
    const sent = squeeze ? await compress(body, { level: GZIP_LEVEL }) : body;
    const encoding: Record<string, string> = squeeze ? { "content-encoding": "gzip" } : {};
    const all = { "content-type": BATCH_TYPE, ...headers, ...lowerCased(this.#settings.headers), ...encoding };
    try {
      return await this.#ask("POST", sent, all, signal);
    } catch (thrown) {
      // The server closed a kept-alive connection just when we used it. That is nobody's fault, and no reason to wait.
      if (!(thrown instanceof StaleConnection)) throw thrown;
      return await this.#ask("POST", sent, all, signal);
    }
  }

  #ask(
    method: string,
    body: Buffer | undefined,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const length: Record<string, string> = body === undefined ? {} : { "content-length": String(body.length) };
      const options: RequestOptions = { method, agent: this.#agent, headers: { ...headers, ...length } };
      const request = (this.#url.protocol === "http:" ? requestHttp : requestHttps)(this.#url, options);
      const abort = (): void => void request.destroy(signal.reason as Fault);
      signal.addEventListener("abort", abort, { once: true });
      request.on("close", () => signal.removeEventListener("abort", abort));
      request.on("error", (error) => reject(isStale(request, error) ? new StaleConnection(messageOf(error)) : error));
      request.on("response", (response) => {
        readAnswer(response).then(resolve, reject);
      });
      // Nobody has asked for another protocol; without this nothing at all would be heard of it.
      request.on("upgrade", ({ statusCode = 0 }, socket) => {
        socket.destroy();
        resolve({ status: statusCode, retryAfter: undefined, text: "" });
      });
      request.end(body);
    });
  }
}

/** A kept-alive connection that was dead already. */
class StaleConnection extends Error {}

function isStale(request: ClientRequest, error: NodeJS.ErrnoException): boolean {
  return request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
}

/**
 * Reads the little of the body that may say something, and lets go of the connection. What the batch comes to is said by
 * the status: a body that never ends, or breaks off, would have it sent again and again to who has it.
 */
async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const patience = setTimeout(() => response.destroy(), ANSWER_MS_MAX);
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      // The rest is not worth the connection.
      if (bytes > ANSWER_BYTES_MAX) break;
    }
  } catch {
    // So much for the words.
  } finally {
    clearTimeout(patience);
  }
  const text = Buffer.concat(chunks).subarray(0, ANSWER_BYTES_MAX).toString();
  return { status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"], text };
}

function headerFlaw(name: string, value: string): string | undefined {
  if (OWN_HEADERS.has(name.toLowerCase())) return `${name} is set by the uplink itself`;
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return undefined;
  } catch {
    // The value may be a secret; Node's message has it.
    return `${name} is no valid header, or its value has characters that headers may not have`;
  }
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** Text in a header, as CloudEvents' HTTP binding encodes it (3.1.3.2). */
function headerText(value: string): string {
  return value.toWellFormed().replaceAll(/[^\u0021-\u007e]|["%]/gu, encodeURIComponent);
}

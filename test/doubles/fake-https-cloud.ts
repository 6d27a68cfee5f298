/**
 * A cloud that takes CloudEvents over HTTP, on a real socket on loopback.
 *
 * Unlike a real one it keeps all it got in memory, in order and with repeats; it never drops anything by itself; it says
 * what it is told to say; and it can refuse a batch because of one event, which it does not name.
 */
import { createServer } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { gunzipSync } from "node:zlib";

export type HttpsBehaviour =
  | { readonly at: "well" }
  /** Takes the request and never answers. */
  | { readonly at: "silent" }
  /** Reads the body and then resets the connection. */
  | { readonly at: "resetting" }
  | { readonly at: "slow"; readonly ms: number }
  /** Takes the request and says so; then the answer's body never ends, or the connection does within it. */
  | { readonly at: "trailing"; readonly ends: "never" | "within" }
  /** Answers that it goes on in another protocol. */
  | { readonly at: "switching" }
  /** Answers with a status and takes nothing. */
  | {
      readonly at: "answering";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly text?: string;
    };

export interface CloudEvent {
  readonly id: string;
  readonly sluiceseq: number;
  readonly sluicekey: string;
  readonly [attribute: string]: unknown;
}

export interface Seen {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly atMs: number;
}

export class FakeHttpsCloud {
  behaviour: HttpsBehaviour = { at: "well" };
  /** Batches with this `sluiceseq` are answered with 400. */
  poison = -1;
  /** Bodies of more bytes, uncompressed, are answered with 413. */
  bodyBytesMax = Infinity;
  /** Bodies with a content-encoding are answered with 415. */
  takesGzip = true;
  /** Events of requests that were answered with 2xx. */
  readonly taken: CloudEvent[] = [];
  /** Events of all requests that came in whole. */
  readonly arrived: CloudEvent[] = [];
  readonly requests: Seen[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #scheme: string;
  #port = 0;

  private constructor(tls: { key: string; cert: string } | undefined) {
    const take = (request: IncomingMessage, response: ServerResponse): void => void this.#take(request, response);
    this.#server = tls === undefined ? createServer(take) : createTlsServer(tls, take);
    this.#scheme = tls === undefined ? "http" : "https";
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async open(tls?: { key: string; cert: string }): Promise<FakeHttpsCloud> {
    const cloud = new FakeHttpsCloud(tls);
    await cloud.up();
    return cloud;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.#port}/events`;
  }

  /** Listens, on the same port as before. */
  async up(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Nothing listens any more, and open connections are reset. */
  async down(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.down();
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return;
    }
    const sent = Buffer.concat(chunks);
    const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
    this.requests.push({ method: request.method ?? "", headers: request.headers, body, atMs: performance.now() });
    const events = eventsOf(request, body);
    this.arrived.push(...events);
    const say = (status: number, headers: Record<string, string> = {}, text = ""): void => {
      response.writeHead(status, headers).end(text);
    };
    const { behaviour } = this;
    switch (behaviour.at) {
      case "silent":
        return;
      case "resetting":
        request.socket.resetAndDestroy();
        return;
      case "answering":
        say(behaviour.status, behaviour.headers, behaviour.text);
        return;
      case "trailing":
        this.taken.push(...events);
        response.writeHead(200).write("thank");
        if (behaviour.ends === "within") request.socket.end();
        return;
      case "switching":
        request.socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n");
        return;
      case "slow":
        await new Promise((resolve) => setTimeout(resolve, behaviour.ms));
        break;
      case "well":
        break;
    }
    if (body.length > this.bodyBytesMax) say(413);
    else if (!this.takesGzip && request.headers["content-encoding"] !== undefined) say(415);
    else if (events.some(({ sluiceseq }) => sluiceseq === this.poison)) say(400, {}, "one of them is bad");
    else {
      this.taken.push(...events);
      say(204);
    }
  }
}

function eventsOf(request: IncomingMessage, body: Buffer): CloudEvent[] {
  if (request.headers["content-type"]?.startsWith("application/cloudevents-batch+json") !== true) return [];
  return JSON.parse(body.toString()) as CloudEvent[];
}

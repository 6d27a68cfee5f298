/**
 * A cloud over HTTP for whole-gateway stories: takes CloudEvents batches, and misbehaves in the ways that clouds do.
 *
 * Differences from a real cloud: it is as quick as loopback and keeps everything in memory; what it "has" is what it
 * read whole, also where it then denies it (`take-and-reset`), as a server does that dies between storing and answering.
 */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";

export type Behaviour =
  /** Takes the batch and says so. */
  | { readonly at: "take" }
  /** Takes it after a wait. */
  | { readonly at: "take-late"; readonly afterMs: number }
  /** Takes it, and the connection dies before the answer. */
  | { readonly at: "take-and-reset" }
  /** Answers with this status and takes nothing. */
  | { readonly at: "refuse"; readonly status: number; readonly retryAfter?: string }
  /** Reads and never answers. */
  | { readonly at: "hang" }
  /** Closes the connection at once, with a reset. */
  | { readonly at: "reset" };

export interface HttpCloudOptions {
  /** Port of a cloud that was here before; 0 draws one. */
  readonly port?: number;
  /** What that cloud had taken; new lines are added to it. */
  readonly lines?: string[];
  /** Decides for each request, in order of arrival, from what is in it. Takes all when left out. */
  readonly behave?: (request: number, batch: readonly unknown[]) => Behaviour;
}

export class HttpCloud {
  /** The JSON text of every event that it took, in the order of arrival. */
  readonly lines: string[];
  requests = 0;
  behave: (request: number, batch: readonly unknown[]) => Behaviour;
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async open(options: HttpCloudOptions = {}): Promise<HttpCloud> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    return new HttpCloud(server, options);
  }

  private constructor(server: Server, options: HttpCloudOptions) {
    this.#server = server;
    this.lines = options.lines ?? [];
    this.behave = options.behave ?? (() => ({ at: "take" }));
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.on("request", (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/events`;
  }

  /** The cable is cut: nobody listens any more, and what was open is gone. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const batch = await readBatch(request);
    const behaviour = this.behave(this.requests++, batch);
    switch (behaviour.at) {
      case "take":
        this.#take(batch);
        response.writeHead(200).end();
        return;
      case "take-late":
        await new Promise((resolve) => setTimeout(resolve, behaviour.afterMs));
        this.#take(batch);
        response.writeHead(200).end();
        return;
      case "take-and-reset":
        this.#take(batch);
        request.socket.resetAndDestroy();
        return;
      case "refuse":
        response.writeHead(
          behaviour.status,
          behaviour.retryAfter === undefined ? {} : { "retry-after": behaviour.retryAfter },
        );
        response.end("no");
        return;
      case "hang":
        return;
      case "reset":
        request.socket.resetAndDestroy();
    }
  }

  #take(batch: readonly unknown[]): void {
    for (const event of batch) this.lines.push(JSON.stringify(event));
  }
}

async function readBatch(request: IncomingMessage): Promise<unknown[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  const text = request.headers["content-encoding"] === "gzip" ? await promisify(gunzip)(body) : body;
  const parsed = JSON.parse(text.toString()) as unknown;
  return Array.isArray(parsed) ? parsed : [parsed];
}

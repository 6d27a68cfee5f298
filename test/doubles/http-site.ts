/**
 * A web site on loopback that answers as a test tells it, and keeps what it was asked. It differs from a real one in that
 * it has one address, 127.0.0.1, and knows when a client gave up.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface SiteRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Its connection was closed before it was answered. */
  givenUp: boolean;
}

type Respond = (answer: ServerResponse, request: SiteRequest, raw: IncomingMessage) => void;

export interface HttpSite extends AsyncDisposable {
  readonly origin: string;
  readonly port: number;
  readonly requests: SiteRequest[];
  /** Connections that were made. */
  readonly connections: () => number;
}

/** What to answer, by path. Others are 404. */
export async function openSite(paths: Readonly<Record<string, Respond>>): Promise<HttpSite> {
  const requests: SiteRequest[] = [];
  let connections = 0;
  const server = createServer((raw, answer) => {
    const chunks: Buffer[] = [];
    raw.on("data", (chunk: Buffer) => chunks.push(chunk));
    raw.on("end", () => {
      const { method = "", url: path = "", headers } = raw;
      const request = { method, path, headers, body: Buffer.concat(chunks), givenUp: false };
      requests.push(request);
      answer.on("close", () => (request.givenUp = !answer.writableFinished));
      const respond = paths[path.split("?")[0] as string];
      if (respond === undefined) answer.writeHead(404).end("there is no such page");
      else respond(answer, request, raw);
    });
  });
  server.on("connection", () => connections++);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    requests,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export const text =
  (body: string, headers: Readonly<Record<string, string>> = {}): Respond =>
  (answer) =>
    answer.writeHead(200, { "content-type": "text/plain", ...headers }).end(body);

export const redirect =
  (location: string, status = 302): Respond =>
  (answer) =>
    answer.writeHead(status, { location }).end();

/** Never answers. */
export const hang: Respond = () => undefined;

/** Says what it was sent. */
export const echo: Respond = (answer, { method, path, headers, body }) =>
  answer
    .writeHead(200, { "content-type": "application/json" })
    .end(JSON.stringify({ method, path, headers, body: body.toString("latin1") }));

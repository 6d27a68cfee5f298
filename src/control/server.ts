/** The HTTP server: limits, who is let in, routes, errors, and an end within its deadline. */
import type { Socket } from "node:net";
import Fastify from "fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import { Fault, messageOf } from "../fault.ts";
import { STATUS_CODES } from "../http.ts";
import { mayAct, openAccess } from "./access.ts";
import type { Access, Role } from "./access.ts";
import { Answer, Streamed } from "./answer.ts";
import { apiRoutes } from "./api.ts";
import type { ApiRoute } from "./api.ts";
import { Connections } from "./connections.ts";
import type { ControlOptions, ControlSource } from "./control.ts";
import { registerHooks } from "./hooks.ts";
import type { ServerFigures } from "./figures.ts";
import { isLoopback } from "./loopback.ts";
import { Scrapes } from "./scrapes.ts";
import { openApi } from "./openapi.ts";
import { Uploads } from "./uploads.ts";
import { faultOf, PROBLEM_TYPE, problemOf } from "./problem.ts";

export interface ControlServer {
  readonly url: string;
  close(deadlineMs: number): Promise<void>;
}

/** Requests are checked by zod and answers written here: without these, fastify loads ajv and a compiler of serializers. */
const NO_SCHEMAS = { buildValidator: noSchema, buildSerializer: noSchema };

/** Headers of all requests together; the token is most of it. */
const HEADER_BYTES_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5000;
/** How late a client that takes too long may be found out. */
const LOOK_MS = 1000;

/** Node's codes for requests that it gives up on before they are one. */
const UNREAD: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, `the headers are longer than ${HEADER_BYTES_MAX} bytes`],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "the request did not come in time"],
};

declare module "fastify" {
  interface FastifyContextConfig {
    role?: Role | "open";
    /** Bytes of the body, where it may have more than others. */
    bodyMax?: number | undefined;
  }
}

export async function openServer(options: ControlOptions): Promise<ControlServer> {
  const { settings, data, source, clock, log } = options;
  const url = new URL(settings.url);
  if (!isLoopback(url.hostname)) {
    throw new Fault("CONTROL_OPEN", `the control API would be open beyond this box, at ${url.hostname}`, {
      where: "control.url",
    });
  }
  const access = await openAccess(data, log);
  const { bodyMax, connectionsMax, requestTimeout } = settings.limits;
  const app = Fastify({
    logger: false,
    bodyLimit: bodyMax,
    requestTimeout,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: "idle",
    http: {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeout),
      connectionsCheckingInterval: LOOK_MS,
      // A request without one is refused by C3, with a body that says so.
      requireHostHeader: false,
    },
    routerOptions: { maxParamLength: 200 },
    schemaController: { compilersFactory: NO_SCHEMAS },
    // Before any hook: a path that cannot be read. It gets no other answer than a path that does not exist.
    frameworkErrors: (thrown, request, reply) => {
      protect(reply);
      void fail(reply, admit(request, access) ?? faultOf(thrown).fault);
    },
    clientErrorHandler: refuseUnread,
  });
  const connections = new Connections(connectionsMax, clock, log);
  const uploads = new Uploads();
  app.server.on("connection", connections.enter);
  app.addHook("onRequest", (request, reply, next) => {
    if (!connections.takes(request.raw, reply.raw)) {
      reply.hijack();
      return;
    }
    protect(reply);
    const { role, bodyMax: large } = request.routeOptions.config;
    let refusal = admit(request, access);
    if (large !== undefined) refusal ??= uploads.admit(request.raw, reply.raw, large);
    if (refusal === undefined && role !== "open") reply.raw.once("close", connections.begin(request.raw.socket));
    next(refusal);
  });
  app.setNotFoundHandler((request) => {
    throw new Fault("CONTROL_NOT_FOUND", `there is no ${request.method} ${request.url.split("?")[0] ?? ""}`);
  });
  app.setErrorHandler((thrown, request, reply) => {
    const { fault, isUnexpected } = faultOf(thrown);
    if (isUnexpected)
      log.error(
        { err: thrown, code: fault.code, method: request.method, path: request.url },
        "a control request failed",
      );
    return fail(reply, fault);
  });
  const own = (): ServerFigures => ({ connections: connections.figures(), uploads });
  for (const route of apiRoutes({ source, clock, metrics: new Scrapes(source, own), describe: openApi }))
    register(app, route, source);
  if (options.hooks !== undefined)
    registerHooks(app, options.hooks, {
      isOperator: (request) => isOperator(request, access),
      begin: (request) => connections.begin(request.raw.socket),
    });
  try {
    await app.listen({ host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port === "" ? 80 : url.port) });
  } catch (thrown) {
    await app.close();
    throw new Fault("CONTROL_LISTEN", `the control API cannot listen: ${messageOf(thrown)}`, {
      where: settings.url,
      cause: thrown,
    });
  }
  const address = app.server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { url: `http://${url.hostname}:${port}`, close: (deadlineMs) => close(app, source, deadlineMs) };
}

function protect(reply: FastifyReply): void {
  reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff");
}

/** C5 for what never became a request: the bytes are no HTTP, too many, or too slow. */
function refuseUnread(thrown: NodeJS.ErrnoException, socket: Socket): void {
  if (thrown.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = UNREAD[thrown.code ?? ""] ?? [400, "this is no HTTP request"];
  const title = STATUS_CODES[status] ?? "Error";
  const body = JSON.stringify({ ...problemOf(new Fault("CONTROL_REQUEST", message)), status, title });
  const head = [
    `HTTP/1.1 ${status} ${title}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "cache-control: no-store",
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** C2 and C3. Undefined lets the request in. */
function admit(request: FastifyRequest, access: Access): Fault | undefined {
  const host = request.headers.host ?? "";
  const name = host.startsWith("[") ? host.slice(0, host.indexOf("]") + 1) : host.split(":")[0];
  if (!isLoopback(name ?? "")) return new Fault("CONTROL_HOST", "the Host header names another box");
  // An unknown path asks for a token too: what exists is nobody's business without one.
  const role = request.routeOptions.config.role ?? "viewer";
  if (role === "open") return undefined;
  const token = tokenOf(request);
  if (token === undefined) return new Fault("CONTROL_UNAUTHORIZED", "there is no bearer token");
  const principal = access.whoHas(token);
  if (principal === undefined) return new Fault("CONTROL_UNAUTHORIZED", "the token is not known");
  return mayAct(principal, role) ? undefined : new Fault("CONTROL_DENIED", `this takes the role ${role}`);
}

/** Bears a token that may do more than look. */
function isOperator(request: FastifyRequest, access: Access): boolean {
  const token = tokenOf(request);
  const principal = token === undefined ? undefined : access.whoHas(token);
  return principal !== undefined && mayAct(principal, "deployer");
}

function tokenOf(request: FastifyRequest): string | undefined {
  return /^Bearer ([\x21-\x7e]{1,512})$/i.exec(request.headers.authorization ?? "")?.[1];
}

function register(app: FastifyInstance, route: ApiRoute, source: ControlSource): void {
  app.route({
    method: route.method,
    url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
    config: { role: route.role, bodyMax: route.bodyMax },
    ...(route.bodyMax === undefined ? {} : { bodyLimit: route.bodyMax }),
    handler: async (request, reply) => {
      // It would wait for the disk, and be done long after who asked for it has gone.
      if (route.method !== "GET") source.assertTakesChanges();
      const answer: unknown = await route.run({
        headers: headersOf(request),
        params: check(route.params, request.params, "path") as Record<string, string>,
        query: check(route.query, request.query, "query"),
        body: check(route.body, request.body ?? undefined, "body"),
      });
      if (answer instanceof Streamed) return stream(reply, answer);
      const { status, body, contentType } = answer instanceof Answer ? answer : new Answer(200, answer);
      reply.code(status).type(contentType);
      return reply.send(typeof body === "string" ? body : JSON.stringify(body));
    },
  });
}

/** Until the client goes, or the gateway closes. */
function stream(reply: FastifyReply, { contentType, begin }: Streamed): FastifyReply {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { "content-type": contentType, "cache-control": "no-store", "x-content-type-options": "nosniff" });
  // What is told comes in small pieces, and each at once.
  raw.socket?.setNoDelay(true);
  const end = begin(raw);
  raw.on("error", end).on("close", end);
  return reply;
}

/** One that came twice is none. */
function headersOf({ headers }: FastifyRequest): Readonly<Record<string, string | undefined>> {
  return { "last-event-id": typeof headers["last-event-id"] === "string" ? headers["last-event-id"] : undefined };
}

function check(schema: z.ZodType | undefined, value: unknown, where: string): unknown {
  if (schema === undefined) return {};
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const at = [where, ...(issue?.path ?? [])].map(String).join(".");
  throw new Fault("CONTROL_REQUEST", `${at}: ${issue?.message ?? "is not right"}`);
}

function fail(reply: FastifyReply, fault: Fault): FastifyReply {
  const body = problemOf(fault);
  if (body.status === 429 || body.status === 503) reply.header("retry-after", "1");
  if (body.status === 401) reply.header("www-authenticate", 'Bearer realm="sluice"');
  return reply.code(body.status).type(PROBLEM_TYPE).send(JSON.stringify(body));
}

/** C6. */
async function close(app: FastifyInstance, source: ControlSource, deadlineMs: number): Promise<void> {
  source.stream.close();
  const timer = setTimeout(() => app.server.closeAllConnections(), deadlineMs);
  try {
    await app.close();
  } finally {
    clearTimeout(timer);
  }
}

function noSchema(): never {
  throw new Error("no route has a schema of fastify's");
}

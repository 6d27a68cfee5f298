/** Webhooks: calls from outside that are events for handlers, on the control API's listener, below /hooks. */
import type { IncomingHttpHeaders } from "node:http";
import type { FastifyInstance, FastifyRequest } from "fastify";

/** Who takes them. Both throw the Fault that is the answer. */
export interface Hooks {
  /** By its head, before the body is read. */
  admit(call: HookCall): void;
  /** Resolves with the event's id when it is on disk. */
  call(call: HookCall, body: Buffer): Promise<{ readonly id: string }>;
}

export interface HookCall {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly isOperator: boolean;
}

export const HOOKS_PREFIX = "/hooks";
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/** In a scope of its own: a signature is over the bytes, so nothing here is parsed. */
export function registerHooks(
  app: FastifyInstance,
  hooks: Hooks,
  isOperator: (request: FastifyRequest) => boolean,
): void {
  const callOf = (request: FastifyRequest): HookCall => ({
    method: request.method,
    path: (request.raw.url ?? "").split("?")[0]?.slice(HOOKS_PREFIX.length) ?? "",
    headers: request.headers,
    isOperator: isOperator(request),
  });
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, parsed) => parsed(null, body));
    scope.route({
      method: METHODS,
      url: `${HOOKS_PREFIX}/*`,
      exposeHeadRoute: false,
      config: { role: "open" },
      onRequest: (request, _reply, next) => {
        hooks.admit(callOf(request));
        next();
      },
      handler: async (request, reply) => {
        const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
        const { id } = await hooks.call(callOf(request), body);
        return reply.code(202).type("application/json").send(JSON.stringify({ id }));
      },
    });
    done();
  });
}

/** For the API's description. */
export function hooksPath(problem: unknown): Record<string, unknown> {
  const answer = { type: "object", required: ["id"], properties: { id: { type: "string" } } };
  const failure = { description: "A problem.", content: { "application/problem+json": { schema: problem } } };
  return {
    post: {
      operationId: "callWebhook",
      summary: "Make an event for the handlers that have this webhook.",
      description: "Methods, media types and who may call are the handler's to say; see docs/triggers.md.",
      security: [{ token: [] }, {}],
      parameters: [
        { name: "path", in: "path", required: true, schema: { type: "string" } },
        {
          name: "Idempotency-Key",
          in: "header",
          required: false,
          description: "Names the call: its repeat gets the same answer and makes no second event.",
          schema: { type: "string", maxLength: 255 },
        },
      ],
      requestBody: { content: { "*/*": {} } },
      responses: {
        "202": {
          description: "The event is on disk.",
          content: { "application/json": { schema: answer } },
        },
        default: failure,
      },
    },
  };
}

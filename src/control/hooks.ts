/** Webhooks: calls from outside that are events for handlers, on the control API's listener, below /hooks. */
import type { IncomingHttpHeaders } from "node:http";
import type { FastifyInstance, FastifyRequest } from "fastify";

/** Who takes them. Both throw the Fault that is the answer. */
export interface Hooks {
  /** By its head, before the body is read. */
  admit(call: HookCall): void;
  /** Methods that a path takes; none when it is nobody's. */
  methodsOf(path: string): readonly string[];
  /** Resolves with the event's id when it is on disk. */
  call(call: HookCall, body: Buffer): Promise<{ readonly id: string }>;
}

export interface HookCall {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly isOperator: boolean;
}

export interface HooksDoors {
  readonly isOperator: (request: FastifyRequest) => boolean;
  /** The call is worked on; returns how that ends. */
  readonly begin: (request: FastifyRequest) => () => void;
}

export const HOOKS_PREFIX = "/hooks";
/** The last two are nobody's: they are answered with those that are. */
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/** In a scope of its own: a signature is over the bytes, so nothing here is parsed. */
export function registerHooks(app: FastifyInstance, hooks: Hooks, { isOperator, begin }: HooksDoors): void {
  const callOf = (request: FastifyRequest): HookCall => {
    const url = request.raw.url ?? "";
    const mark = url.indexOf("?");
    return {
      method: request.method,
      path: url.slice(HOOKS_PREFIX.length, mark === -1 ? undefined : mark),
      query: mark === -1 ? "" : url.slice(mark + 1),
      headers: request.headers,
      isOperator: isOperator(request),
    };
  };
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, parsed) => parsed(null, body));
    scope.route({
      method: METHODS,
      url: `${HOOKS_PREFIX}/*`,
      exposeHeadRoute: false,
      config: { role: "open" },
      onRequest: (request, reply, next) => {
        const call = callOf(request);
        const methods = hooks.methodsOf(call.path);
        if (methods.length > 0 && !methods.includes(call.method)) void reply.header("allow", methods.join(", "));
        hooks.admit(call);
        next();
      },
      handler: async (request, reply) => {
        const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
        const end = begin(request);
        const { id } = await hooks.call(callOf(request), body).finally(end);
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

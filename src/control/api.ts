/** The table of routes: what is registered, who may, what goes in and comes out. */
import type { z } from "zod";
import { Fault } from "../fault.ts";
import type { Clock } from "../time.ts";
import type { Role } from "./access.ts";
import { Answer } from "./answer.ts";
import type { ControlSource, DeadLetter, DeadQuery } from "./control.ts";
import { handlerRoutes } from "./handler-routes.ts";
import { stateRoutes } from "./state-routes.ts";
import { streamRoutes } from "./stream-routes.ts";
import { redriveBody, replayRoutes } from "./replay-routes.ts";
import * as shapes from "./shapes.ts";
import { versionRoutes } from "./version-routes.ts";
import type { BulkAnswer, LetterAnswer, LettersAnswer, LetterWholeAnswer, StatusAnswer } from "./shapes.ts";

export interface ApiRoute {
  readonly method: "GET" | "POST" | "DELETE";
  /** OpenAPI's spelling: /api/v1/dead/{id}. */
  readonly path: string;
  readonly name: string;
  readonly summary: string;
  /** The least role that may; "open" needs no token. */
  readonly role: Role | "open";
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** Bytes of the body, where it may have more than others. */
  readonly bodyMax?: number;
  /** The shape of a 200, or a content type when it is no JSON. */
  readonly answer: z.ZodType | string;
  /** What `input` holds was checked against the schemas above. */
  run(input: Input): unknown;
}

export interface Input {
  readonly params: Readonly<Record<string, string>>;
  readonly query: unknown;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

export interface ApiParts {
  readonly source: ControlSource;
  readonly clock: Clock;
  /** The text of /metrics and its content type. */
  readonly metrics: { text(): Promise<string>; readonly contentType: string };
  /** The OpenAPI document of these routes. */
  readonly describe: (routes: readonly ApiRoute[]) => unknown;
}

export function apiRoutes({ source, clock, metrics, describe }: ApiParts): readonly ApiRoute[] {
  const routes: ApiRoute[] = [
    {
      method: "GET",
      path: "/livez",
      name: "live",
      summary: "Whether the process answers.",
      role: "open",
      answer: shapes.liveness,
      run: () => ({ live: true }),
    },
    {
      method: "GET",
      path: "/readyz",
      name: "ready",
      summary: "Whether events are accepted: 200, or 503 with the reasons.",
      role: "open",
      answer: shapes.readiness,
      run: () => {
        const reasons = source.ready();
        return new Answer(reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons });
      },
    },
    {
      method: "GET",
      path: "/metrics",
      name: "metrics",
      summary: "Figures for Prometheus.",
      role: "viewer",
      answer: metrics.contentType,
      run: async () => new Answer(200, await metrics.text(), metrics.contentType),
    },
    {
      method: "GET",
      path: "/api/v1/status",
      name: "status",
      summary: "The ledger, and the state of handlers, uplinks and journal.",
      role: "viewer",
      answer: shapes.status,
      run: () => statusAnswer(source, clock),
    },
    {
      method: "DELETE",
      path: "/api/v1/handlers/{name}/tasks",
      name: "dropTasks",
      summary: "Give up all that waits for a handler or route that is gone; the ledger counts it as dropped.",
      role: "admin",
      params: shapes.handlerName,
      answer: shapes.bulkAnswer,
      run: async ({ params }): Promise<BulkAnswer> => ({ count: await source.dropTasks(params["name"] ?? "") }),
    },
    ...handlerRoutes(source),
    ...versionRoutes(source.versions),
    ...streamRoutes(source.stream, clock),
    ...stateRoutes(source.states),
    ...deadRoutes(source),
    ...replayRoutes(source.replays),
  ];
  const openapi: ApiRoute = {
    method: "GET",
    path: "/api/v1/openapi.json",
    name: "openapi",
    summary: "This description.",
    role: "viewer",
    answer: "application/json",
    run: () => describe([...routes, openapi]),
  };
  return [...routes, openapi];
}

function deadRoutes({ dead }: ControlSource): readonly ApiRoute[] {
  const existing = (id: string | undefined, done: boolean): { count: 1 } => {
    if (!done) throw new Fault("CONTROL_NOT_FOUND", `there is no dead letter ${String(id)}`);
    return { count: 1 };
  };
  return [
    {
      method: "GET",
      path: "/api/v1/dead",
      name: "listDead",
      summary: "Dead letters, oldest first.",
      role: "viewer",
      query: shapes.listQuery,
      answer: shapes.letters,
      run: async ({ query }): Promise<LettersAnswer> => {
        const page = await listPage(dead, query as z.output<typeof shapes.listQuery>);
        return { letters: page.letters.map(letterAnswer), next: page.next };
      },
    },
    {
      method: "GET",
      path: "/api/v1/dead/{id}",
      name: "showDead",
      summary: "One dead letter with its payload.",
      role: "viewer",
      params: shapes.letterId,
      answer: shapes.letterWhole,
      run: async ({ params }) => {
        const found = await dead.get(params["id"] ?? "");
        if (found === undefined)
          throw new Fault("CONTROL_NOT_FOUND", `there is no dead letter ${String(params["id"])}`);
        return letterWholeAnswer(found);
      },
    },
    {
      method: "POST",
      path: "/api/v1/dead/{id}/redrive",
      name: "redriveDead",
      summary: "Try one again; on a version of the handler, as a replay does, when one is named.",
      role: "admin",
      params: shapes.letterId,
      body: redriveBody,
      answer: shapes.bulkAnswer,
      run: async ({ params, body }) => {
        const version = (body as z.output<typeof redriveBody>)?.version;
        return existing(params["id"], await dead.redrive(params["id"] ?? "", version));
      },
    },
    {
      method: "DELETE",
      path: "/api/v1/dead/{id}",
      name: "dropDead",
      summary: "Forget one for good.",
      role: "admin",
      params: shapes.letterId,
      answer: shapes.bulkAnswer,
      run: async ({ params }) => existing(params["id"], await dead.drop(params["id"] ?? "")),
    },
    {
      method: "POST",
      path: "/api/v1/dead/redrive",
      name: "redriveAllDead",
      summary: "Try those of a handler again, or all.",
      role: "admin",
      body: shapes.bulkBody,
      answer: shapes.bulkAnswer,
      run: ({ body }) => each(dead, body, (id) => redriven(dead, id, body)),
    },
    {
      method: "POST",
      path: "/api/v1/dead/drop",
      name: "dropAllDead",
      summary: "Forget those of a handler for good, or all.",
      role: "admin",
      body: shapes.bulkBody,
      answer: shapes.bulkAnswer,
      run: ({ body }) => each(dead, body, (id) => dead.drop(id)),
    },
  ];
}

async function listPage(
  dead: ControlSource["dead"],
  query: DeadQuery,
): Promise<{ readonly letters: readonly DeadLetter[]; readonly next: string | undefined }> {
  const letters = await dead.list(query);
  // A full page may be the last one; then the next is empty.
  return { letters, next: letters.length < query.limit ? undefined : letters.at(-1)?.id };
}

/** One page of dead letters at a time, so that no request grows with their number. */
async function each(
  dead: ControlSource["dead"],
  body: unknown,
  act: (id: string) => Promise<boolean>,
): Promise<BulkAnswer> {
  const { until, ...which } = body as z.output<typeof shapes.bulkBody>;
  const page = await listPage(dead, which);
  const untilMs = until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until);
  const chosen = page.letters.filter(({ timeMs }) => timeMs <= untilMs);
  const acted = await Promise.all(chosen.map(({ id }) => act(id)));
  // Oldest first: behind one that is too young there are only younger ones.
  return { count: acted.filter(Boolean).length, next: chosen.length < page.letters.length ? undefined : page.next };
}

function statusAnswer(source: ControlSource, clock: Clock): StatusAnswer {
  const { startedMs, handlers, uplinks, damage, ...rest } = source.status();
  const reasons = [...source.ready()];
  return {
    gateway: rest.gateway,
    version: rest.version,
    journalId: rest.journalId,
    started: new Date(startedMs).toISOString(),
    uptimeMs: Math.max(0, clock.now() - startedMs),
    ready: reasons.length === 0,
    reasons,
    ledger: rest.ledger,
    unmatched: rest.unmatched,
    handlers: handlers.map((handler) => ({ ...handler, triggers: [...handler.triggers] })),
    uplinks: [...uplinks],
    journal: rest.journal,
    damage: [...damage],
  };
}

function letterAnswer(letter: DeadLetter): LetterAnswer {
  const { id, kind, handler, version, uplink, event, topic, source, key, attempt, timeMs, failure } = letter;
  const died = new Date(timeMs).toISOString();
  return {
    id,
    kind,
    handler,
    version,
    uplink,
    event,
    topic,
    device: source?.device,
    key,
    tries: attempt,
    died,
    failure,
  };
}

function letterWholeAnswer(letter: DeadLetter): LetterWholeAnswer {
  const { payload, source } = letter;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  let data: unknown;
  try {
    data = JSON.parse(bytes.toString("utf8"));
  } catch {
    // No JSON: the bytes say it all.
  }
  const time = source === undefined ? undefined : new Date(source.timeMs).toISOString();
  return { ...letterAnswer(letter), time, data, data_base64: bytes.toString("base64") };
}

/** Those stay that nobody would run, or send; who names such a handler is told. */
async function redriven(dead: ControlSource["dead"], id: string, body: unknown): Promise<boolean> {
  try {
    return await dead.redrive(id);
  } catch (thrown) {
    const { handler } = body as z.output<typeof shapes.bulkBody>;
    const code = thrown instanceof Fault ? thrown.code : undefined;
    if (code === "UPLINK_UNKNOWN" || (handler === undefined && code === "CONTROL_NOT_DEPLOYED")) return false;
    throw thrown;
  }
}

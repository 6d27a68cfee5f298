/** The API's own description, written from the table of routes. */
import { z } from "zod";
import { version } from "../version.ts";
import type { ApiRoute } from "./api.ts";
import { HOOKS_PREFIX, hooksPath } from "./hooks.ts";
import { problem, PROBLEM_TYPE } from "./problem.ts";

/** OpenAPI 3.1, whose schemas are JSON Schema 2020-12: zod writes them as they stand. */
export function openApi(routes: readonly ApiRoute[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route);
  paths[`${HOOKS_PREFIX}/{path}`] = hooksPath(schemaOf(problem, "output"));
  return {
    openapi: "3.1.0",
    info: { title: "Sluice control API", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "The token of <data>/admin.token." } },
    },
  };
}

function operation(route: ApiRoute): Record<string, unknown> {
  const content =
    typeof route.answer === "string"
      ? { [route.answer]: {} }
      : { "application/json": { schema: schemaOf(route.answer, "output") } };
  const failure = { content: { [PROBLEM_TYPE]: { schema: schemaOf(problem, "output") } } };
  return {
    operationId: route.name,
    summary: route.summary,
    ...(route.role === "open" ? { security: [] } : { "x-role": route.role }),
    parameters: [...parameters(route.params, "path"), ...parameters(route.query, "query")],
    ...(route.body === undefined
      ? {}
      : { requestBody: { content: { "application/json": { schema: schemaOf(route.body, "input") } } } }),
    responses: { "200": { description: "OK", content }, default: { description: "A problem.", ...failure } },
  };
}

function parameters(shape: z.ZodObject | undefined, where: "path" | "query"): unknown[] {
  if (shape === undefined) return [];
  const schema = schemaOf(shape, "input") as {
    properties?: Record<string, { description?: string }>;
    required?: string[];
  };
  return Object.entries(schema.properties ?? {}).map(([name, of]) => ({
    name,
    in: where,
    required: where === "path" || (schema.required ?? []).includes(name),
    description: of.description,
    schema: of,
  }));
}

function schemaOf(shape: z.ZodType, io: "input" | "output"): unknown {
  const { $schema: _, ...schema } = z.toJSONSchema(shape, { io, reused: "inline" }) as Record<string, unknown>;
  return schema;
}

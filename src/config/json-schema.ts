/**
 * The schema as JSON Schema (input side): what editors get in config/schema.json, and what this room asks when it must
 * know which names stand where, which texts are paths, and what a setting is for.
 */
import { z } from "zod";
import type { Path } from "./source.ts";

/** The part of JSON Schema that zod writes for our settings. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly format?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
}

export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", reused: "inline" }) as JsonSchema;
}

/** The schemas that may hold at `schema` for `data`: of a union by `kind`, only the one whose kind `data` has. */
export function branches(schema: JsonSchema, data: unknown): readonly JsonSchema[] {
  const options = schema.oneOf ?? schema.anyOf;
  if (options === undefined) return [schema];
  const all = options.flatMap((option) => branches(option, data));
  const fitting = all.filter((option) => constantsFit(option, data));
  return fitting.length === 0 ? all : fitting;
}

/** The schemas at `path` below `schema`, as `data` chooses among the branches. */
export function schemasAt(schema: JsonSchema, data: unknown, path: Path): readonly JsonSchema[] {
  let here = branches(schema, data);
  let value = data;
  for (const part of path) {
    value = child(value, part);
    here = here.flatMap((at) => step(at, part).flatMap((below) => branches(below, value)));
  }
  return here;
}

/** Whether the schema takes any JSON: it says nothing, or refers to zod's own recursive description of JSON. */
export function isFree(schema: JsonSchema): boolean {
  return schema.type === undefined && schema.enum === undefined && schema.const === undefined;
}

/** The schema of the child `part`, if `schema` has such a child. */
export function step(schema: JsonSchema, part: string | number): readonly JsonSchema[] {
  if (typeof part === "number") return schema.items === undefined ? [] : [schema.items];
  const property = schema.properties?.[part];
  if (property !== undefined) return [property];
  return typeof schema.additionalProperties === "object" ? [schema.additionalProperties] : [];
}

export function child(data: unknown, part: string | number): unknown {
  if (typeof data !== "object" || data === null || !Object.hasOwn(data, part)) return undefined;
  return (data as Record<string | number, unknown>)[part];
}

function constantsFit(schema: JsonSchema, data: unknown): boolean {
  const properties = Object.entries(schema.properties ?? {}).filter(([, property]) => property.const !== undefined);
  return properties.length > 0 && properties.every(([name, property]) => child(data, name) === property.const);
}

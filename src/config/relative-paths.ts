/** Relative paths count from the folder of the config file, wherever the gateway was started. */
import { resolve } from "node:path";
import { branches, child, step } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";

/**
 * `data` with each text whose schema has the format "path" made absolute from `folder`, defaults included: a default
 * that zod would fill in later would otherwise count from the working directory.
 */
export function resolvePaths(schema: JsonSchema, data: unknown, folder: string): unknown {
  const options = branches(schema, data);
  if (typeof data === "string") {
    return options.some((option) => option.format === "path") ? resolve(folder, data) : data;
  }
  if (Array.isArray(data)) {
    const items = options.flatMap((option) => (option.items === undefined ? [] : [option.items]));
    return data.map((item: unknown) => items.reduce((value, at) => resolvePaths(at, value, folder), item));
  }
  if (typeof data !== "object" || data === null) return data;
  const resolved = Object.assign(Object.create(null) as Record<string, unknown>, data);
  for (const option of options) {
    for (const name of new Set([...Object.keys(resolved), ...Object.keys(option.properties ?? {})])) {
      // `uplinks:` with nothing under it, or with comments only, is the section left out.
      if (resolved[name] === null && option.properties?.[name] !== undefined) delete resolved[name];
      for (const below of step(option, name)) {
        const value = child(resolved, name) ?? defaultWithPaths(below);
        if (value !== undefined) resolved[name] = resolvePaths(below, value, folder);
      }
    }
  }
  return resolved;
}

/** The default of a setting that is a path, or of a section in which one may stand. */
function defaultWithPaths(schema: JsonSchema): unknown {
  const isSection = schema.properties !== undefined;
  return schema.format === "path" || isSection ? schema.default : undefined;
}

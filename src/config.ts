/**
 * Door of the config: one YAML file, checked by one schema, to one read-only object.
 *
 * Mechanism. The text becomes plain data with the place of each setting, and variables are put in (config/source.ts).
 * Removed settings are looked for, relative paths are made absolute, the rooms' zod schemas (composed in
 * config/sections.ts) check the data, and names that refer to each other are compared. The same schemas give
 * config/schema.json and docs/config.md.
 *
 * F1  All problems of a file are reported at once, each with file:line:column, a remedy and a code.
 * F2  A variable's value can only become a scalar; it never appears in a problem's text (G8).
 * F3  Unknown settings are problems, never ignored.
 * F4  A config that was read is complete: each default filled in, each path absolute, each duration in milliseconds and
 *     each size in bytes.
 */
import { readFile, stat } from "node:fs/promises";
import { existsSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import type { z } from "zod";
import { problemsOf } from "./config/issues.ts";
import { child, isFree, jsonSchemaOf, schemasAt } from "./config/json-schema.ts";
import type { JsonSchema } from "./config/json-schema.ts";
import { ConfigFault } from "./config/problem.ts";
import type { ConfigProblem } from "./config/problem.ts";
import { findUnusableFiles } from "./config/named-files.ts";
import { findReferences } from "./config/references.ts";
import { resolvePaths } from "./config/relative-paths.ts";
import { findRemoved, REMOVED_SETTINGS } from "./config/removed.ts";
import type { RemovedSetting } from "./config/removed.ts";
import { findMissingSecrets } from "./config/secrets.ts";
import { settings } from "./config/sections.ts";
import { readSource } from "./config/source.ts";
import type { Environment, Path } from "./config/source.ts";
import { Fault, messageOf } from "./fault.ts";

export { diffConfig } from "./config/changes.ts";
export { readSecrets } from "./config/secrets.ts";
export { ConfigFault } from "./config/problem.ts";
export type { ConfigProblem } from "./config/problem.ts";
export type { Environment } from "./config/source.ts";

/** Lists keep their own type, so that each section fits what its room declares; they are frozen all the same. */
type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Name in keyof T]: DeepReadonly<T[Name]> }
    : T;

/** What a config file came to: see F4. */
export type Config = DeepReadonly<z.output<typeof settings>>;

/** A config file larger than this is a mistake. */
const FILE_BYTES_MAX = 1024 * 1024;

/** Where the config is looked for when nobody names it. */
const USUAL_PLACES = ["config/sluice.yaml", "sluice.yaml"];

let schema: JsonSchema | undefined;

/** The schema for editors; what config/schema.json holds. */
export function configJsonSchema(): JsonSchema {
  return (schema ??= jsonSchemaOf(settings));
}

/**
 * The file that `loadConfig` would read, absolute: `path`, else SLUICE_CONFIG, else config/sluice.yaml or sluice.yaml in
 * the working directory. Throws CONFIG_UNREADABLE when none of these is there.
 */
export function configFile(path: string | undefined, env: Environment, cwd = process.cwd()): string {
  const named = path ?? (env["SLUICE_CONFIG"] === "" ? undefined : env["SLUICE_CONFIG"]);
  if (named !== undefined) return resolve(cwd, named);
  const found = USUAL_PLACES.map((place) => resolve(cwd, place)).find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new Fault("CONFIG_UNREADABLE", `there is no ${USUAL_PLACES.join(" and no ")} here`, {
    where: cwd,
    remedy: "Go where the config is, name it with --config or SLUICE_CONFIG, or let `sluice init` write one.",
  });
}

/**
 * `files`: for who will use them, the files that uplinks name and the secrets are looked at as well. Throws CONFIG_UNREADABLE, or a
 * {@link ConfigFault} with all that is wrong (F1).
 */
export async function loadConfig(
  path: string | undefined,
  env: Environment,
  { files = false }: { readonly files?: boolean } = {},
): Promise<Config> {
  const file = configFile(path, env);
  const shown = shownPath(file);
  let text: string;
  try {
    const { size } = await stat(file);
    if (size > FILE_BYTES_MAX)
      throw new Fault("CONFIG_UNREADABLE", `it is larger than ${FILE_BYTES_MAX} bytes`, { where: shown });
    text = await readFile(file, "utf8");
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault("CONFIG_UNREADABLE", `the config cannot be read: ${messageOf(thrown)}`, {
      where: shown,
      cause: thrown,
    });
  }
  return parseConfig(text, { file, env, files });
}

export interface ParseOptions {
  /** Absolute path of the file that the text is of: relative paths count from its folder. */
  readonly file: string;
  readonly env: Environment;
  readonly removed?: readonly RemovedSetting[];
  /** Whether the files that uplinks name must be there, and the values of secrets. */
  readonly files?: boolean;
}

/** Throws a {@link ConfigFault} with all that is wrong (F1). */
export function parseConfig(text: string, options: ParseOptions): Config {
  const source = readSource(text, options.env);
  const shown = shownPath(options.file);
  if (source.problems.some((problem) => problem.code === "CONFIG_SYNTAX"))
    throw new ConfigFault(shown, source.problems);

  const schema = configJsonSchema();
  const removed = findRemoved(source, options.removed ?? REMOVED_SETTINGS);
  let data = source.data;
  for (const { path } of removed) data = without(data, path);
  data = resolvePaths(schema, data, dirname(options.file));

  // Where anything may stand (params of a handler), an unquoted variable reads as YAML would read its value.
  for (const path of source.bareVariables) {
    if (schemasAt(schema, data, path).some(isFree)) data = changed(data, path, scalarOf);
  }

  let result = settings.safeParse(data);
  if (!result.success) {
    // A variable's text where a number or a flag is wanted: read it as one, now that the schema has said so.
    for (const issue of result.error.issues) {
      const path = issue.path as Path;
      if (issue.code === "invalid_type" && source.fromEnvironment(path)) data = withScalar(data, path, issue.expected);
    }
    result = settings.safeParse(data);
  }

  const problems: ConfigProblem[] = [...source.problems, ...removed];
  if (!result.success) problems.push(...problemsOf(result.error.issues, source, data, schema));
  problems.push(...findReferences(data, source));
  if (options.files === true)
    problems.push(...findUnusableFiles(data, source), ...findMissingSecrets(data, source, options.env));
  if (problems.length > 0 || !result.success) throw new ConfigFault(shown, problems);
  return deepFreeze(result.data);
}

/** As a person would type it: relative when the file lies below the working directory. */
function shownPath(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith("..") ? file : path;
}

function scalarOf(value: unknown): unknown {
  if (value === "true" || value === "false") return value === "true";
  return typeof value === "string" && /^-?(0|[1-9]\d*)(\.\d+)?$/.test(value) ? Number(value) : value;
}

function withScalar(data: unknown, path: Path, expected: string): unknown {
  return changed(data, path, (value) => {
    if (expected === "boolean" && (value === "true" || value === "false")) return value === "true";
    const isNumber = (expected === "number" || expected === "int") && typeof value === "string" && value.trim() !== "";
    return isNumber && Number.isFinite(Number(value)) ? Number(value) : value;
  });
}

function without(data: unknown, path: Path): unknown {
  return changed(data, path, () => undefined);
}

/** A copy of `data` in which the value at `path` is `change(value)`; undefined takes the setting out. */
function changed(data: unknown, path: Path, change: (value: unknown) => unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return change(data);
  if (typeof data !== "object" || data === null) return data;
  const value = changed(child(data, first), rest, change);
  if (Array.isArray(data)) return data.map((item: unknown, index) => (index === first ? value : item));
  const copy = Object.assign(Object.create(null) as Record<string | number, unknown>, data);
  if (value === undefined) delete copy[first];
  else copy[first] = value;
  return copy;
}

function deepFreeze<T>(value: T): DeepReadonly<T> {
  if (typeof value === "object" && value !== null) for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value) as DeepReadonly<T>;
}

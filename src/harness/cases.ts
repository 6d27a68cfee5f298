/** Files of cases: where they are, and what they say. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { problemsOf } from "../config/issues.ts";
import { jsonSchemaOf } from "../config/json-schema.ts";
import type { JsonSchema } from "../config/json-schema.ts";
import { ConfigFault } from "../config/problem.ts";
import type { ConfigProblem } from "../config/problem.ts";
import { readSource } from "../config/source.ts";
import type { Path } from "../config/source.ts";
import { Fault, messageOf } from "../fault.ts";
import { casesSchema } from "./cases-schema.ts";
import type { CasesFile } from "./cases-schema.ts";

export interface Cases {
  /** Absolute. */
  readonly path: string;
  /** As a person would type it. */
  readonly shown: string;
  readonly content: CasesFile;
  /** Line and column of the value at `path`, from 1. */
  place(path: Path): { readonly line: number; readonly column: number };
}

/** `name.cases.yaml`, `name.edges.cases.yaml`: of the handler `name`. */
const CASES = /\.cases\.ya?ml$/;
const FILE_BYTES_MAX = 4 * 1024 * 1024;

let schema: JsonSchema | undefined;

/** For editors; what config/cases.schema.json holds. */
export function casesJsonSchema(): JsonSchema {
  return (schema ??= jsonSchemaOf(casesSchema));
}

export interface FoundCases {
  readonly handler: string;
  readonly path: string;
}

/** All files of cases in the handlers' folder, and in the folders of handlers, in the order of their names. */
export async function findCases(dir: string, handlers: Iterable<string>): Promise<readonly FoundCases[]> {
  const found: FoundCases[] = [];
  const names = new Set(handlers);
  for (const name of await filesIn(dir)) found.push({ handler: handlerOf(name), path: join(dir, name) });
  for (const handler of names) {
    for (const name of await filesIn(join(dir, handler))) found.push({ handler, path: join(dir, handler, name) });
  }
  return found.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

async function filesIn(dir: string): Promise<string[]> {
  const names: readonly string[] = await readdir(dir).catch((): string[] => []);
  return names.filter((name) => CASES.test(name) && !name.startsWith("."));
}

/** "overheat" of overheat.edges.cases.yaml. */
export function handlerOf(path: string): string {
  return basename(path).replace(/\..*$/, "");
}

/** Throws Fault CASES_UNREADABLE, or a ConfigFault with all that is wrong. */
export async function readCases(path: string): Promise<Cases> {
  const shown = shownPath(path);
  let text: string;
  try {
    const found = await stat(path);
    // A pipe may never end, nor a device.
    if (!found.isFile()) throw new Error("it is no regular file");
    const { size } = found;
    if (size > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX} bytes`);
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new Fault("CASES_UNREADABLE", `the cases cannot be read: ${messageOf(cause)}`, { where: shown, cause });
  }
  const source = readSource(text, undefined);
  if (source.problems.length > 0) throw new ConfigFault(shown, source.problems.map(ofCases));
  const result = casesSchema.safeParse(source.data);
  if (!result.success) {
    throw new ConfigFault(shown, problemsOf(result.error.issues, source, source.data, casesJsonSchema()).map(ofCases));
  }
  return { path, shown, content: result.data, place: (at) => source.place(at) };
}

/** The config's reader speaks of the config. */
function ofCases(problem: ConfigProblem): ConfigProblem {
  return { ...problem, code: "CASES_INVALID", message: problem.message.replace(/^the config /, "the file ") };
}

export function shownPath(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith("..") ? file : path;
}

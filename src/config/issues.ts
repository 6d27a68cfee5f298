/** What zod found, as problems that a person can act on: place, plain words, what to write instead. */
import type { z } from "zod";
import { FAULTS } from "../fault.ts";
import type { FaultCode } from "../fault.ts";
import { child, schemasAt } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { settingName } from "./problem.ts";
import type { ConfigProblem } from "./problem.ts";
import { nearest } from "./similar.ts";
import type { Path, Source } from "./source.ts";

type Issue = z.core.$ZodIssue;

/** The problems of `issues`, without those that only follow from another. */
export function problemsOf(
  issues: readonly Issue[],
  source: Source,
  data: unknown,
  schema: JsonSchema,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const suggested = new Set<string>();
  for (const issue of flatten(issues)) {
    const path = issue.path as Path;
    if (source.isBroken(path)) continue;
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys) {
        const { problem, meant } = unknownSetting([...path, key], source, data, schema);
        problems.push(problem);
        if (meant !== undefined) suggested.add(settingName([...path, meant]));
      }
      continue;
    }
    problems.push(describe(issue, path, source, data));
  }
  // "x is missing" says nothing new beside "unknown setting, did you mean x".
  return problems.filter(
    (problem) => !(problem.message.endsWith(" is missing") && suggested.has(settingName(problem.path))),
  );
}

/** The issues inside of a union's option that came closest, in place of "no option fits". */
function flatten(issues: readonly Issue[], above: Path = []): Issue[] {
  return issues.flatMap((issue) => {
    const path = [...above, ...(issue.path as Path)];
    if (issue.code !== "invalid_union" || issue.errors.length === 0) return [{ ...issue, path }];
    const depth = (option: readonly Issue[]): number => Math.max(0, ...option.map((inner) => inner.path.length));
    const best = issue.errors.reduce((left, right) => (depth(right) > depth(left) ? right : left));
    return depth(best) === 0 ? [{ ...issue, path }] : flatten(best, path);
  });
}

function unknownSetting(
  path: Path,
  source: Source,
  data: unknown,
  schema: JsonSchema,
): { problem: ConfigProblem; meant: string | undefined } {
  const name = String(path.at(-1));
  const known = schemasAt(schema, data, path.slice(0, -1)).flatMap((at) => Object.keys(at.properties ?? {}));
  const meant = nearest(name, known);
  const elsewhere = meant === undefined ? nearestSections(path, name, data, schema).slice(0, 3) : [];
  let remedy = `Known here: ${known.join(", ")}.`;
  if (meant !== undefined) remedy = `Did you mean \`${meant}\`?`;
  else if (elsewhere.length > 0) remedy = `\`${name}\` belongs under ${elsewhere.join(" or ")}.`;
  return {
    meant,
    problem: {
      code: "CONFIG_UNKNOWN",
      path,
      message: `there is no setting \`${settingName(path)}\``,
      remedy,
      ...source.keyPlace(path),
    },
  };
}

function describe(issue: Issue, path: Path, source: Source, data: unknown): ConfigProblem {
  const name = path.length === 0 ? "the config" : `\`${settingName(path)}\``;
  const value = path.reduce<unknown>((at, part) => child(at, part), data);
  const place = source.place(path);
  if (value === undefined && issue.code !== "custom") {
    return { code: "CONFIG_INVALID", path, message: `${name} is missing`, ...place };
  }
  const isSecret = source.fromEnvironment(path) || SECRET_NAME.test(String(path.at(-1)));
  const shown =
    typeof value === "string" && !isSecret ? `, not ${JSON.stringify(withoutLogin(value.slice(0, 80)))}` : "";
  const { message: plain, remedy } = wording(issue, isSecret && typeof value === "number" ? Number.NaN : value, shown);
  return { code: codeOf(issue), path, message: `${name} ${quoted(plain, issue, value, isSecret)}`, remedy, ...place };
}

/** A setting whose value is nobody's business, wherever it came from. */
const SECRET_NAME = /pass|secret|token/i;

/** F2: a room's own words may quote the value; what is or may be a secret is taken out of them. */
function quoted(message: string, issue: Issue, value: unknown, isSecret: boolean): string {
  if (issue.code !== "custom" && issue.code !== "invalid_format") return message;
  const isLong = typeof value === "string" && value.length > 2;
  return withoutLogin(isSecret && isLong ? message.replaceAll(value, "…") : message);
}

/** A url without its user name and password. */
function withoutLogin(text: string): string {
  return text.replaceAll(/\/\/[^@/\s"]*@/g, "//…@");
}

function wording(issue: Issue, value: unknown, shown: string): { message: string; remedy?: string | undefined } {
  switch (issue.code) {
    case "invalid_type":
      return { message: `must be ${kindNames[issue.expected] ?? issue.expected}, not ${kindOf(value)}` };
    case "invalid_value":
      return oneOf(issue.values.map(String), value, shown);
    case "invalid_union":
      return oneOf("options" in issue && Array.isArray(issue.options) ? issue.options.map(String) : [], value, shown);
    case "too_small":
      return {
        message: `is too small: ${issue.inclusive === false ? "more than" : "at least"} ${String(issue.minimum)}${issue.origin === "string" ? " characters" : ""}`,
      };
    case "too_big":
      return {
        message: `is too large: at most ${String(issue.maximum)}${issue.origin === "string" ? " characters" : ""}`,
      };
    case "invalid_key":
      return { message: `is no good name: ${issue.issues.map((inner) => inner.message).join("; ")}` };
    case "custom": {
      const remedy: unknown = issue.params?.["remedy"];
      return { message: issue.message, remedy: typeof remedy === "string" ? remedy : undefined };
    }
    default:
      return { message: `is wrong${shown.replace(/^, not (.*)$/, " ($1)")}: ${issue.message}` };
  }
}

function oneOf(options: readonly string[], value: unknown, shown: string): { message: string; remedy?: string } {
  const meant = typeof value === "string" ? nearest(value, options) : undefined;
  const message =
    options.length === 0 ? `fits none of its forms${shown}` : `must be one of ${options.join(", ")}${shown}`;
  return meant === undefined ? { message } : { message, remedy: `Did you mean ${meant}?` };
}

/** A room's check names its own fault in `params.fault`. */
function codeOf(issue: Issue): FaultCode {
  const named: unknown = issue.code === "custom" ? issue.params?.["fault"] : undefined;
  return typeof named === "string" && Object.hasOwn(FAULTS, named) ? (named as FaultCode) : "CONFIG_INVALID";
}

const kindNames: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a section with settings of its own",
  record: "a section with settings of its own",
  array: "a list",
};

function kindOf(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a section";
  if (Number.isNaN(value)) return "a number";
  return typeof value === "string" ? "text" : `the ${typeof value} ${JSON.stringify(value)}`;
}

/** For a setting that stands in the wrong section: those that have it, the nearest around where it stands. */
function nearestSections(path: Path, name: string, data: unknown, schema: JsonSchema): string[] {
  for (let depth = path.length - 1; depth >= 0; depth--) {
    const around = path.slice(0, depth);
    const found = schemasAt(schema, data, around).flatMap((at) => sectionsWith(at, name, around));
    if (found.length > 0) return found;
  }
  return [];
}

/** Names of the sections at or below `above`, whose schema this is, that have a setting `name`. */
function sectionsWith(schema: JsonSchema, name: string, above: Path): string[] {
  const { properties = {}, additionalProperties: each } = schema;
  const inside = Object.entries(properties);
  if (typeof each === "object") inside.push(["<name>", each]);
  const below = inside.flatMap(([key, at]) => sectionsWith(at, name, [...above, key]));
  const here = above.length > 0 && schema.properties?.[name] !== undefined ? [`\`${settingName(above)}\``] : [];
  return [...here, ...below];
}

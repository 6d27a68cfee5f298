/**
 * The pages and files that are written from the code: config/schema.json, docs/config.md, docs/metrics.md, and the order
 * of docs/faults.md. `node scripts/generate.ts` writes them; a test fails when one is behind.
 */
import { configJsonSchema } from "../src/config.ts";
import type { JsonSchema } from "../src/config/json-schema.ts";
import { METRICS } from "../src/control/metric-table.ts";
import { casesJsonSchema } from "../src/harness/cases.ts";
import { FAULTS } from "../src/fault.ts";

export function schemaFile(): string {
  return `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
}

export function casesSchemaFile(): string {
  return `${JSON.stringify(casesJsonSchema(), null, 2)}\n`;
}

export function configPage(): string {
  const schema = configJsonSchema();
  const sections = Object.entries(schema.properties ?? {}).map(([name, section]) =>
    [`## ${name}`, section.description ?? "", ...rows(section, name)].join("\n\n"),
  );
  return `${[
    "# Settings",
    "<!-- Written by `node scripts/generate.ts` from the schema: change the descriptions there. -->",
    INTRODUCTION,
    ...sections,
  ].join("\n\n")}\n`;
}

const INTRODUCTION = `One YAML 1.2 file: the one that \`--config\` or \`SLUICE_CONFIG\` names, else \`config/sluice.yaml\` or \`sluice.yaml\` where the
command is run. Every setting that is not marked *required* has a default. Unknown settings are errors. Sizes read \`64KB\`, \`1GB\` (a KB is
1,024 bytes), durations \`500ms\`, \`10s\`, \`5m\`, \`24h\`, \`7d\`. Relative paths count from the folder of the file.

\`\${NAME}\` in a text is replaced from the environment, \`\${NAME:default}\` falls back to the default, \`$\${\` stands for \`\${\` itself. What is put in
never becomes more than that one text. Inside of \`{…}\` and \`[…]\`, put quotes around such a text.

SIGHUP has a running gateway read the file again. A file with a mistake changes nothing. The log says which settings wait for a restart.`;

interface Row {
  readonly setting: string;
  readonly takes: string;
  readonly byDefault: string;
  readonly about: string;
}

function rows(section: JsonSchema, name: string): string[] {
  const variants = variantsOf(section, name);
  return variants.map(({ title, found }) => {
    const lines = found.map(
      ({ setting, takes, byDefault, about }) => `| \`${setting}\` | ${takes} | ${byDefault} | ${about} |`,
    );
    const head = title === undefined ? [] : [title, ""];
    return lines.length === 0
      ? ""
      : [...head, "| setting | takes | default | what it is |", "|---|---|---|---|", ...lines].join("\n");
  });
}

/** A table for the section, and one for each kind where settings depend on `kind`. */
function variantsOf(section: JsonSchema, name: string): { title?: string; found: Row[] }[] {
  const named = typeof section.additionalProperties === "object" ? section.additionalProperties : undefined;
  const kinds = named?.oneOf ?? (named?.anyOf === undefined ? undefined : named.anyOf);
  if (named !== undefined && kinds !== undefined) {
    return kinds.map((kind) => ({
      title: `### kind: ${String(kind.properties?.["kind"]?.const)}${kind.description === undefined ? "" : `\n\n${kind.description}`}`,
      found: rowsOf(kind, `${name}.<name>`),
    }));
  }
  return [{ found: rowsOf(section, name) }];
}

function rowsOf(schema: JsonSchema, path: string, required = false): Row[] {
  const inner: Row[] = [];
  for (const [name, of] of Object.entries(schema.properties ?? {})) {
    inner.push(...rowsOf(of, `${path}.${name}`, (schema.required ?? []).includes(name)));
  }
  if (typeof schema.additionalProperties === "object")
    inner.push(...rowsOf(schema.additionalProperties, `${path}.<name>`));
  if (schema.items?.properties !== undefined) inner.push(...rowsOf(schema.items, `${path}[]`));
  if (inner.length > 0) return inner;
  const byDefault =
    schema.default === undefined ? (required ? "*required*" : "") : `\`${JSON.stringify(schema.default)}\``;
  return [{ setting: path, takes: takes(schema), byDefault: cell(byDefault), about: cell(schema.description ?? "") }];
}

function takes(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(", ");
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) return [...new Set(options.map(takes))].join(" or ");
  if (schema.format === "path") return "path";
  if (schema.pattern?.includes("KB") === true) return "size";
  if (schema.pattern?.includes("ms") === true) return "duration";
  if (schema.type === "array") return `list of ${schema.items === undefined ? "anything" : takes(schema.items)}`;
  if (schema.type === "object") return "section";
  if (schema.type === "string") return "text";
  if (schema.type === "boolean") return "`true`, `false`";
  if (schema.type !== "integer" && schema.type !== "number") return "anything";
  const { minimum, maximum } = schema;
  const isBounded = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
  const what = schema.type === "integer" ? "whole number" : "number";
  if (minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER)
    return isBounded ? `${what}, ${minimum} to ${maximum}` : `${what} from ${minimum}`;
  return isBounded ? `${what} up to ${maximum}` : what;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

/** `process`: the metrics of the process itself, which prom-client adds. */
export function metricsPage(
  process: readonly { readonly name: string; readonly type: string; readonly help: string }[],
): string {
  const line = (name: string, type: string, labels: readonly string[], help: string): string =>
    `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${cell(help)} |`;
  const head = ["| metric | type | labels | what it says |", "|---|---|---|---|"];
  return `${[
    "# Metrics",
    "<!-- Written by `node scripts/generate.ts` from the table of metrics: change the texts there. -->",
    `\`GET /metrics\` on the control url gives these in Prometheus' text format, to who has a token. A counter counts from the start of the gateway,
except for those of the ledger, which live in the journal and go on across restarts.`,
    `\`\`\`yaml
scrape_configs:
  - job_name: sluice
    authorization: { type: Bearer, credentials_file: /path/to/data/admin.token }
    static_configs: [{ targets: ["127.0.0.1:8080"] }]
\`\`\``,
    [...head, ...METRICS.map(({ name, type, labels, help }) => line(name, type, labels, help))].join("\n"),
    "## Of the process",
    [...head, ...process.map(({ name, type, help }) => line(name, type, [], help))].join("\n"),
  ].join("\n\n")}\n`;
}

/** The page of faults with its groups and sections in the order of the table; text is kept as it is. */
export function faultsPage(page: string): string {
  const order = Object.keys(FAULTS);
  const rank = (text: string): number => {
    const codes = [...text.matchAll(/^### ([A-Z0-9_]+)$/gm)].map(([, code]) => order.indexOf(code ?? ""));
    return Math.min(order.length, ...codes.filter((index) => index >= 0));
  };
  const inOrder = (parts: readonly string[]): string[] => [...parts].sort((a, b) => rank(a) - rank(b));
  const [intro = "", ...groups] = page.trimEnd().split(/^(?=## )/m);
  const sorted = inOrder(groups).map((group) => {
    const [head = "", ...sections] = group.trimEnd().split(/^(?=### )/m);
    return [head.trimEnd(), ...inOrder(sections).map((section) => section.trimEnd())].join("\n\n");
  });
  return `${[intro.trimEnd(), ...sorted].join("\n\n")}\n`;
}

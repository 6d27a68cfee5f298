/**
 * Takes the figures and prints them: a table, or with --json one object and nothing else on stdout. What is going on
 * goes to stderr. Exit status: 0 measured, 1 something could not be measured (or, with --strict, a bar is not held),
 * 2 usage.
 */
import { parseArgs } from "node:util";
import { EXPERIMENTS } from "./experiments.ts";
import { FIGURES, holds } from "./figures.ts";
import type { Figure, Reading } from "./figures.ts";

const USAGE = `usage: npm run bench -- [--only NAME]… [--json] [--strict] [--list]

  --only NAME  take this figure only; may be given several times
  --json       {"figures": [{"name", "value", "unit", "bar", "holds"}]} on stdout
  --strict     exit with status 1 when a bar is not held
  --list       names and bars, without measuring
`;

const options = {
  only: { type: "string", multiple: true },
  json: { type: "boolean" },
  strict: { type: "boolean" },
  list: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

function usage(message: string): never {
  process.stderr.write(`${message}\n${USAGE}`);
  process.exit(2);
}

function argumentsOf(argv: string[]): ReturnType<typeof parseArgs<{ options: typeof options }>>["values"] {
  try {
    return parseArgs({ args: argv, options }).values;
  } catch (thrown) {
    return usage(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

const barOf = ({ bar, unit }: Figure): string => `${bar.sense === "at least" ? "≥" : "≤"} ${bar.value}${unitOf(unit)}`;
const unitOf = (unit: Figure["unit"]): string => (unit === "ratio" ? "" : ` ${unit}`);

async function measure(asked: ReadonlySet<string>): Promise<Map<string, Reading | Error>> {
  const found = new Map<string, Reading | Error>();
  for (const experiment of EXPERIMENTS) {
    const names = experiment.figures.filter((name) => asked.has(name));
    if (names.length === 0) continue;
    process.stderr.write(`measuring ${names.join(", ")} …\n`);
    try {
      const readings = await experiment.run(new Set(names));
      for (const name of names) found.set(name, readings[name] ?? new Error("the experiment did not take it"));
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      process.stderr.write(`${names.join(", ")}: ${error.message}\n`);
      for (const name of names) found.set(name, error);
    }
  }
  return found;
}

function printTable(figures: readonly Figure[], found: ReadonlyMap<string, Reading | Error>): void {
  for (const figure of figures) {
    const reading = found.get(figure.name);
    const taken = reading !== undefined && !(reading instanceof Error);
    const value = taken ? `${reading.value}${unitOf(figure.unit)}` : "not measured";
    const verdict = taken ? (holds(figure, reading.value) ? "holds" : "DOES NOT HOLD") : "—";
    process.stdout.write(
      `${figure.name.padEnd(18)} ${value.padStart(12)}   bar ${barOf(figure).padEnd(10)} ${verdict}\n` +
        `    ${figure.title}\n    how: ${figure.how}\n` +
        `    ${taken ? `seen: ${reading.detail}` : `failed: ${reading?.message.split("\n")[0] ?? "not run"}`}\n\n`,
    );
  }
}

function printJson(figures: readonly Figure[], found: ReadonlyMap<string, Reading | Error>): void {
  const rows = figures.map((figure) => {
    const reading = found.get(figure.name);
    const value = reading === undefined || reading instanceof Error ? null : reading.value;
    const detail = reading === undefined ? "" : reading instanceof Error ? reading.message : reading.detail;
    const { name, unit, bar } = figure;
    return {
      name,
      value,
      unit,
      bar: bar.value,
      holds: value !== null && holds(figure, value),
      sense: bar.sense,
      detail,
    };
  });
  process.stdout.write(`${JSON.stringify({ figures: rows })}\n`);
}

// Leaving by process.exit ends what was started; see processes.ts.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));
const values = argumentsOf(process.argv.slice(2));
if (values.help === true) {
  process.stdout.write(USAGE);
  process.exit(0);
}
if (values.list === true) {
  for (const figure of FIGURES)
    process.stdout.write(`${figure.name.padEnd(18)} ${barOf(figure).padEnd(10)} ${figure.title}\n`);
  process.exit(0);
}
for (const name of values.only ?? []) {
  if (!FIGURES.some((figure) => figure.name === name)) usage(`there is no figure ${name}; --list shows them`);
}
const figures = FIGURES.filter((figure) => values.only === undefined || values.only.includes(figure.name));
const found = await measure(new Set(figures.map((figure) => figure.name)));
if (values.json === true) printJson(figures, found);
else printTable(figures, found);

const failed = [...found.values()].some((reading) => reading instanceof Error);
const missed = figures.some((figure) => {
  const reading = found.get(figure.name);
  return reading === undefined || reading instanceof Error || !holds(figure, reading.value);
});
process.exit(failed || (values.strict === true && missed) ? 1 : 0);

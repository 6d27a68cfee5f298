/**
 * What a command says: data to stdout, everything else to stderr. Colours only where the stream is a terminal and
 * NO_COLOR is not set; questions only where somebody can answer.
 */
import { createInterface } from "node:readline/promises";
import { styleText } from "node:util";
import { Fault, messageOf } from "../fault.ts";
import { harmless, plain } from "../plain.ts";

export type Style = Parameters<typeof styleText>[0];

/** One line of data. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One JSON document on one line: NDJSON when there are several. */
export function printJson(value: unknown): void {
  print(harmless(JSON.stringify(value)));
}

/** One line for the person, not part of the data. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** What, where, how to mend it, the code. `command`: the one that was called, for its help. */
export function sayFault(thrown: unknown, command = "<command>"): void {
  if (thrown instanceof Fault)
    say(
      `${paint("red", "error", process.stderr)}: ${explained(thrown).replace("help <command>", () => `help ${plain(command)}`)}`,
    );
  else
    say(
      `${paint("red", "error", process.stderr)}: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown)}`,
    );
}

/** A fault's explanation on lines of its own; it may quote file names and what others sent. */
export function explained(fault: Fault): string {
  return fault.explain().split("\n").map(plain).join("\n");
}

export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(style, text, { stream });
}

/** The least of a table's last column that is shown, however narrow the terminal is. */
const LAST_COLUMN_MIN = 20;

/** How wide stdout is, in characters; undefined where it is no terminal, for then nothing is cut. */
export function terminalWidth(): number | undefined {
  const { isTTY, columns } = process.stdout;
  return isTTY && columns > 0 ? columns : undefined;
}

/**
 * Columns as wide as their widest cell; numbers, and "-" where there is none, to the right. Cells must not hold control
 * characters. With a `width`, the last column is cut to what is left of it.
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  width = Infinity,
): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => String(row[column] ?? "").length)),
  );
  const last = head.length - 1;
  const before = widths.slice(0, last).reduce((sum, columns) => sum + columns + 2, 0);
  const lastMax = Math.max(LAST_COLUMN_MIN, width - before);
  const line = (row: readonly (string | number)[]): string =>
    row
      .map((cell, column) => {
        const columns = widths[column] ?? 0;
        if (typeof cell === "number" || cell === "-") return String(cell).padStart(columns);
        return column === last ? cut(cell, lastMax) : cell.padEnd(columns);
      })
      .join("  ")
      .trimEnd();
  return [paint("bold", line(head)), ...rows.map(line)].join("\n");
}

function cut(text: string, charsMax: number): string {
  return text.length > charsMax ? `${text.slice(0, charsMax - 1)}…` : text;
}

/** Asks before something that cannot be undone. Throws CLI_NOT_CONFIRMED when nobody can answer, or the answer is no. */
export async function confirm(question: string, yes: boolean): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new Fault("CLI_NOT_CONFIRMED", "this cannot be undone, and there is no terminal to ask on");
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await asking.question(`${question} [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new Fault("CLI_NOT_CONFIRMED", "nothing was done");
  } finally {
    asking.close();
  }
}

/** "3d 4h", "5m 12s", "800ms": for people, two units at the most. */
export function showDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const units: readonly (readonly [string, number])[] = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1000],
  ];
  const first = units.findIndex(([, size]) => ms >= size);
  let rest = ms;
  return units
    .slice(first, first + 2)
    .map(([unit, size]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return count === 0 ? "" : `${count}${unit}`;
    })
    .filter((part) => part !== "")
    .join(" ");
}

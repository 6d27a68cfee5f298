/** Rig: a table on the terminal, numbers to the right. */
export type Cell = string | number;

export function printTable(head: readonly string[], rows: readonly (readonly Cell[])[], below = ""): void {
  const all: readonly (readonly Cell[])[] = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => String(row[column] ?? "").length)));
  const isText = head.map((_, column) => rows.every((row) => typeof row[column] === "string"));
  const line = (row: readonly Cell[]): string =>
    row
      .map((cell, at) =>
        isText[at] === true ? String(cell).padEnd(widths[at] ?? 0) : String(cell).padStart(widths[at] ?? 0),
      )
      .join("  ")
      .trimEnd();
  process.stderr.write(`\n${all.map(line).join("\n")}\n${below === "" ? "" : `${below}\n`}\n`);
}

/** The value below which `share` of the values lie; 0 of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

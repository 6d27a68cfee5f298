/** How cases are shown to people: a line for each, and below one that failed where it differs. */
import { settingName } from "../config/problem.ts";
import { show } from "../harness/compare.ts";
import type { CaseResult } from "../harness/run-cases.ts";
import type { LogLine } from "../harness/workbench.ts";
import { plain } from "../plain.ts";
import { paint, print, showDuration } from "./terminal.ts";

const DIFFERENCES_MAX = 20;

export function printCase(result: CaseResult, isVerbose: boolean): void {
  const { handler, name, at, file, tookMs, logs } = result;
  const title = `${handler}: ${plain(name)}`;
  if (at === "passed") print(`${paint("green", "✓")} ${title} ${paint("dim", `(${showDuration(tookMs)})`)}`);
  else if (at === "skipped") print(`${paint("yellow", "-")} ${title} ${paint("dim", "(skipped)")}`);
  else print(`${paint("red", "✗")} ${title}`);
  const shown = result.differences.slice(0, DIFFERENCES_MAX);
  for (const { path, line, expected, actual, note } of shown) {
    print(`    ${paint("cyan", `${file}:${line}`)}  ${settingName(path.slice(2))}`);
    for (const text of note?.split("\n") ?? []) print(`      ${plain(text)}`);
    if (note === undefined || Array.isArray(actual)) {
      print(`      expected  ${paint("green", plain(show(expected)))}`);
      print(`      actual    ${paint("red", plain(show(actual)))}`);
    }
  }
  const more = result.differences.length - shown.length;
  if (more > 0) print(`    and ${more} more`);
  if (at === "failed" || isVerbose) for (const line of logs) print(`    ${logText(line)}`);
}

export function logText({ level, message }: LogLine): string {
  return paint("dim", `${level}  ${plain(message)}`);
}

export function printTotals(results: readonly CaseResult[], tookMs: number): void {
  const count = (at: CaseResult["at"]): number => results.filter((one) => one.at === at).length;
  const [passed, failed, skipped] = [count("passed"), count("failed"), count("skipped")];
  const parts = [
    ...(failed > 0 ? [paint("red", `${failed} failed`)] : []),
    paint(failed > 0 ? "dim" : "green", `${passed} passed`),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  print(`${parts.join(", ")} ${paint("dim", `(${showDuration(tookMs)})`)}`);
}

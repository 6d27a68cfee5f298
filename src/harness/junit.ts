/** Results as JUnit's XML, which CI servers read. */
import { settingName } from "../config/problem.ts";
import type { Fault } from "../fault.ts";
import type { CaseResult } from "./run-cases.ts";
import { show } from "./compare.ts";

/** `faults`: of files whose cases could not be run. */
export function junitOf(results: readonly CaseResult[], faults: readonly Fault[]): string {
  const files = Map.groupBy(results, ({ file }) => file);
  const suites = [...files].map(([file, cases]) => suite(file, cases));
  const broken = faults.map((fault) => errorSuite(fault));
  const inside = [...suites, ...broken].join("");
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites${totals(results, faults.length)}>\n${inside}</testsuites>\n`;
}

function errorSuite(fault: Fault): string {
  const where = xml(fault.where ?? "handlers");
  const inside = `<error message="${xml(fault.message)}">${xml(fault.explain())}</error>`;
  return `  <testsuite name="${where}"${totals([], 1)}>\n    <testcase classname="${where}" name="can be run" time="0">${inside}</testcase>\n  </testsuite>\n`;
}

function suite(file: string, cases: readonly CaseResult[]): string {
  return `  <testsuite name="${xml(file)}"${totals(cases)}>\n${cases.map(testCase).join("")}  </testsuite>\n`;
}

function totals(cases: readonly CaseResult[], errors = 0): string {
  const count = (at: CaseResult["at"]): number => cases.filter((one) => one.at === at).length;
  const seconds = cases.reduce((sum, { tookMs }) => sum + tookMs, 0) / 1000;
  return ` tests="${cases.length + errors}" failures="${count("failed")}" errors="${errors}" skipped="${count("skipped")}" time="${seconds.toFixed(3)}"`;
}

function testCase(result: CaseResult): string {
  const { handler, name, file, line, at, tookMs } = result;
  const head = `    <testcase classname="${xml(handler)}" name="${xml(name)}" file="${xml(file)}" line="${line}" time="${(tookMs / 1000).toFixed(3)}"`;
  if (at === "passed") return `${head}/>\n`;
  if (at === "skipped") return `${head}><skipped/></testcase>\n`;
  const lines = result.differences.map(
    ({ path, line: where, expected, actual, note }) =>
      `${file}:${where}: ${settingName(path)}: ${note ?? `expected ${show(expected)}, got ${show(actual)}`}`,
  );
  return `${head}><failure message="${xml(lines[0] ?? "")}">${xml(lines.join("\n"))}</failure></testcase>\n`;
}

/** What XML 1.0 has no place for at all is replaced. */
function xml(text: string): string {
  return (
    text
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("\n", "&#10;")
      // oxlint-disable-next-line no-control-regex -- they are what is looked for
      .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
  );
}

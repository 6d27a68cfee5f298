/** `sluice test`: runs the cases of handlers, or events from stdin, as a gateway would run them. */
import { writeFile } from "node:fs/promises";
import { fstatSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { Fault, messageOf } from "../fault.ts";
import type { CaseResult } from "../harness/run-cases.ts";
import type { TestRun } from "../harness/test-run.ts";
import { EXIT } from "./exit.ts";
import { printCase, printTotals } from "./test-report.ts";
import { printJson, say, sayFault } from "./terminal.ts";

export interface TestOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly junit?: string;
  readonly watch?: boolean;
  readonly cases?: boolean;
  readonly verbose?: boolean;
}

export function testCommand(done: (code: number) => void): Command {
  return new Command("test")
    .description(
      "Runs the cases in <name>.cases.yaml beside each handler, in the isolates and limits of a gateway, without one. With the name of one handler and events on stdin, one `[topic] payload` a line, it shows what comes of them.",
    )
    .argument("[handler|file|glob...]", "which; default: all")
    .option(
      "--config <file>",
      "the gateway's config; default: SLUICE_CONFIG, config/sluice.yaml or sluice.yaml, if any",
    )
    .option("--json", "print a line of JSON for each case, or for each event of stdin")
    .option("--junit <file>", "write the results as JUnit's XML as well")
    .option("-w, --watch", "run again whenever a handler or its cases are saved")
    .option("--cases", "run the cases, whatever is on stdin")
    .option("-v, --verbose", "print what handlers log also where nothing failed")
    .addHelpText(
      "after",
      `
A topic may be left out on stdin: then it is one that the handler's first filter wants.
Exit status: 0 all passed, 1 some did not, 3 a file of cases is invalid, 6 there is no such handler, or no case.

Examples:
  sluice test
  sluice test overheat --watch
  sluice test 'handlers/*.cases.yaml' --junit results.xml
  echo 'plant/a/press-7/temperature {"c": 91}' | sluice test overheat`,
    )
    .action(async (patterns: string[], options: TestOptions) => {
      done(await test(patterns, options));
    });
}

async function test(patterns: readonly string[], options: TestOptions): Promise<number> {
  const only = patterns.length === 1 ? patterns[0] : undefined;
  const isAsked = only !== undefined && options.cases !== true && options.watch !== true;
  const stdin = isAsked ? stdinKind() : undefined;
  const { openTests } = await import("../harness/early.ts");
  const run = await openTests({ config: options.config, env: process.env });
  try {
    if (only !== undefined && stdin !== undefined && (await run.isHandler(only))) {
      const { testEvents } = await import("./test-events.ts");
      const code = await testEvents(run, only, stdin, options);
      if (code !== undefined) return code;
    }
    return await (options.watch === true ? watch : testCases)(run, patterns, options);
  } finally {
    await run.close();
  }
}

/** What may bring events: not a terminal, and not /dev/null. */
export type StdinKind = "pipe" | "socket";

function stdinKind(): StdinKind | undefined {
  try {
    const stdin = fstatSync(0);
    if (stdin.isSocket()) return "socket";
    return stdin.isFIFO() || stdin.isFile() ? "pipe" : undefined;
  } catch {
    return undefined;
  }
}

async function testCases(run: TestRun, patterns: readonly string[], options: TestOptions): Promise<number> {
  const startMs = performance.now();
  const results: CaseResult[] = [];
  const faults: Fault[] = [];
  for await (const result of run.cases(patterns)) {
    if (result instanceof Fault) {
      faults.push(result);
      if (options.json === true)
        printJson({ ok: false, code: result.code, message: result.message, where: result.where });
      sayFault(result);
      continue;
    }
    results.push(result);
    if (options.json === true) printJson(jsonOf(result));
    else printCase(result, options.verbose === true);
  }
  if (options.junit !== undefined) await writeJunit(options.junit, results, faults);
  if (options.json !== true) printTotals(results, performance.now() - startMs);
  if (faults.some(({ code }) => code.startsWith("CASES_") || code === "CONFIG_INVALID")) return EXIT.config;
  return faults.length > 0 || results.some(({ at }) => at === "failed") ? EXIT.failed : EXIT.ok;
}

function jsonOf({ handler, name, at, file, line, differences, logs, tookMs }: CaseResult): object {
  return { handler, name, ok: at !== "failed", skipped: at === "skipped", file, line, differences, logs, tookMs };
}

async function writeJunit(file: string, results: readonly CaseResult[], faults: readonly Fault[]): Promise<void> {
  const { junitOf } = await import("../harness/junit.ts");
  const path = resolve(file);
  try {
    await writeFile(path, junitOf(results, faults));
  } catch (thrown) {
    throw new Fault("CLI_USAGE", `the results cannot be written: ${messageOf(thrown)}`, { where: path });
  }
}

/** Until a signal comes. Watches from before the first run on: what is saved meanwhile is run after it. */
async function watch(run: TestRun, patterns: readonly string[], options: TestOptions): Promise<number> {
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt());
  let runs = Promise.resolve();
  const runAgain = (): void => {
    runs = runs
      .then(async () => {
        await testCases(run, patterns, options);
        say("waiting for a change; Ctrl-C ends");
      })
      .catch(sayFault);
  };
  const stop = run.watch(runAgain);
  runAgain();
  // A watch alone keeps no process alive.
  const alive = setInterval(() => undefined, 60_000);
  await interrupted;
  clearInterval(alive);
  stop();
  await runs;
  return EXIT.interrupted;
}

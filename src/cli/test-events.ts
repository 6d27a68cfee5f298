/** `sluice test NAME` with events on stdin: what comes of each. */
import { createInterface } from "node:readline";
import type { TestRun } from "../harness/test-run.ts";
import { printCame, sayFailure } from "./came.ts";
import { EXIT } from "./exit.ts";
import type { StdinKind, TestOptions } from "./test.ts";
import { printJson, say } from "./terminal.ts";
import { logText } from "./test-report.ts";

/** So long nothing came: a socket is then what a program was given that has no input for us, a pipe may be slow. */
const SILENT_MS = 3000;

/** Undefined when nothing came at all. */
export async function testEvents(
  run: TestRun,
  name: string,
  stdin: StdinKind,
  options: TestOptions,
): Promise<number | undefined> {
  const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  const silence = setTimeout(() => {
    if (stdin === "pipe") say("reading events from stdin; --cases runs the cases instead");
    else {
      lines.close();
      process.stdin.destroy();
    }
  }, SILENT_MS);
  let sitting: Awaited<ReturnType<TestRun["sit"]>> | undefined;
  let failures = 0;
  for await (const line of lines) {
    clearTimeout(silence);
    if (line.trim() === "") continue;
    sitting ??= await run.sit(name);
    const came = await sitting.send(line);
    if (came.at !== "done") failures++;
    if (options.json === true) {
      printJson(came);
      continue;
    }
    for (const logged of came.logs) say(logText(logged));
    printCame(came);
    sayFailure(came);
  }
  clearTimeout(silence);
  if (sitting === undefined) return undefined;
  return failures > 0 ? EXIT.failed : EXIT.ok;
}

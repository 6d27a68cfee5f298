/** A start that does not wait: the runner's program is bundled while the rest of the harness and the config are loaded. */
import type { OpenOptions, Opened } from "./open.ts";
import type { TestRun } from "./test-run.ts";

export async function openEarly(options: OpenOptions): Promise<Opened> {
  const { buildPrograms } = await import("../sandbox/programs.ts");
  const programs = buildPrograms();
  programs.catch(() => undefined); // Whoever waits for it is told.
  const { openWorkbench } = await import("./open.ts");
  return openWorkbench(options, programs);
}

export async function openTests(options: OpenOptions): Promise<TestRun> {
  const [opened, { TestRun: Run }] = await Promise.all([openEarly(options), import("./test-run.ts")]);
  return new Run(opened.bench);
}

/** What somebody waits for who writes a handler: `sluice test` and `sluice invoke`, from the command to its end. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import type { Readings } from "./figures.ts";
import { median, round } from "./numbers.ts";

const MAIN = resolve(import.meta.dirname, "../bin/sluice.js");
const RUNS = 9;

const HANDLER = `export const config = { topic: "plant/{machine}", key: "{machine}", to: "cloud" };
export default (event, ctx) => { ctx.state.n = (ctx.state.n ?? 0) + 1; return { n: ctx.state.n, c: event.data.c }; };
`;
const CASES = `cases: [{ name: counts, events: [{ topic: plant/a, data: { c: 1 } }], expect: { outputs: [{ data: { n: 1, c: 1 } }] } }]
`;

const run = promisify(execFile);

/** Milliseconds of each run. The first fills the caches of compiled code, as the first one of a day does, and is left out. */
async function timed(folder: string, args: readonly string[]): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i <= RUNS; i++) {
    const startMs = performance.now();
    await run(process.execPath, [...args], { cwd: folder });
    if (i > 0) times.push(performance.now() - startMs);
  }
  return times;
}

export async function tryingOut(): Promise<Readings> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
  try {
    await mkdir(join(folder, "handlers"));
    await writeFile(join(folder, "handlers/counter.ts"), HANDLER);
    await writeFile(join(folder, "handlers/counter.cases.yaml"), CASES);
    const bare = round(median(await timed(folder, ["-e", "0"])), 0);
    const test = await timed(folder, [MAIN, "test"]);
    const invoke = await timed(folder, [MAIN, "invoke", "counter", "-t", "plant/a", "-m", '{"c":1}']);
    const detail = (times: readonly number[]): string =>
      `fastest ${round(Math.min(...times), 0)} ms, slowest ${round(Math.max(...times), 0)} ms; node -e 0: ${bare} ms`;
    return {
      "test-start": { value: round(median(test), 0), detail: detail(test) },
      "invoke-round": { value: round(median(invoke), 0), detail: detail(invoke) },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

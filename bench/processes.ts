/** Starting, watching and surely ending the processes of a measurement. */
import { fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it said on stderr and stdout, the last 64 KB. */
  output(): string;
  /** Ends it and resolves when it has gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

const OUTPUT_MAX = 64 * 1024;

/** A program of any kind, or one of our own modules, which then has an IPC channel. */
export function start(command: string, args: readonly string[], options: StartOptions = {}): Started {
  const env = { ...process.env, ...options.env };
  const child = command.endsWith(".ts")
    ? fork(command, args, { ...options, env, execArgv: [], stdio: ["ignore", "pipe", "pipe", "ipc"] })
    : spawn(command, args, { ...options, env, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let output = "";
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString("utf8")).slice(-OUTPUT_MAX);
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  const gone = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  }).then(() => void running.delete(child));
  return {
    child,
    pid: child.pid ?? -1,
    output: () => output,
    stop: async (signal = "SIGKILL") => {
      if (running.has(child)) child.kill(signal);
      await gone;
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function temporaryFolder(): Promise<{ path: string; [Symbol.asyncDispose](): Promise<void> }> {
  const path = await mkdtemp(join(process.env["SLUICE_BENCH_DIR"] ?? tmpdir(), "sluice-bench-"));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}

/** Asks until it is so. Throws with `process`'s last words when it ends or the time is over. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  { withinMs = 20_000, everyMs = 50, by }: { withinMs?: number; everyMs?: number; by?: Started | undefined } = {},
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    const ended = by !== undefined && by.child.exitCode !== null;
    if (ended || performance.now() > deadline) {
      throw new Error(`no ${what} within ${withinMs} ms${ended ? " (it ended)" : ""}\n${by?.output() ?? ""}`);
    }
    await pause(everyMs);
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** Processor time a process has used, milliseconds. */
export function cpuMs(pid: number): number {
  const TICK_MS = 10;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export interface Memory {
  /** Resident: pages that processes share are counted in each. */
  readonly rssMb: number;
  /** Proportional: a page shared by n processes counts 1/n. */
  readonly pssMb: number;
}

export function memoryOf(pids: readonly number[]): Memory {
  let rss = 0;
  let pss = 0;
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    rss += Number(/^Rss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
    pss += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
  }
  return { rssMb: rss / 1024, pssMb: pss / 1024 };
}

/** Of a process's resident memory, what are the store's tables mapped from disk: the kernel takes it back when it likes. */
export function mappedTablesMb(pid: number): number {
  let kb = 0;
  let isTable = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    if (/^[0-9a-f]+-/.test(line)) isTable = line.endsWith(".ldb");
    else if (isTable) kb += Number(/^Rss:\s+(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  return kb / 1024;
}

export function childrenOf(pid: number): number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return list === "" ? [] : list.split(" ").map(Number);
}

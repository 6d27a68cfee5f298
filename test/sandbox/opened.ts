/** A sandbox with real runners, and handlers written as function bodies. */
import { readFileSync } from "node:fs";
import { runInThisContext } from "node:vm";
import { eventRecordBytesMax, writeEventRecord } from "../../src/event.ts";
import type { EventDraft } from "../../src/event.ts";
import type { HandlerLimits } from "../../src/limits.ts";
import { createLog } from "../../src/log.ts";
import type { BatchResult, RunResult } from "../../src/sandbox/results.ts";
import { Sandbox } from "../../src/sandbox/sandbox.ts";
import type { HandlerBundle, Load, SandboxOptions } from "../../src/sandbox/sandbox.ts";
import { sandboxSettings } from "../../src/sandbox/settings.ts";
import type { Task } from "../../src/task.ts";
import { systemClock } from "../../src/time.ts";

export interface LogLine {
  readonly handler: string;
  readonly version: number;
  readonly level: string;
  readonly message: string;
  readonly seq: number | undefined;
}

export interface Opened {
  readonly sandbox: Sandbox;
  readonly logs: LogLine[];
}

/**
 * `settings` as an operator writes them. Cgroups are off unless one says otherwise: what comes out here is not to depend on
 * what box it is, and a killed test would leave them in the group of whoever ran it.
 */
export async function openSandbox(settings: object = {}, more: Partial<SandboxOptions> = {}): Promise<Opened> {
  const logs: LogLine[] = [];
  const sandbox = await Sandbox.open({
    settings: sandboxSettings.parse({ cgroup: "off", ...settings }),
    journalId: "0123abcd",
    gatewayId: "edge-1",
    clock: systemClock,
    log: createLog({ level: "silent", pretty: false }),
    onLog: (handler, version, level, message, task) => logs.push({ handler, version, level, message, seq: task?.seq }),
    ...more,
  });
  return { sandbox, logs };
}

let lastHandler = 0;

/** What handlers have in a file of tests, beside what each bundle says. */
let limits: Partial<HandlerLimits> = {};
export function withLimits(own: Partial<HandlerLimits>): void {
  limits = own;
}

let stepsPerMs = 0;

/** Code that computes for about so long: a handler's clock stands still meanwhile. */
export function compute(ms: number): string {
  const steps = (count: number): string => `for (let i = 0, x = 1; i < ${count}; i++) x = (x * 16807) % 2147483647;`;
  if (stepsPerMs === 0) {
    const measured = 20_000_000;
    const startMs = performance.now();
    runInThisContext(`(() => { ${steps(measured)} })()`);
    stepsPerMs = measured / (performance.now() - startMs);
  }
  return steps(Math.ceil(ms * stepsPerMs));
}

export type BundleOptions = Partial<Omit<HandlerBundle, "settings">> & {
  settings?: Partial<HandlerBundle["settings"]>;
};

/** A bundle whose default export is a function of (event, ctx) with this body. */
export function bundle(body: string, more: BundleOptions = {}): HandlerBundle {
  const id = ++lastHandler;
  const { settings, ...rest } = more;
  return {
    name: `h${id}`,
    id,
    version: 1,
    code: `module.exports.default = (event, ctx) => {\n${body}\n};`,
    sourceMap: "",
    ...rest,
    settings: {
      timeoutMs: 500,
      memoryBytes: 32 * 1024 * 1024,
      params: {},
      topics: ["#"],
      ...settings,
      limits: { ...limits, ...settings?.limits },
    },
  };
}

export function task(
  handler: number,
  draft: Partial<EventDraft> & { seq?: number; key?: string; attempt?: number } = {},
): Task {
  const { seq = 1, key, attempt = 0, ...given } = draft;
  const event: EventDraft = {
    kind: "topic",
    topic: "a/b",
    device: "dev-1",
    payload: Buffer.from("{}"),
    qos: 1,
    retain: false,
    hops: 0,
    timeMs: 1_700_000_000_000,
    ...given,
  };
  const page = Buffer.alloc(eventRecordBytesMax(event, 1) + 7);
  writeEventRecord(page, 7, event, [handler]);
  return { handler, seq, page, at: 7, key: key ?? event.topic, attempt, parked: false };
}

export function run(
  sandbox: Sandbox,
  handler: number,
  batch: readonly Task[],
  states: readonly (string | undefined)[] = [],
  runner = 0,
  capturedMs?: number,
): Promise<Ran> {
  return new Promise((resolve) =>
    sandbox.run(runner, handler, batch, states, (result) => resolve(kept(result)), {
      atMs: capturedMs,
      isCaptured: capturedMs !== undefined,
    }),
  );
}

/** What a batch came to, which the same run comes to again, whatever it took. */
type Ran = Omit<BatchResult, "tookMs" | "cpuMs" | "heapBytes">;

function kept({ version, startMs, results }: BatchResult): Ran {
  const keep = (result: RunResult): RunResult =>
    result.at === "done"
      ? { ...result, outputs: result.outputs.map((output) => ({ ...output, data: Buffer.from(output.data) })) }
      : result;
  return { version, startMs, results: results.map(keep) };
}

export async function loadAll(sandbox: Sandbox, ...bundles: HandlerBundle[]): Promise<void> {
  for (const each of bundles) {
    const loaded: Load = await sandbox.load(each);
    if (loaded.at !== "ready") throw new Error(JSON.stringify(loaded));
  }
}

/** Loads a handler with this body and runs it once on each payload, all of one key. */
export async function runOn(
  sandbox: Sandbox,
  body: string,
  payloads: readonly string[] = ["{}"],
  more: BundleOptions = {},
): Promise<RunResult[]> {
  const handler = bundle(body, more);
  await loadAll(sandbox, handler);
  const batch = payloads.map((payload, seq) => task(handler.id, { seq, payload: Buffer.from(payload) }));
  const { results } = await run(sandbox, handler.id, batch);
  sandbox.unload(handler.id);
  return [...results];
}

/** What each task came to, shortly: the outputs' text, or the failure's code. */
export function shortly(results: readonly RunResult[]): unknown[] {
  return results.map((result) => {
    if (result.at === "done") return result.outputs.map(({ data }) => Buffer.from(data).toString());
    return result.at === "failed" ? result.failure.code : result.at;
  });
}

/** Whether a process runs; one that has ended and that nobody has waited for does not. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** For what takes as long as a busy machine makes it take. */
export const patient = { timeout: 15_000, interval: 20 };

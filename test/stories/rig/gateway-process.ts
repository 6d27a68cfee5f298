/**
 * Rig: a real gateway in a process of its own, on a folder that outlives it.
 *
 * Everything goes through what a user has: the config file, signals, the log, the control API. The process leads a
 * process group, so that after a kill the rig can tell that no runner outlived its gateway.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "./ports.ts";
import { groupIsAlive, signalGroup } from "./process-group.ts";
import { until } from "./wait.ts";

const MAIN = fileURLToPath(new URL("../../../bin/sluice.js", import.meta.url));
const READY_MS = 40_000;
const STOP_MS = 30_000;
const LOG_LINES_MAX = 20_000;
/** What the log says as the last word of a start. */
const READY_LINE = "the gateway is ready";

/** A part of a config file, merged over the rig's defaults, objects key by key. */
export interface ConfigPart {
  readonly [key: string]: unknown;
}

export interface GatewayOptions {
  /** Where config, handlers and data lie. Without it a temporary folder that goes with the gateway. */
  readonly folder?: string;
  readonly config?: ConfigPart;
  /** File name under handlers/ → source. */
  readonly handlers?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments for node itself, such as `--import`. */
  readonly nodeArgs?: readonly string[];
  /** Words put before the command, such as strace and its options. The process that is spawned must become node. */
  readonly wrapper?: readonly string[];
}

export interface EventsLedger {
  readonly accepted: number;
  readonly done: number;
  readonly dead: number;
  readonly expired: number;
  readonly dropped: number;
  readonly pending: number;
}

export interface UplinkLedger {
  readonly emitted: number;
  readonly delivered: number;
  readonly expired: number;
  readonly dropped: number;
  readonly rejected: number;
  readonly waiting: number;
}

export interface Ledger {
  readonly events: EventsLedger;
  readonly uplinks: Readonly<Record<string, UplinkLedger>>;
}

export interface Status {
  readonly ledger: Ledger;
  readonly [more: string]: unknown;
}

type Life =
  | { readonly at: "down"; readonly code: number | null; readonly signal: NodeJS.Signals | null }
  | { readonly at: "up"; readonly child: ChildProcess; readonly pid: number; readonly exited: Promise<void> };

const alive = new Set<number>();
process.once("exit", () => {
  for (const pid of alive) signalGroup(pid, "SIGKILL");
});

export class GatewayProcess {
  readonly folder: string;
  readonly mqttPort: number;
  readonly controlUrl: string;
  readonly options: GatewayOptions;
  /** What the gateway logged in all its lives, the oldest lines dropped past a limit. */
  readonly log: string[] = [];
  starts = 0;
  #saysReady = false;
  readonly #config: Record<string, unknown>;
  #life: Life = { at: "down", code: null, signal: null };

  /** Writes the folder, starts nothing. */
  static async prepare(options: GatewayOptions = {}): Promise<GatewayProcess> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), "sluice-story-"));
    return new GatewayProcess(options, folder, await freePort(), await freePort());
  }

  /** Prepares, starts, and waits for /readyz. */
  static async start(options: GatewayOptions = {}): Promise<GatewayProcess> {
    const gateway = await GatewayProcess.prepare(options);
    try {
      await gateway.start();
    } catch (thrown) {
      await gateway[Symbol.asyncDispose]();
      throw thrown;
    }
    return gateway;
  }

  private constructor(options: GatewayOptions, folder: string, mqttPort: number, controlPort: number) {
    this.options = options;
    this.folder = folder;
    this.mqttPort = mqttPort;
    this.controlUrl = `http://127.0.0.1:${controlPort}`;
    this.#config = merge(
      {
        gateway: { id: "edge-test", data: "data" },
        broker: { listeners: [{ url: `mqtt://127.0.0.1:${mqttPort}` }] },
        handlers: { dir: "handlers", watch: false },
        uplinks: { cloud: { kind: "file", path: "cloud/events.ndjson" } },
        // A gateway that is killed for good would leave its runners' groups in the group of whoever runs the tests.
        sandbox: { cgroup: "off" },
        control: { url: this.controlUrl },
        log: { level: "info" },
      },
      options.config ?? {},
    );
    mkdirSync(join(folder, "handlers"), { recursive: true });
    mkdirSync(join(folder, "cloud"), { recursive: true });
    this.writeConfig();
    for (const [name, source] of Object.entries(options.handlers ?? {})) this.saveHandler(name, source);
  }

  get dataFolder(): string {
    return join(this.folder, "data");
  }

  get configFile(): string {
    return join(this.folder, "sluice.yaml");
  }

  get pid(): number {
    if (this.#life.at === "down") throw new Error("the gateway is down");
    return this.#life.pid;
  }

  get isUp(): boolean {
    return this.#life.at === "up";
  }

  /** How the last life ended. */
  get end(): { readonly code: number | null; readonly signal: NodeJS.Signals | null } {
    if (this.#life.at === "up") throw new Error("the gateway is up");
    const { code, signal } = this.#life;
    return { code, signal };
  }

  /** Rewrites the config file with `part` merged in. A reload or a restart is what makes it count. */
  writeConfig(part: ConfigPart = {}): void {
    Object.assign(this.#config, merge(this.#config, part));
    // JSON is YAML 1.2.
    writeFileSync(this.configFile, JSON.stringify(this.#config, null, 2));
  }

  /** As an editor that writes in place does. */
  saveHandler(name: string, source: string): void {
    const file = join(this.folder, "handlers", name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, source);
  }

  /** Starts the process and returns at once. `extra` holds for this life only. */
  launch(extra: { readonly env?: Readonly<Record<string, string>>; readonly nodeArgs?: readonly string[] } = {}): void {
    if (this.#life.at === "up") throw new Error("the gateway is up already");
    this.starts += 1;
    this.#saysReady = false;
    const command = [
      ...(this.options.wrapper ?? []),
      process.execPath,
      ...(this.options.nodeArgs ?? []),
      ...(extra.nodeArgs ?? []),
      MAIN,
      "run",
      "--config",
      this.configFile,
    ];
    const child = spawn(command[0] as string, command.slice(1), {
      cwd: this.folder,
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, NO_COLOR: "1", NODE_ENV: "test", ...this.options.env, ...extra.env },
    });
    const pid = child.pid;
    if (pid === undefined) throw new Error(`could not start ${command[0]}`);
    alive.add(pid);
    this.#collect(child);
    const exited = new Promise<void>((resolve) => {
      child.once("exit", (code, signal) => {
        this.#life = { at: "down", code, signal };
        resolve();
      });
    });
    this.#life = { at: "up", child, pid, exited };
  }

  /** Starts the process and waits until it says that it is ready. */
  async start(
    extra: { readonly env?: Readonly<Record<string, string>>; readonly nodeArgs?: readonly string[] } = {},
  ): Promise<void> {
    this.launch(extra);
    await this.ready();
  }

  /** Waits for the word in the log and for /readyz: asking only the latter takes a fifth of the time of a start. */
  async ready(withinMs = READY_MS): Promise<void> {
    await until("readiness", async () => this.#saysReady && (await fetch(`${this.controlUrl}/readyz`)).ok, {
      withinMs,
      unless: () => (this.isUp ? undefined : `the gateway ended (${JSON.stringify(this.end)})\n${this.logTail()}`),
      tell: () => this.logTail(),
    });
  }

  /** SIGKILL to the gateway alone: its runners must notice by themselves. Fails when one outlives it. */
  async kill9(): Promise<void> {
    if (this.#life.at === "down") return;
    const { pid } = this.#life;
    process.kill(pid, "SIGKILL");
    await this.exited();
  }

  /** Waits for the end of this life, however it comes about, and for the end of its runners. */
  async exited(withinMs = STOP_MS): Promise<void> {
    if (this.#life.at === "down") return;
    const { pid, exited } = this.#life;
    await Promise.race([exited, timeout(withinMs, () => `the gateway did not end\n${this.logTail()}`)]);
    await until("the end of the gateway's children", () => !groupIsAlive(pid), { withinMs: 5_000 });
    alive.delete(pid);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Asks politely and waits. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#life.at === "down") return;
    this.signal(signal);
    await this.exited();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async status(): Promise<Status> {
    return (await this.api("/api/v1/status")) as Status;
  }

  async ledger(): Promise<Ledger> {
    return (await this.status()).ledger;
  }

  /** On the control API with the admin's token: GET, or POST with a body. */
  async api(path: string, body?: unknown): Promise<unknown> {
    const answer = await this.ask(body === undefined ? "GET" : "POST", path, body);
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    return await answer.json();
  }

  /** Any request to the control API with the admin's token. */
  async ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const token = readFileSync(join(this.dataFolder, "admin.token"), "utf8").trim();
    const json = body === undefined ? {} : { "content-type": "application/json" };
    return await fetch(`${this.controlUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...json, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** The value of a metric without labels, or undefined when there is none of that name. */
  async metric(name: string): Promise<number | undefined> {
    const token = readFileSync(join(this.dataFolder, "admin.token"), "utf8").trim();
    const answer = await fetch(`${this.controlUrl}/metrics`, { headers: { authorization: `Bearer ${token}` } });
    const line = (await answer.text()).split("\n").find((text) => text.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  /** Waits until no task is pending and no output is waiting for any of `uplinks` (all, unless named). */
  async drained(withinMs = 30_000, uplinks?: readonly string[]): Promise<Ledger> {
    let seen: Ledger | undefined;
    return await until(
      "an empty backlog",
      async () => {
        const ledger = (seen = await this.ledger());
        if (ledger.events.pending !== 0) return false;
        const names = uplinks ?? Object.keys(ledger.uplinks);
        return names.every((name) => (ledger.uplinks[name]?.waiting ?? 0) === 0) ? ledger : false;
      },
      {
        withinMs,
        everyMs: 20,
        unless: () => (this.isUp ? undefined : `the gateway ended (${JSON.stringify(this.end)})\n${this.logTail()}`),
        tell: () => ({ ledger: seen, log: this.logTail(10) }),
      },
    );
  }

  /** The log's lines that are JSON and hold `text`. */
  logged(text: string): Record<string, unknown>[] {
    return this.log
      .filter((line) => line.includes(text))
      .map(parseLogLine)
      .filter((line) => line !== undefined);
  }

  logTail(lines = 30): string {
    return this.log.slice(-lines).join("\n");
  }

  /** Resident bytes of the gateway's process, without its runners. */
  residentBytes(): number {
    const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))?.[1];
    return Number(kilobytes) * 1024;
  }

  /** Pids of the children of the gateway: its runners, and whatever its tools start. */
  children(): number[] {
    const text = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#life.at === "up") {
      const { pid, exited } = this.#life;
      signalGroup(pid, "SIGKILL");
      await exited;
      // A child that is still ending has its working directory here, and a disk that is in use cannot be unmounted.
      await until("the end of the gateway's children", () => !groupIsAlive(pid), { withinMs: 5_000 });
      alive.delete(pid);
    }
    if (this.options.folder === undefined && process.env.SLUICE_KEEP === undefined) {
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
    }
  }

  #collect(child: ChildProcess): void {
    let rest = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      this.log.push(...lines);
      this.#saysReady ||= lines.some((line) => line.includes(READY_LINE));
      if (this.log.length > LOG_LINES_MAX) this.log.splice(0, this.log.length - LOG_LINES_MAX);
    });
  }
}

function merge(under: Readonly<Record<string, unknown>>, over: ConfigPart): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    if (value === undefined) delete merged[key];
    else merged[key] = isPart(below) && isPart(value) ? merge(below, value) : value;
  }
  return merged;
}

function isPart(value: unknown): value is ConfigPart {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseLogLine(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

async function timeout(ms: number, message: () => string): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, ms).unref());
  throw new Error(message());
}

/** Runs the command line as a user does: a process of its own, its streams, its exit code. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../bin/sluice.js", import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

export async function sluice(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const running = start(args, options);
  running.child.stdin?.end(options.input ?? "");
  return running.ended;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ran>;
  /** Resolves as soon as stdout contains `text`. */
  printed(text: string): Promise<void>;
  /** Resolves with the whole text of stderr as soon as it contains `text`; rejects when the process ends before. */
  said(text: string): Promise<string>;
}

export function start(args: readonly string[], options: RunOptions = {}): Started {
  const { SLUICE_CONFIG: _, ...env } = process.env;
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...env, NO_COLOR: "1", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  const listeners = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    for (const listener of listeners) listener();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
    for (const listener of listeners) listener();
  });
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, out, err }));
  const until = (found: () => string | undefined, text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const at = found();
        if (at !== undefined) resolve(at);
      };
      listeners.add(look);
      look();
      void ended.then(() => reject(new Error(`it ended before it said ${text}:\n${err}`)));
    });
  return {
    child,
    ended,
    printed: (text) => until(() => (out.includes(text) ? "" : undefined), text).then(() => undefined),
    said: (text) => until(() => (err.includes(text) ? err : undefined), text),
  };
}

export interface Home extends AsyncDisposable {
  readonly folder: string;
  readonly config: string;
  readonly mqttPort: number;
  readonly controlUrl: string;
  token(): Promise<string>;
  writeConfig(more: string): Promise<void>;
}

/** A folder with a config on free ports and the handlers that are given, by file name. */
export async function makeHome(handlers: Readonly<Record<string, string>> = {}, more = ""): Promise<Home> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-cli-"));
  const [mqttPort, controlPort] = [await freePort(), await freePort()];
  await mkdir(join(folder, "handlers"));
  for (const [name, text] of Object.entries(handlers)) await writeFile(join(folder, "handlers", name), text);
  const config = join(folder, "sluice.yaml");
  const controlUrl = `http://127.0.0.1:${controlPort}`;
  const base = `gateway: { id: edge-cli, data: data }
broker: { listeners: [{ url: "mqtt://127.0.0.1:${mqttPort}" }] }
handlers: { dir: handlers }
control: { url: "${controlUrl}" }
uplinks: { cloud: { kind: file, path: cloud.ndjson } }
`;
  const writeConfig = (text: string): Promise<void> => writeFile(config, base + text);
  await writeConfig(more);
  return {
    folder,
    config,
    mqttPort,
    controlUrl,
    writeConfig,
    token: async () => (await readFile(join(folder, "data", "admin.token"), "utf8")).trim(),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export interface RunningHome extends Home {
  readonly gateway: Started;
}

/** The same with `sluice run` on it, ready. Killed at the end if it still runs. */
export async function runHome(handlers: Readonly<Record<string, string>> = {}, more = ""): Promise<RunningHome> {
  const home = await makeHome(handlers, more);
  const gateway = start(["run", "--config", home.config]);
  await gateway.said("the gateway is ready");
  return {
    ...home,
    gateway,
    async [Symbol.asyncDispose]() {
      gateway.child.kill("SIGKILL");
      await gateway.ended;
      await home[Symbol.asyncDispose]();
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** The gateway under measurement: a process, a folder of its own, and nothing but the public face. */
import { readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { childrenOf, freePort, start, until } from "./processes.ts";
import type { Started } from "./processes.ts";

export interface SluiceOptions {
  /** Has to exist; config, handlers and data go into it. */
  readonly folder: string;
  /** Port of the mosquitto upstream; without it outputs go to a file. */
  readonly upstreamPort?: number;
  /** Name → source. */
  readonly handlers: Readonly<Record<string, string>>;
  /** YAML put into `sandbox: { … }`. */
  readonly sandbox?: string;
  /** Whether handlers are taken on as they are saved. */
  readonly watch?: boolean;
  /** Lines of YAML put under `journal:`. */
  readonly journal?: readonly string[];
}

interface Ledger {
  readonly events: {
    readonly accepted: number;
    readonly done: number;
    readonly dead: number;
    readonly pending: number;
  };
  readonly uplinks: Readonly<
    Record<string, { readonly emitted: number; readonly delivered: number; readonly waiting: number }>
  >;
}

const MAIN = resolve(import.meta.dirname, "../bin/sluice.js");
const PROFILE = process.env["SLUICE_BENCH_PROFILE"];
const READY_MS_MAX = 60_000;

/** The work that Node-RED's function node does, too. */
export const ENRICH = `
export const config = { topic: "plant/{line}/{machine}/temperature", to: ["cloud"] };
export default (event) => {
  const data = event.data;
  data.f = data.c * 1.8 + 32;
  return data;
};
`;

export class Sluice {
  readonly port: number;
  readonly #options: SluiceOptions;
  readonly control: string;
  #process: Started;

  private constructor(options: SluiceOptions, port: number, control: string, process: Started) {
    this.#options = options;
    this.port = port;
    this.control = control;
    this.#process = process;
  }

  static async open(options: SluiceOptions): Promise<Sluice> {
    const { folder, upstreamPort } = options;
    await mkdir(join(folder, "handlers"), { recursive: true });
    for (const [name, source] of Object.entries(options.handlers)) {
      await writeFile(join(folder, "handlers", `${name}.js`), source);
    }
    const port = await freePort();
    const control = `http://127.0.0.1:${await freePort()}`;
    const cloud =
      upstreamPort === undefined
        ? "kind: file, path: cloud.ndjson"
        : `kind: mqtt, url: "mqtt://127.0.0.1:${upstreamPort}"`;
    const lines = [
      "gateway: { id: bench, data: data }",
      "broker:",
      `  listeners: [{ url: "mqtt://127.0.0.1:${port}" }]`,
      "journal:",
      "  sizeMax: 8GB",
      ...(options.journal ?? []).map((line) => `  ${line}`),
      `handlers: { dir: handlers, watch: ${options.watch ?? false} }`,
      `uplinks: { cloud: { ${cloud} } }`,
      `control: { url: "${control}" }`,
      ...(options.sandbox === undefined ? [] : [`sandbox: { ${options.sandbox} }`]),
      "log: { level: warn }",
    ];
    await writeFile(join(folder, "sluice.yaml"), `${lines.join("\n")}\n`);
    const sluice = new Sluice(options, port, control, launch(folder));
    await sluice.ready();
    return sluice;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get process(): Started {
    return this.#process;
  }

  /** The gateway and every process it has started. */
  pids(): number[] {
    return [this.pid, ...childrenOf(this.pid)];
  }

  runnerPids(): number[] {
    return childrenOf(this.pid).filter((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--no-node-snapshot"),
    );
  }

  get dataFolder(): string {
    return join(this.#options.folder, "data");
  }

  async ready(): Promise<void> {
    const ask = async (): Promise<true | undefined> => {
      const answer = await fetch(`${this.control}/readyz`).catch(() => undefined);
      await answer?.arrayBuffer();
      return answer?.ok === true ? true : undefined;
    };
    await until("ready gateway", ask, { withinMs: READY_MS_MAX, everyMs: 20, by: this.#process });
  }

  async ledger(): Promise<Ledger> {
    const token = (await readFile(join(this.dataFolder, "admin.token"), "utf8")).trim();
    const answer = await fetch(`${this.control}/api/v1/status`, { headers: { authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error(`status: ${answer.status} ${await answer.text()}`);
    return ((await answer.json()) as { ledger: Ledger }).ledger;
  }

  async kill(): Promise<void> {
    await this.#process.stop("SIGKILL");
  }

  /** Starts it again; does not wait until it is ready. */
  launch(): void {
    this.#process = launch(this.#options.folder);
  }

  async close(): Promise<void> {
    // A profile is written at the end of an orderly shutdown.
    await this.#process.stop(PROFILE === undefined ? "SIGKILL" : "SIGTERM");
  }
}

function launch(folder: string): Started {
  const nodeArgs = PROFILE === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${PROFILE}`];
  return start(process.execPath, [...nodeArgs, MAIN, "run", "--config", join(folder, "sluice.yaml")], { cwd: folder });
}

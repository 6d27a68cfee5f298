/** A workbench for the config that a gateway would read, or for a folder of handlers where there is none. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { configFile, loadConfig } from "../config.ts";
import type { Config, Environment } from "../config.ts";
import { handlersSettings } from "../deployments/settings.ts";
import { Fault } from "../fault.ts";
import type { Programs } from "../sandbox/programs.ts";
import { Workbench } from "./workbench.ts";
import type { WorkbenchOptions } from "./workbench.ts";

export interface OpenOptions {
  /** The config's path; default: as for every command. */
  readonly config?: string | undefined;
  readonly env: Environment;
  readonly cwd?: string | undefined;
}

export interface Opened {
  readonly bench: Workbench;
  /** undefined: there is none here, and the folder `handlers` was taken. */
  readonly config: Config | undefined;
}

/** Throws a ConfigFault, CONFIG_UNREADABLE when there is neither a config nor a folder `handlers`, SANDBOX_UNAVAILABLE. */
export async function openWorkbench(options: OpenOptions, programs?: Promise<Programs>): Promise<Opened> {
  const config = await findConfig(options);
  return { config, bench: await Workbench.open(workbenchOptions(config, options), programs) };
}

export function workbenchOptions(config: Config | undefined, { cwd }: OpenOptions): WorkbenchOptions {
  if (config === undefined) return { handlers: plainHandlers(resolve(cwd ?? process.cwd(), "handlers")) };
  const { handlers, sandbox, gateway } = config;
  return { handlers, sandbox, gatewayId: gateway.id, uplinks: Object.keys(config.uplinks) };
}

export async function findConfig({ config, env, cwd = process.cwd() }: OpenOptions): Promise<Config | undefined> {
  try {
    return await loadConfig(configFile(config, env, cwd), env);
  } catch (thrown) {
    const isNamed = config !== undefined || (env["SLUICE_CONFIG"] ?? "") !== "";
    const isMissing = thrown instanceof Fault && thrown.code === "CONFIG_UNREADABLE";
    if (isMissing && !isNamed && existsSync(resolve(cwd, "handlers"))) return undefined;
    throw thrown;
  }
}

function plainHandlers(dir: string): WorkbenchOptions["handlers"] {
  return handlersSettings.parse({ dir, watch: false });
}

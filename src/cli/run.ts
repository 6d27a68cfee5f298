/** `sluice run`: the gateway, until a signal ends it. */
import { Command } from "commander";
import { configFile, loadConfig } from "../config.ts";
import type { Config } from "../config.ts";
import { createLog } from "../log.ts";
import type { Shown } from "../gateway.ts";
import type { Log } from "../log.ts";
import { endSurely, watchHangups, watchSignals } from "./signals.ts";
import { paint, say } from "./terminal.ts";

export function runCommand(done: (code: number) => void): Command {
  return new Command("run")
    .description(
      "Runs the gateway in the foreground. The log goes to stderr: JSON lines, or coloured ones on a terminal.",
    )
    .option("--config <file>", "its config; default: SLUICE_CONFIG, config/sluice.yaml or sluice.yaml")
    .addHelpText(
      "after",
      `
Signals:
  SIGTERM, SIGINT  stop taking events, finish what runs within gateway.drain, then close; a second one ends at once
  SIGHUP           read the config again: what can change while running does, the log says what needs a restart

Examples:
  sluice run
  sluice run --config /etc/sluice/sluice.yaml
  kill -HUP $(pidof sluice)`,
    )
    .action(async (options: { config?: string }) => {
      done(await runGateway(options.config, { pretty: process.stderr.isTTY, change: (config) => config }));
    });
}

export interface RunOptions {
  /** Coloured log lines instead of JSON. */
  readonly pretty: boolean;
  /** What the command changes in each config that is read. */
  readonly change: (config: Config) => Config;
  /** Called when the gateway is ready; what it returns is called before it closes. */
  readonly ready?: (addresses: Addresses) => () => void;
  /** Told what handlers send and fail at. */
  readonly show?: (shown: Shown) => void;
}

/** Opens the gateway of the config at `path` and resolves with the exit code once it has ended. */
export async function runGateway(
  path: string | undefined,
  { pretty, change, ready, show }: RunOptions,
): Promise<number> {
  process.title = "sluice"; // What `pidof` and `ps` are asked for.
  const hangups = watchHangups();
  const file = configFile(path, process.env);
  const load = async (): Promise<Config> => change(await loadConfig(file, process.env, { files: true }));
  const config = await load();
  const log = createLog({ level: config.log.level, pretty });
  // Loaded only now: the rest of the command line starts quicker without the gateway.
  const { Gateway } = await import("../gateway.ts");
  const signals = watchSignals(log, hangups);
  let gateway;
  try {
    gateway = await Gateway.open(config, { log, configPath: file, env: process.env, show });
  } catch (thrown) {
    endSurely(log);
    throw thrown;
  }
  announce(config, gateway.addresses, log, pretty);
  if (ready === undefined) return signals.until({ gateway, config, load });
  const over = ready(gateway.addresses);
  process.once("exit", over); // Where a second signal ends it at once.
  const reload = gateway.reload.bind(gateway);
  const close = (deadlineMs: number): Promise<void> => {
    over();
    return gateway.close(deadlineMs);
  };
  return signals.until({ gateway: { reload, close }, config, load });
}

export interface Addresses {
  /** Urls of the listeners, with the ports that were given for port 0. */
  readonly broker: readonly string[];
  readonly control: string;
}

function announce(config: Config, addresses: Addresses, log: Log, pretty: boolean): void {
  const { broker, control } = addresses;
  const { id, data } = config.gateway;
  // A log that a program reads stays JSON throughout.
  if (!pretty) {
    log.info({ gateway: id, broker, control, data }, "the gateway is ready");
    return;
  }
  const parts = [`devices ${broker.join(", ")}`, `control ${control}`, `data ${data}`];
  say(`${paint("green", `${id} is ready`, process.stderr)}: ${parts.join(", ")}`);
}

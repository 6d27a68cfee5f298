/** `sluice dev`: run, made for writing handlers. */
import { Command } from "commander";
import type { Config } from "../config.ts";
import { runGateway } from "./run.ts";

export function devCommand(done: (code: number) => void): Command {
  return new Command("dev")
    .description(
      "Runs the gateway with a readable log, and takes on each handler as soon as it is saved, whatever handlers.watch says.",
    )
    .option("--config <file>", "its config; default: SLUICE_CONFIG, config/sluice.yaml or sluice.yaml")
    .addHelpText(
      "after",
      `
Examples:
  sluice dev
  sluice dev & sluice simulate --devices 5 --rate 20`,
    )
    .action(async (options: { config?: string }) => {
      const change = (config: Config): Config => ({ ...config, handlers: { ...config.handlers, watch: true } });
      done(await runGateway(options.config, { pretty: true, change }));
    });
}

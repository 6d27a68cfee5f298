/** `sluice handlers`: what is asked of the running gateway about its handlers. */
import { Command } from "commander";
import type { BulkAnswer, StatusAnswer } from "../control/shapes.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import { confirm, plain, printJson, say } from "./terminal.ts";

interface DropOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly yes?: boolean;
}

export function handlersCommand(done: (code: number) => void): Command {
  const handlers = new Command("handlers").description("The running gateway's handlers; `sluice status` lists them.");
  handlers.addCommand(dropCommand(done));
  return handlers;
}

function dropCommand(done: (code: number) => void): Command {
  return new Command("drop")
    .description(
      "Drops all that waits for a handler or route that is gone. The ledger counts it as dropped. Dead letters stay: `sluice dead drop --handler <name>`.",
    )
    .argument("<name>", "as `sluice status` prints it")
    .option("--config <file>", "the gateway's config")
    .option("--json", "print {count}")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      `
Examples:
  sluice handlers drop overheat
  sluice handlers drop overheat --yes --json`,
    )
    .action(async (name: string, options: DropOptions) => {
      const gateway = await findGateway(options.config, process.env);
      if (options.yes !== true) {
        const { handlers } = await gateway.ask<StatusAnswer>("GET", "/api/v1/status");
        const { waiting = 0, parked = 0 } = handlers.find((of) => of.name === name) ?? {};
        await confirm(`Drop the ${waiting + parked} tasks that wait for ${plain(name)} for good?`, false);
      }
      const path = `/api/v1/handlers/${encodeURIComponent(name)}/tasks`;
      const { count } = await gateway.ask<BulkAnswer>("DELETE", path);
      if (options.json === true) printJson({ count });
      else say(`dropped: ${count}`);
      done(EXIT.ok);
    });
}

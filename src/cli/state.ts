/** `sluice state`: what handlers remember, by key. */
import { Command } from "commander";
import type { StateAnswer, StatesAnswer } from "../control/state-routes.ts";
import type { BulkAnswer } from "../control/shapes.ts";
import { wholeNumber } from "./device.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import { harmless, plain } from "../plain.ts";
import { confirm, print, printJson, say, table, terminalWidth } from "./terminal.ts";
import { showBytes } from "../shown-bytes.ts";

interface Shared {
  readonly config?: string;
  readonly json?: boolean;
}

const PAGE = 1000;

export function stateCommand(done: (code: number) => void): Command {
  const state = new Command("state")
    .description("What handlers remember in ctx.state, a JSON value a key. It stays when a handler is deployed anew.")
    .addHelpText(
      "after",
      `
Examples:
  sluice state ls overheat
  sluice state get overheat press-7 | jq .count
  sluice state rm overheat press-7 --yes`,
    );
  state.addCommand(listCommand(done));
  state.addCommand(getCommand(done));
  state.addCommand(removeCommand(done));
  return state;
}

function shared(command: Command): Command {
  return command.option("--config <file>", "the gateway's config").option("--json", "print JSON");
}

function listCommand(done: (code: number) => void): Command {
  return shared(new Command("ls"))
    .description("Lists the keys of which a handler has state.")
    .argument("<name>", "the handler")
    .option("--after <key>", "only keys behind this one")
    .option("--limit <n>", "at most so many", wholeNumber(1, 1e6), 50)
    .addHelpText("after", "\nWith --json, one key a line (NDJSON).")
    .action(async (name: string, options: Shared & { after?: string; limit: number }) => {
      const gateway = await findGateway(options.config, process.env);
      const states: StatesAnswer["states"] = [];
      let { after } = options;
      do {
        const query = new URLSearchParams({ limit: String(Math.min(PAGE, options.limit - states.length)) });
        if (after !== undefined) query.set("after", after);
        const path = `/api/v1/handlers/${encodeURIComponent(name)}/states?${query.toString()}`;
        const page = await gateway.ask<StatesAnswer>("GET", path);
        states.push(...page.states);
        after = page.next;
      } while (after !== undefined && states.length < options.limit);
      if (options.json === true) for (const one of states) printJson(one);
      else if (states.length === 0) say("it has no state");
      else {
        const rows = states.map(({ key, bytes, written, version }) => [
          plain(key),
          showBytes(bytes),
          version ?? "-",
          written ?? "-",
        ]);
        print(table(["KEY", "size", "version", "written"], rows, terminalWidth()));
        if (after !== undefined) say(`there are more: --limit ${options.limit * 2}, or --after ${plain(after)}`);
      }
      done(EXIT.ok);
    });
}

function getCommand(done: (code: number) => void): Command {
  return shared(new Command("get"))
    .description("Prints the state of a key as JSON; with --json also its size, version and time.")
    .argument("<name>", "the handler")
    .argument("<key>", "as `sluice state ls` prints it")
    .action(async (name: string, key: string, options: Shared) => {
      const gateway = await findGateway(options.config, process.env);
      const answer = await gateway.ask<StateAnswer>("GET", pathOf(name, key));
      if (options.json === true) printJson(answer);
      else print(JSON.stringify(answer.state, null, 2).split("\n").map(harmless).join("\n"));
      done(EXIT.ok);
    });
}

function removeCommand(done: (code: number) => void): Command {
  return shared(new Command("rm"))
    .description(
      "Removes the state of a key, in one commit. Events of the key that are running run again, on no state.",
    )
    .argument("<name>", "the handler")
    .argument("<key>", "as `sluice state ls` prints it")
    .option("--yes", "do not ask")
    .action(async (name: string, key: string, options: Shared & { yes?: boolean }) => {
      const gateway = await findGateway(options.config, process.env);
      await confirm(`Remove the state of key ${plain(key)} of ${plain(name)} for good?`, options.yes === true);
      const { count } = await gateway.ask<BulkAnswer>("DELETE", pathOf(name, key));
      if (options.json === true) printJson({ count });
      else say(`removed: ${count}`);
      done(EXIT.ok);
    });
}

function pathOf(name: string, key: string): string {
  return `/api/v1/handlers/${encodeURIComponent(name)}/state?${new URLSearchParams({ key }).toString()}`;
}

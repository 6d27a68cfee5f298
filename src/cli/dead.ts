/** `sluice dead`: what will not be tried again by itself. */
import { Command, Option } from "commander";
import type { BulkAnswer, LetterAnswer, LettersAnswer, LetterWholeAnswer } from "../control/shapes.ts";
import { Fault } from "../fault.ts";
import { wholeNumber } from "./device.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import type { Running } from "./running.ts";
import { plain } from "../plain.ts";
import { confirm, paint, print, printJson, say, table, terminalWidth } from "./terminal.ts";

interface Shared {
  readonly config?: string;
  readonly json?: boolean;
}

interface Chosen extends Shared {
  readonly all?: boolean;
  readonly handler?: string;
  readonly yes?: boolean;
  readonly version?: number;
}

type Verb = "redrive" | "drop";

const PAGE = 500;

export function deadCommand(done: (code: number) => void): Command {
  const dead = new Command("dead")
    .description(
      "Dead letters are tasks that will not be tried again by themselves. Each is kept with its event until you decide.",
    )
    .addHelpText(
      "after",
      `
Examples:
  sluice dead ls
  sluice dead show <id>
  sluice dead redrive <id>              after the handler was mended
  sluice dead redrive <id> --version 4  on that version, now, as a replay does
  sluice dead redrive --handler overheat
  sluice dead drop --all --yes`,
    );
  dead.addCommand(listCommand(done));
  dead.addCommand(showCommand(done));
  dead.addCommand(actCommand("redrive", "try again: one, those of a handler, or all", done));
  dead.addCommand(actCommand("drop", "forget for good: one, those of a handler, or all", done));
  return dead;
}

function shared(command: Command): Command {
  return command.option("--config <file>", "the gateway's config").option("--json", "print JSON");
}

function listCommand(done: (code: number) => void): Command {
  return shared(new Command("ls"))
    .description("Lists dead letters, oldest first.")
    .option("--handler <name>", "only those of this handler")
    .option("--limit <n>", "at most so many", wholeNumber(1, 1e6), 50)
    .addHelpText("after", "\nWith --json, one dead letter a line (NDJSON).")
    .action(async (options: Shared & { handler?: string; limit: number }) => {
      const gateway = await findGateway(options.config, process.env);
      const { letters, isMore } = await list(gateway, options.handler, options.limit);
      if (options.json === true) for (const letter of letters) printJson(letter);
      else if (letters.length === 0) say("there are no dead letters");
      else {
        const rows = letters.map((of) => [
          of.id,
          of.died,
          of.handler,
          of.key,
          of.tries,
          `${of.failure.code}: ${of.failure.message}`,
        ]);
        print(
          table(
            ["ID", "died", "handler", "key", "tries", "failure"],
            rows.map((row) => row.map(shown)),
            terminalWidth(),
          ),
        );
        if (isMore) say(`there are more: --limit ${options.limit * 2}`);
      }
      done(EXIT.ok);
    });
}

async function list(
  gateway: Running,
  handler: string | undefined,
  limit: number,
): Promise<{ letters: LetterAnswer[]; isMore: boolean }> {
  const letters: LetterAnswer[] = [];
  let after: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(PAGE, limit - letters.length)) });
    if (handler !== undefined) query.set("handler", handler);
    if (after !== undefined) query.set("after", after);
    const page = await gateway.ask<LettersAnswer>("GET", `/api/v1/dead?${query.toString()}`);
    letters.push(...page.letters);
    after = page.next;
  } while (after !== undefined && letters.length < limit);
  return { letters, isMore: after !== undefined };
}

function showCommand(done: (code: number) => void): Command {
  return shared(new Command("show"))
    .description("Shows one dead letter with its payload and where it failed.")
    .argument("<id>", "as `sluice dead ls` prints it")
    .action(async (id: string, options: Shared) => {
      const gateway = await findGateway(options.config, process.env);
      const letter = await gateway.ask<LetterWholeAnswer>("GET", `/api/v1/dead/${encodeURIComponent(id)}`);
      if (options.json === true) printJson(letter);
      else print(show(letter));
      done(EXIT.ok);
    });
}

function actCommand(verb: Verb, description: string, done: (code: number) => void): Command {
  return shared(new Command(verb))
    .description(`${description[0]?.toUpperCase()}${description.slice(1)}.`)
    .argument("[id]", "as `sluice dead ls` prints it")
    .option("--handler <name>", "those of this handler")
    .option("--all", "all of them")
    .option("--yes", "do not ask")
    .addOption(
      new Option("--version <n>", "run it on this version now, as a replay does: no state changes, no fetch")
        .argParser(wholeNumber(1, 1e9))
        .hideHelp(verb === "drop"),
    )
    .action(async (id: string | undefined, options: Chosen) => {
      if (options.version !== undefined && (verb === "drop" || id === undefined)) {
        throw new Fault("CLI_USAGE", "--version goes with redrive and an id");
      }
      const given = [id, options.handler, options.all].filter((choice) => choice !== undefined);
      if (given.length !== 1) throw new Fault("CLI_USAGE", "say which: an id, --handler <name> or --all");
      const gateway = await findGateway(options.config, process.env);
      // Redriving loses nothing: only dropping is asked about.
      if (verb === "drop") await confirm(question(id, options.handler), options.yes === true);
      const count =
        id === undefined
          ? await actOnAll(gateway, verb, options.handler)
          : await actOnOne(gateway, verb, id, options.version);
      if (options.json === true) printJson({ count });
      else say(`${verb === "drop" ? "dropped" : "redriven"}: ${count}`);
      done(EXIT.ok);
    });
}

function question(id: string | undefined, handler: string | undefined): string {
  if (id !== undefined) return `Forget dead letter ${plain(id)} for good?`;
  return handler === undefined
    ? "Forget all dead letters for good?"
    : `Forget all dead letters of ${plain(handler)} for good?`;
}

async function actOnOne(gateway: Running, verb: Verb, id: string, version?: number): Promise<number> {
  const path = `/api/v1/dead/${encodeURIComponent(id)}`;
  const answer =
    verb === "drop"
      ? await gateway.ask<BulkAnswer>("DELETE", path)
      : await gateway.ask<BulkAnswer>("POST", `${path}/redrive`, version === undefined ? undefined : { version });
  return answer.count;
}

/** Page by page. Those that die again meanwhile are later than `until`, so that this ends. */
async function actOnAll(gateway: Running, verb: Verb, handler: string | undefined): Promise<number> {
  const until = new Date().toISOString();
  let count = 0;
  let after: string | undefined;
  do {
    const answer = await gateway.ask<BulkAnswer>("POST", `/api/v1/dead/${verb}`, {
      handler,
      after,
      until,
      limit: PAGE,
    });
    count += answer.count;
    after = answer.next;
  } while (after !== undefined);
  return count;
}

function show(letter: LetterWholeAnswer): string {
  const { failure } = letter;
  const fields: [string, string | number | undefined][] = [
    ["id", letter.id],
    ["kind", letter.kind],
    ["handler", `${letter.handler} version ${letter.version}`],
    ["uplink", letter.uplink],
    ["event", letter.event],
    ["topic", letter.topic],
    ["device", letter.device === "" ? undefined : letter.device],
    ["key", letter.key],
    ["time", letter.time],
    ["died", letter.died],
    ["tries", letter.tries],
    ["failure", `${failure.code}: ${failure.message}`],
  ];
  const lines = fields
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${paint("bold", name.padEnd(8))} ${shown(value ?? "")}`);
  const stack = failure.stack?.split("\n").map((line) => `  ${plain(line)}`) ?? [];
  const payload =
    letter.data === undefined
      ? plain(Buffer.from(letter.data_base64, "base64").toString("utf8"))
      : JSON.stringify(letter.data, null, 2);
  return [...lines, ...stack, paint("bold", "payload"), payload].join("\n");
}

function shown<T extends string | number>(cell: T): T | string {
  return typeof cell === "string" ? plain(cell) : cell;
}

/** `sluice check`: is the config good, and does every handler build and load? Starts nothing and writes nothing. */
import { existsSync } from "node:fs";
import { Command } from "commander";
import { configFile, ConfigFault, loadConfig } from "../config.ts";
import type { Config } from "../config.ts";
import { problemFault } from "../config/problem.ts";
import { Fault } from "../fault.ts";
import type { HandlerCheck } from "../check.ts";
import { EXIT, exitOf } from "./exit.ts";
import { plain } from "../plain.ts";
import { explained, paint, print, printJson, say, sayFault } from "./terminal.ts";

interface CheckOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/** One finding, as --json prints it. */
interface Finding {
  readonly where: string | undefined;
  readonly message: string;
  readonly remedy: string;
  readonly code: string;
}

export function checkCommand(done: (code: number) => void): Command {
  return new Command("check")
    .description(
      "Checks the config, then builds every handler and loads it in a sandbox. Starts nothing; a running gateway is not disturbed.",
    )
    .option("--config <file>", "the config; default: SLUICE_CONFIG, config/sluice.yaml or sluice.yaml")
    .option("--json", "print {config, handlers, unused, problems}")
    .addHelpText(
      "after",
      `
Exit status: 0 all is well, 3 the config is invalid, 1 a handler does not build or load. Of a config that is well but for
files and variables that are not there, the handlers are looked at all the same.

Examples:
  sluice check
  sluice check --config /etc/sluice/sluice.yaml && systemctl reload sluice`,
    )
    .action(async (options: CheckOptions) => {
      done(await check(options));
    });
}

async function check(options: CheckOptions): Promise<number> {
  const { file, config, fault: flaw } = await read(options.config);
  if (flaw !== undefined && options.json !== true) sayFault(flaw);
  if (config === undefined) {
    if (options.json === true) printJson({ config: file, handlers: [], problems: findingsOf(flaw) });
    return exitOf(flaw.code);
  }
  const handlers = await handlersOf(config, flaw === undefined);
  // Perhaps a handler that comes later: worth a word, no reason to fail.
  const unused = Object.keys(config.handlers.settings).filter(
    (name) => !handlers.some((handler) => handler.name === name),
  );
  const failed = handlers.filter((handler) => handler.fault !== undefined);
  if (options.json === true) {
    printJson({
      config: file,
      handlers: handlers.map(({ name, fault, grants, triggers, to }) => ({
        name,
        ok: fault === undefined,
        triggers,
        to,
        ...grants,
      })),
      unused,
      problems: [flaw, ...failed.map(({ fault }) => fault)].flatMap((fault) => findingsOf(fault)),
    });
  } else {
    if (flaw === undefined) print(`${paint("green", "✓")} ${file}`);
    for (const { name, fault, grants, triggers, to } of handlers) {
      if (fault === undefined) {
        print(`${paint("green", "✓")} ${name}`);
        for (const line of triggers ?? []) print(`    ${plain(line)}`);
        if (to?.length === 0) print("    names no uplink in `to`: what it returns goes nowhere");
        if (grants !== undefined) for (const line of grantLines(grants)) print(`    ${line}`);
      } else say(`${paint("red", "✗", process.stderr)} ${name === "" ? "handlers" : plain(name)}\n${explained(fault)}`);
    }
    for (const name of unused)
      say(`${paint("yellow", "!", process.stderr)} handlers.settings.${name}: there is no handler ${name}`);
  }
  if (flaw !== undefined) return exitOf(flaw.code);
  return failed.length === 0 ? EXIT.ok : EXIT.failed;
}

type ReadConfig =
  /** With a fault: files and variables that it names are not there. That is no reason not to look at handlers. */
  | { readonly file: string; readonly config: Config; readonly fault: Fault | undefined }
  | { readonly file: string | undefined; readonly config: undefined; readonly fault: Fault };

async function read(path: string | undefined): Promise<ReadConfig> {
  let file: string | undefined;
  try {
    file = configFile(path, process.env);
    return { file, config: await loadConfig(file, process.env, { files: true }), fault: undefined };
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    const config = file === undefined ? undefined : await loadConfig(file, process.env).catch(() => undefined);
    return file === undefined || config === undefined
      ? { file, config: undefined, fault: thrown }
      : { file, config, fault: thrown };
  }
}

/** `isSound`: the config has no fault; then a folder that it names is there. */
async function handlersOf(config: Config, isSound: boolean): Promise<readonly HandlerCheck[]> {
  const { dir } = config.handlers;
  if (!existsSync(dir)) {
    if (isSound)
      say(`${paint("yellow", "!", process.stderr)} no handlers: there is no folder ${plain(dir)} (\`handlers.dir\`)`);
    return [];
  }
  const { checkHandlers } = await import("../check.ts");
  return checkHandlers(config);
}

function grantLines({ fetch, secrets }: NonNullable<HandlerCheck["grants"]>): string[] {
  const lines = { "may fetch from": fetch, "has secrets": secrets };
  return Object.entries(lines).flatMap(([what, names]) => (names.length === 0 ? [] : [`${what} ${names.join(", ")}`]));
}

function findingsOf(fault: Fault | undefined): Finding[] {
  if (fault === undefined) return [];
  const faults =
    fault instanceof ConfigFault ? fault.problems.map((problem) => problemFault(fault.file, problem)) : [fault];
  return faults.map(({ where, message, remedy, code }) => ({ where, message, remedy, code }));
}

/** The command line: its commands, and what their faults mean as exit codes. */
import { Command, CommanderError } from "commander";
import { Fault } from "../fault.ts";
import { version } from "../version.ts";
import { EXIT, exitOf } from "./exit.ts";
import { nearest } from "../config/similar.ts";
import { GUIDES } from "./guides.ts";
import type { Guide, GuideName } from "./guides.ts";
import { print, sayFault } from "./terminal.ts";

/** A command says through `done` what its exit code is. */
type MakeCommand = (done: (code: number) => void) => Command;

interface Entry {
  readonly name: string;
  readonly guide: GuideName;
  readonly summary: string;
  /** Only the command that is asked for is loaded: a health check should not load the gateway. */
  readonly load: () => Promise<MakeCommand>;
}

const COMMANDS: readonly Entry[] = [
  {
    name: "run",
    guide: "starting",
    summary: "run the gateway",
    load: async () => (await import("./run.ts")).runCommand,
  },
  {
    name: "dev",
    guide: "writing",
    summary: "run the gateway while you write handlers",
    load: async () => (await import("./dev.ts")).devCommand,
  },
  {
    name: "check",
    guide: "writing",
    summary: "check the config and the handlers",
    load: async () => (await import("./check.ts")).checkCommand,
  },
  {
    name: "test",
    guide: "writing",
    summary: "run the cases of handlers, without a gateway",
    load: async () => (await import("./test.ts")).testCommand,
  },
  {
    name: "invoke",
    guide: "writing",
    summary: "run one event through a handler, without a gateway",
    load: async () => (await import("./invoke.ts")).invokeCommand,
  },
  {
    name: "init",
    guide: "starting",
    summary: "write a config and a sample handler",
    load: async () => (await import("./init.ts")).initCommand,
  },
  {
    name: "types",
    guide: "writing",
    summary: "types and schemas for editors; check the handlers' types",
    load: async () => (await import("./editor.ts")).editorCommand,
  },
  {
    name: "deploy",
    guide: "deploying",
    summary: "send a handler to the running gateway",
    load: async () => (await import("./deploy.ts")).deployCommand,
  },
  {
    name: "versions",
    guide: "deploying",
    summary: "a handler's versions, and what happened to them",
    load: async () => (await import("./versions.ts")).versionsCommand,
  },
  {
    name: "promote",
    guide: "deploying",
    summary: "make a canary or shadow live",
    load: async () => (await import("./versions.ts")).promoteCommand,
  },
  {
    name: "rollback",
    guide: "deploying",
    summary: "make an older version live again, or drop what is tried",
    load: async () => (await import("./versions.ts")).rollbackCommand,
  },
  {
    name: "status",
    guide: "watching",
    summary: "the ledger, handlers and uplinks of the running gateway",
    load: async () => (await import("./status.ts")).statusCommand,
  },
  {
    name: "replay",
    guide: "repairing",
    summary: "run past events again on a version, and compare or send",
    load: async () => (await import("./replay.ts")).replayCommand,
  },
  {
    name: "dead",
    guide: "repairing",
    summary: "dead letters: ls, show, redrive, drop",
    load: async () => (await import("./dead.ts")).deadCommand,
  },
  {
    name: "handlers",
    guide: "watching",
    summary: "what handlers do: rates, failures, times; drop what waits for one that is gone",
    load: async () => (await import("./handlers.ts")).handlersCommand,
  },
  {
    name: "tail",
    guide: "watching",
    summary: "follow what happens: log lines, outcomes, deploys, uplinks",
    load: async () => (await import("./tail.ts")).tailCommand,
  },
  {
    name: "state",
    guide: "repairing",
    summary: "what handlers remember: ls, get, rm",
    load: async () => (await import("./state.ts")).stateCommand,
  },
  {
    name: "pub",
    guide: "starting",
    summary: "publish a message",
    load: async () => (await import("./pub.ts")).pubCommand,
  },
  {
    name: "sub",
    guide: "watching",
    summary: "subscribe and print messages",
    load: async () => (await import("./sub.ts")).subCommand,
  },
  {
    name: "simulate",
    guide: "starting",
    summary: "devices that publish telemetry",
    load: async () => (await import("./simulate.ts")).simulateCommand,
  },
  {
    name: "health",
    guide: "watching",
    summary: "exit status 0 when the gateway is ready, else 1",
    load: async () => (await import("./health.ts")).healthCommand,
  },
  {
    name: "completion",
    guide: "starting",
    summary: "completion for bash, zsh and fish",
    load: async () => {
      const { completionCommand, completedOf } = await import("./completion.ts");
      return (done) => completionCommand(done, async () => completedOf(await wholeProgram()));
    },
  },
];

/** Runs the command that `args` name and resolves with the exit code. Never rejects. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  try {
    const guide = args.length === 2 && args[0] === "help" ? guideOf(args[1] ?? "") : undefined;
    if (guide !== undefined) {
      print(guide.text);
      return code;
    }
    if (args.length === 2 && args[0] === "help") assertHelpedWith(args[1] ?? "");
    const program = await makeProgram(args, (given) => {
      code = given;
    });
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (thrown) {
    // Commander has written its message, or the help that was asked for.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
    sayFault(thrown, args[0]);
    return thrown instanceof Fault ? exitOf(thrown.code) : EXIT.failed;
  }
}

async function makeProgram(args: readonly string[], done: (code: number) => void): Promise<Command> {
  const wanted = args[0] === "help" ? args[1] : args[0];
  return programOf(async ({ name, load }) => (name === wanted ? (await load())(done) : new Command(name)));
}

/** With all its commands, for whoever wants to know what they take. */
function wholeProgram(): Promise<Command> {
  return programOf(async ({ load }) => (await load())(() => undefined));
}

async function programOf(commandOf: (entry: Entry) => Promise<Command>): Promise<Command> {
  const program = new Command("sluice")
    .description(
      "An edge event gateway: devices publish MQTT, your functions run on every event, results reach the cloud.",
    )
    .version(version, "--version", "print the version")
    // A version of a handler is an option of its commands.
    .enablePositionalOptions()
    .addHelpText(
      "after",
      `
Start here:
  sluice init edge && cd edge && sluice dev --sim    a folder with a config and a handler, running, with devices
  sluice test                                        the cases of its handler
  sluice status                                      what became of it

Learn:
${Object.values(GUIDES)
  .map(({ name, text }) => `  sluice help ${name.padEnd(10)}  ${text.slice(0, text.indexOf("\n"))}`)
  .join("\n")}

\`sluice help <command>\` has examples for each.
Exit status: 0 ok, 1 failed, 2 usage, 3 invalid config, 4 gateway unreachable, 5 denied, 6 not found or conflict,
7 partly done, 130 interrupted.`,
    );
  // Headings come in the order of the guides.
  for (const { name: guide, heading } of Object.values(GUIDES)) {
    for (const entry of COMMANDS.filter((one) => one.guide === guide)) {
      program.addCommand((await commandOf(entry)).summary(entry.summary).helpGroup(`${heading}:`));
    }
  }
  strict(program);
  return program;
}

/** Commander would print the whole help, as if nothing had been asked. Throws CLI_USAGE. */
function assertHelpedWith(name: string): void {
  const names = [...COMMANDS.map((entry) => entry.name), ...Object.keys(GUIDES), "help"];
  if (names.includes(name) || name.startsWith("-")) return;
  const near = nearest(name, names);
  const remedy =
    near === undefined ? "`sluice help` lists the commands and the guides." : `Did you mean \`sluice help ${near}\`?`;
  throw new Fault("CLI_USAGE", `there is no command and no guide ${JSON.stringify(name)}`, { remedy });
}

function guideOf(name: string): Guide | undefined {
  return Object.values<Guide>(GUIDES).find((guide) => guide.name === name);
}

/** Errors come back as exceptions instead of ending the process, for this command and those below it. */
function strict(command: Command): void {
  command.exitOverride().showHelpAfterError("(add --help for what it takes, with examples)");
  for (const below of command.commands) strict(below);
}

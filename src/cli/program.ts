/** The command line: its commands, and what their faults mean as exit codes. */
import { Command, CommanderError } from "commander";
import { Fault } from "../fault.ts";
import { version } from "../version.ts";
import { EXIT, exitOf } from "./exit.ts";
import { sayFault } from "./terminal.ts";

/** A command says through `done` what its exit code is. */
type MakeCommand = (done: (code: number) => void) => Command;

interface Entry {
  readonly name: string;
  readonly summary: string;
  /** Only the command that is asked for is loaded: a health check should not load the gateway. */
  readonly load: () => Promise<MakeCommand>;
}

const COMMANDS: readonly Entry[] = [
  { name: "run", summary: "run the gateway", load: async () => (await import("./run.ts")).runCommand },
  {
    name: "dev",
    summary: "run the gateway while you write handlers",
    load: async () => (await import("./dev.ts")).devCommand,
  },
  {
    name: "check",
    summary: "check the config and the handlers",
    load: async () => (await import("./check.ts")).checkCommand,
  },
  {
    name: "test",
    summary: "run the cases of handlers, without a gateway",
    load: async () => (await import("./test.ts")).testCommand,
  },
  {
    name: "invoke",
    summary: "run one event through a handler, without a gateway",
    load: async () => (await import("./invoke.ts")).invokeCommand,
  },
  {
    name: "init",
    summary: "write a config and a sample handler",
    load: async () => (await import("./init.ts")).initCommand,
  },
  {
    name: "status",
    summary: "the ledger, handlers and uplinks of the running gateway",
    load: async () => (await import("./status.ts")).statusCommand,
  },
  {
    name: "dead",
    summary: "dead letters: ls, show, redrive, drop",
    load: async () => (await import("./dead.ts")).deadCommand,
  },
  {
    name: "handlers",
    summary: "drop what waits for a handler that is gone",
    load: async () => (await import("./handlers.ts")).handlersCommand,
  },
  { name: "pub", summary: "publish a message", load: async () => (await import("./pub.ts")).pubCommand },
  { name: "sub", summary: "subscribe and print messages", load: async () => (await import("./sub.ts")).subCommand },
  {
    name: "simulate",
    summary: "devices that publish telemetry",
    load: async () => (await import("./simulate.ts")).simulateCommand,
  },
  {
    name: "health",
    summary: "exit status 0 when the gateway is ready, else 1",
    load: async () => (await import("./health.ts")).healthCommand,
  },
];

/** Runs the command that `args` name and resolves with the exit code. Never rejects. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  try {
    const program = await makeProgram(args, (given) => {
      code = given;
    });
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (thrown) {
    // Commander has written its message, or the help that was asked for.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
    sayFault(thrown);
    return thrown instanceof Fault ? exitOf(thrown.code) : EXIT.failed;
  }
}

async function makeProgram(args: readonly string[], done: (code: number) => void): Promise<Command> {
  const program = new Command("sluice")
    .description(
      "An edge event gateway: devices publish MQTT, your functions run on every event, results reach the cloud.",
    )
    .version(version, "--version", "print the version")
    .addHelpText(
      "after",
      `
Start here:
  sluice init edge && cd edge && sluice dev    a folder with a config and a handler, running
  sluice simulate                              devices that publish
  sluice status                                what became of it

\`sluice help <command>\` has examples for each.
Exit status: 0 ok, 1 failed, 2 usage, 3 invalid config, 4 gateway unreachable, 5 denied, 6 not found or conflict,
7 partly done, 130 interrupted.`,
    );
  const wanted = args[0] === "help" ? args[1] : args[0];
  for (const { name, summary, load } of COMMANDS) {
    const command = name === wanted ? (await load())(done) : new Command(name);
    program.addCommand(command.summary(summary));
  }
  strict(program);
  return program;
}

/** Errors come back as exceptions instead of ending the process, for this command and those below it. */
function strict(command: Command): void {
  command.exitOverride().showHelpAfterError("(add --help for what it takes, with examples)");
  for (const below of command.commands) strict(below);
}

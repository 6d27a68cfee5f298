/** The command line: its commands, and what their faults mean as exit codes. */
import { Command, CommanderError } from "commander";
import { Fault } from "../fault.ts";
import { version } from "../version.ts";
import { checkCommand } from "./check.ts";
import { deadCommand } from "./dead.ts";
import { devCommand } from "./dev.ts";
import { EXIT, exitOf } from "./exit.ts";
import { healthCommand } from "./health.ts";
import { initCommand } from "./init.ts";
import { pubCommand } from "./pub.ts";
import { runCommand } from "./run.ts";
import { simulateCommand } from "./simulate.ts";
import { statusCommand } from "./status.ts";
import { subCommand } from "./sub.ts";
import { sayFault } from "./terminal.ts";

/** A command says through `done` what its exit code is. */
export type MakeCommand = (done: (code: number) => void) => Command;

const COMMANDS: readonly MakeCommand[] = [
  runCommand,
  devCommand,
  checkCommand,
  initCommand,
  statusCommand,
  deadCommand,
  pubCommand,
  subCommand,
  simulateCommand,
  healthCommand,
];

/** Runs the command that `args` name and resolves with the exit code. Never rejects. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  const program = makeProgram((given) => {
    code = given;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (thrown) {
    // Commander has written its message, or the help that was asked for.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
    sayFault(thrown);
    return thrown instanceof Fault ? exitOf(thrown.code) : EXIT.failed;
  }
}

function makeProgram(done: (code: number) => void): Command {
  const program = new Command("sluice")
    .description(
      "An edge event gateway: devices publish MQTT, your functions run on every event, results reach the cloud.",
    )
    .version(version, "--version", "print the version")
    .configureHelp({ showGlobalOptions: false })
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
  for (const make of COMMANDS) program.addCommand(make(done));
  strict(program);
  return program;
}

/** Errors come back as exceptions instead of ending the process, for this command and those below it. */
function strict(command: Command): void {
  command.exitOverride().showHelpAfterError("(add --help for what it takes, with examples)");
  for (const below of command.commands) strict(below);
}

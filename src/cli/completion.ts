/** `sluice completion`: what a shell needs to complete commands, options and handlers' names. */
import { Argument, Command } from "commander";
import { GUIDES } from "./guides.ts";
import { print } from "./terminal.ts";
import { EXIT } from "./exit.ts";

/** A command as far as completing goes. */
export interface Completed {
  readonly name: string;
  readonly summary: string;
  /** With their dashes: "--config", "-t". */
  readonly options: readonly {
    readonly flag: string;
    readonly about: string;
    readonly takes: "nothing" | "file" | "text";
  }[];
  readonly commands: readonly Completed[];
  /** Words that its first argument may be. */
  readonly choices: readonly string[];
  /** What its first argument is. */
  readonly argument: "handler" | "file" | undefined;
}

const SHELLS = ["bash", "zsh", "fish"] as const;

/** `tree`: the whole command line; loaded only when it is asked for. */
export function completionCommand(done: (code: number) => void, tree: () => Promise<Completed>): Command {
  return new Command("completion")
    .description("Prints a script that has your shell complete commands, options, files and the names of handlers.")
    .addArgument(new Argument("<shell>", "which one").choices(SHELLS))
    .addHelpText(
      "after",
      `
Handlers are those of the folder \`handlers\` below where you are.

Examples:
  source <(sluice completion bash)                                  in ~/.bashrc
  source <(sluice completion zsh)                                   in ~/.zshrc, after compinit
  sluice completion fish > ~/.config/fish/completions/sluice.fish`,
    )
    .action(async (shell: (typeof SHELLS)[number]) => {
      const root = withHelp(await tree());
      const { bashScript, fishScript, zshScript } = await import("./completion-scripts.ts");
      print({ bash: bashScript, zsh: zshScript, fish: fishScript }[shell](root).trimEnd());
      done(EXIT.ok);
    });
}

/** `help` takes every command of its level, and the guides. */
function withHelp(command: Completed): Completed {
  const names = command.commands.map(({ name }) => name).filter((name) => name !== "help");
  const commands = command.commands.map((below) =>
    below.name === "help" ? { ...below, choices: [...names, ...Object.keys(GUIDES)] } : below,
  );
  return { ...command, commands };
}

/** Commands whose first argument is the name of a handler, or a file. */
const ARGUMENTS: Readonly<Record<string, Completed["argument"]>> = {
  test: "handler",
  invoke: "handler",
  tail: "handler",
  replay: "handler",
  versions: "handler",
  rollback: "handler",
  promote: "handler",
  deploy: "file",
  init: "file",
};

export function completedOf(command: Command): Completed {
  const name = command.name();
  const help = command.createHelp();
  const commands = help.visibleCommands(command).map(completedOf);
  return {
    name,
    // Up to its first full stop.
    summary: command.summary() || (/^[^.]*/.exec(command.description())?.[0] ?? ""),
    options: help.visibleOptions(command).flatMap(({ long, short, flags, description }) => {
      const takes = !/[<[]/.test(flags) ? "nothing" : /file|folder/.test(flags) ? "file" : "text";
      return [long, short].flatMap((flag) =>
        flag === undefined || flag === null ? [] : [{ flag, about: description, takes }],
      );
    }),
    commands,
    choices: [...(command.registeredArguments[0]?.argChoices ?? [])],
    argument: ARGUMENTS[name],
  };
}

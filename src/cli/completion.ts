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
    readonly takes: "nothing" | "file" | "handler" | "text";
    /** Words that its value may be. */
    readonly choices: readonly string[];
  }[];
  readonly commands: readonly Completed[];
  /** Words that its first argument may be. */
  readonly choices: readonly string[];
  /** What its first argument is. */
  readonly argument: "handler" | "handler or file" | "file" | undefined;
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
Handlers are those of the folder \`handlers\` below where you are. What follows \`npx sluice\` is completed too.

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
  test: "handler or file",
  invoke: "handler or file",
  tail: "handler",
  replay: "handler",
  versions: "handler",
  rollback: "handler",
  promote: "handler",
  "handlers drop": "handler",
  "handlers rm": "handler",
  "state ls": "handler",
  "state get": "handler",
  "state rm": "handler",
  deploy: "file",
  init: "file",
};

/** `above`: the words before its name, "" or "state ". */
export function completedOf(command: Command, above?: string): Completed {
  const name = command.name();
  const help = command.createHelp();
  const path = above === undefined ? "" : `${above}${name} `;
  const commands = help.visibleCommands(command).map((below) => completedOf(below, path));
  return {
    name,
    // Up to its first full stop.
    summary: command.summary() || (/^[^.]*/.exec(command.description())?.[0] ?? ""),
    options: help.visibleOptions(command).flatMap(({ long, short, flags, description, argChoices }) => {
      const takes = taken(flags);
      const choices = [...(argChoices ?? [])];
      return [long, short].flatMap((flag) =>
        flag === undefined || flag === null ? [] : [{ flag, about: description, takes, choices }],
      );
    }),
    commands,
    choices: [...(command.registeredArguments[0]?.argChoices ?? [])],
    argument: ARGUMENTS[path.trimEnd()],
  };
}

function taken(flags: string): Completed["options"][number]["takes"] {
  if (!/[<[]/.test(flags)) return "nothing";
  if (flags.startsWith("--handler ")) return "handler";
  return /file|folder/.test(flags) ? "file" : "text";
}

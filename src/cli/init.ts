/** `sluice init`: a folder to start from. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { Command } from "commander";
import { Fault, messageOf } from "../fault.ts";
import { EXIT } from "./exit.ts";
import { print, printJson, say } from "./terminal.ts";

export function initCommand(done: (code: number) => void): Command {
  return new Command("init")
    .description(
      "Writes a config, a sample handler with its cases, and types and schemas for editors into a folder. Never overwrites.",
    )
    .argument("[folder]", "where to; default: here", ".")
    .option("--json", "print {folder, files}")
    .addHelpText(
      "after",
      `
Examples:
  sluice init edge && cd edge && sluice dev`,
    )
    .action(async (folder: string, options: { json?: boolean }) => {
      const root = resolve(folder);
      const { templateFiles } = await import("./init-template.ts");
      const files = await templateFiles();
      const taken = Object.keys(files).filter((name) => existsSync(join(root, name)));
      if (taken.length > 0) throw new Fault("CLI_EXISTS", `there is already ${taken.join(", ")}`, { where: root });
      try {
        for (const [name, text] of Object.entries(files)) {
          await makeFolder(dirname(join(root, name)));
          await writeFile(join(root, name), text, { flag: "wx" });
        }
      } catch (thrown) {
        throw new Fault("CLI_EXISTS", `the folder cannot be written: ${messageOf(thrown)}`, {
          where: root,
          cause: thrown,
          remedy: "Choose another folder, or mend its permissions.",
        });
      }
      if (options.json === true) printJson({ folder: root, files: Object.keys(files) });
      else {
        for (const name of Object.keys(files)) print(join(relative(process.cwd(), root), name));
        say(`\nNext:\n${nextSteps(folder, process.env)}`);
      }
      done(EXIT.ok);
    });
}

/** Three commands that work where this one was given: npx finds Sluice in its checkout alone. */
function nextSteps(folder: string, env: NodeJS.ProcessEnv): string {
  const isNpx = env["npm_command"] === "exec";
  const config = isNpx && folder !== "." ? ` --config ${join(folder, "config/sluice.yaml")}` : "";
  const [cd, sluice] = isNpx ? ["", "npx sluice"] : [folder === "." ? "" : `cd ${folder} && `, "sluice"];
  const steps = [
    [`${cd}${sluice} test${config}`, "run the cases of handlers/overheat.ts"],
    [`${sluice} dev --sim${config}`, "run it, with devices that publish; save the handler and watch"],
    [`${sluice} status${config}`, "what became of it, in another terminal"],
  ];
  const width = Math.max(...steps.map(([command = ""]) => command.length));
  return steps.map(([command = "", what]) => `  ${command.padEnd(width)}  # ${what}`).join("\n");
}

/** Not by a recursive mkdir, which never ends where a file system says that what was just made is not there. */
async function makeFolder(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) await mkdir(folder);
}

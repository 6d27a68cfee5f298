/** `sluice types`: the types and schemas for editors, brought up to date; and the handlers checked against them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { Command } from "commander";
import { configFile, loadConfig } from "../config.ts";
import { Fault, messageOf } from "../fault.ts";
import { editorFiles, TSCONFIG } from "./init-template.ts";
import { EXIT } from "./exit.ts";
import { paint, print, printJson, say } from "./terminal.ts";

interface EditorOptions {
  readonly config?: string;
  readonly check?: boolean;
  readonly json?: boolean;
}

export function editorCommand(done: (code: number) => void): Command {
  return new Command("types")
    .description(
      "Writes the types that handlers import as `sluice`, and the schemas of the config and of cases, for editors: after `sluice init`, and after each new version of Sluice. With --check nothing is written, and the handlers are checked with TypeScript.",
    )
    .option("--check", "check that they are current, and the handlers' types")
    .option("--config <file>", "the gateway's config; default: SLUICE_CONFIG, config/sluice.yaml or sluice.yaml")
    .option("--json", "print {folder, written, stale, ok}")
    .addHelpText(
      "after",
      `
TypeScript is the one of the folder, else the one that is installed beside Sluice; it does not come with Sluice.
Exit status: 0 all is well, 1 something is not, or there is no TypeScript.

Examples:
  sluice types
  sluice types --check`,
    )
    .action(async (options: EditorOptions) => {
      done(await bringUpToDate(options));
    });
}

async function bringUpToDate(options: EditorOptions): Promise<number> {
  const config = await loadConfig(configFile(options.config, process.env), process.env);
  const root = dirname(config.handlers.dir);
  const files = await editorFiles();
  const stale: string[] = [];
  for (const [name, text] of Object.entries(files)) {
    if ((await readFile(join(root, name), "utf8").catch(() => "")) !== text) stale.push(name);
  }
  if (options.check !== true) {
    const given = existsSync(join(root, "tsconfig.json")) ? [] : [["tsconfig.json", TSCONFIG]];
    const wanted = [...stale.map((name) => [name, files[name]]), ...given] as [string, string][];
    await write(root, wanted);
    const written = wanted.map(([name]) => name);
    if (options.json === true) printJson({ folder: root, written, stale: [], ok: true });
    else if (written.length === 0) say("all are current");
    else for (const name of written) print(join(relative(process.cwd(), root), name));
    return EXIT.ok;
  }
  // What was never written is not asked for: a folder may have Sluice installed.
  const outdated = stale.filter((name) => existsSync(join(root, name)));
  for (const name of outdated) {
    const mark = paint("red", "✗", process.stderr);
    say(`${mark} ${name} is of another version of Sluice: \`sluice types\` brings it up to date`);
  }
  const ok = (await compiles(root, options.json === true)) && outdated.length === 0;
  if (options.json === true) printJson({ folder: root, written: [], stale: outdated, ok });
  else if (ok) print(`${paint("green", "✓")} the handlers' types`);
  return ok ? EXIT.ok : EXIT.failed;
}

async function write(root: string, files: readonly (readonly [string, string])[]): Promise<void> {
  try {
    for (const [name, text] of files) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), text);
    }
  } catch (thrown) {
    const remedy = "Mend the permissions of the folder.";
    throw new Fault("CLI_EXISTS", `the folder cannot be written: ${messageOf(thrown)}`, { where: root, remedy });
  }
}

/** What TypeScript says goes to stdout, or to stderr where stdout is for JSON. */
async function compiles(root: string, isJson: boolean): Promise<boolean> {
  if (!existsSync(join(root, "tsconfig.json"))) {
    throw new Fault("CLI_TYPES", "there is no tsconfig.json that says what to check", {
      where: root,
      remedy: "`sluice types` writes one.",
    });
  }
  const args = [findCompiler(root), "--noEmit", "--project", root, ...(process.stdout.isTTY ? ["--pretty"] : [])];
  const stdout = isJson ? process.stderr : process.stdout;
  const child = spawn(process.execPath, args, { stdio: ["ignore", stdout, process.stderr] });
  const [code] = (await once(child, "close")) as [number | null];
  return code === 0;
}

/** Throws Fault CLI_TYPES. */
function findCompiler(root: string): string {
  for (const from of [join(root, "package.json"), import.meta.url]) {
    try {
      const require = createRequire(from);
      const manifest = require.resolve("typescript/package.json");
      const { bin } = require(manifest) as { bin: Record<string, string> };
      return join(dirname(manifest), bin["tsc"] ?? "bin/tsc");
    } catch {
      continue; // It is not there.
    }
  }
  throw new Fault("CLI_TYPES", "there is no TypeScript to check with", { where: root });
}

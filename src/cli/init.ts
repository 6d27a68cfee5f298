/** `sluice init`: a folder to start from. */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { Command } from "commander";
import { Fault, messageOf } from "../fault.ts";
import { EXIT } from "./exit.ts";
import { print, printJson, say } from "./terminal.ts";

/** The types that handlers import as "sluice"; copied, so that an editor finds them without an installation. */
const HANDLER_TYPES = new URL("../sandbox/api/handler.d.ts", import.meta.url);

export function initCommand(done: (code: number) => void): Command {
  return new Command("init")
    .description("Writes a config, a sample handler and the types for editors into a folder. Never overwrites.")
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
      const files = await filesOf();
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
        say(`\nNext: ${folder === "." ? "" : `cd ${folder} && `}sluice dev, and in another terminal: sluice simulate`);
      }
      done(EXIT.ok);
    });
}

/** Not by a recursive mkdir, which never ends where a file system says that what was just made is not there. */
async function makeFolder(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) await mkdir(folder);
}

async function filesOf(): Promise<Record<string, string>> {
  return {
    "config/sluice.yaml": CONFIG,
    "handlers/overheat.ts": HANDLER,
    "types/sluice.d.ts": await readFile(HANDLER_TYPES, "utf8"),
    "tsconfig.json": TSCONFIG,
    ".gitignore": "data/\n",
  };
}

const CONFIG = `gateway:
  id: \${SLUICE_ID:edge-1}
  data: ../data                 # everything durable; one gateway at a time

broker:
  listeners:
    - url: mqtt://127.0.0.1:1883

handlers:
  dir: ../handlers

uplinks:
  cloud:
    kind: file
    path: ../data/cloud.ndjson

control:
  url: http://127.0.0.1:8080
`;

const HANDLER = `import type { Handler, HandlerConfig } from "sluice";

export const config = {
  topic: "plant/{line}/{machine}/temperature", // {name} is one level, and lands in event.params
  key: "{machine}", // order and state for each machine
  to: ["cloud"],
  params: { limit: 80 },
} satisfies HandlerConfig;

export default ((event, ctx) => {
  const { c } = event.data as { c: number };
  if (c <= ctx.params.limit) return; // nothing to say: done
  ctx.state.count = (ctx.state.count ?? 0) + 1; // saved in the same commit as the output
  return { machine: event.params.machine, c, count: ctx.state.count };
}) satisfies Handler;
`;

const TSCONFIG = `{
  "compilerOptions": {
    "target": "es2024",
    "lib": ["es2024", "webworker"], // less of it is there: docs/guest-api.md says what
    "module": "preserve",
    "moduleResolution": "bundler",
    "paths": { "sluice": ["./types/sluice.d.ts"] },
    "types": [],
    "strict": true,
    "noEmit": true
  },
  "include": ["handlers", "types"]
}
`;

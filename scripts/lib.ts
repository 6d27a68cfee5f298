/**
 * `node scripts/lib.ts`, before `npm pack`: Node strips no types below node_modules, so the package has JavaScript in
 * `lib/`, file by file what Node makes of `src/` in a checkout, with lines and columns as they are in the source.
 * `node scripts/lib.ts --remove` takes it away again: a checkout runs from its source, and bin/ looks which there is.
 */
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { globSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const lib = join(root, "lib");

/** What an import says of a file of ours; a text that only looks like one, such as a template's, names no `./` file. */
const SPECIFIER = /(\bfrom\s*|\bimport\s*\(?\s*)(["'])(\.{1,2}\/[^"'\n]+)\.ts\2/g;

await rm(lib, { recursive: true, force: true });
if (!process.argv.includes("--remove")) {
  for (const file of globSync("**/*.ts", { cwd: join(root, "src") })) {
    const [source, target] = [join(root, "src", file), join(lib, file)];
    await mkdir(dirname(target), { recursive: true });
    if (file.endsWith(".d.ts")) await cp(source, target);
    else await writeFile(target.replace(/\.ts$/, ".js"), javaScriptOf(await readFile(source, "utf8")));
  }
}

function javaScriptOf(source: string): string {
  return stripTypeScriptTypes(source).replace(SPECIFIER, "$1$2$3.js$2");
}

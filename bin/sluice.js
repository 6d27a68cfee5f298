#!/usr/bin/env node
// Plain JavaScript that any Node can read: an older one would stop at the first type in src/main.ts, with a syntax error.
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

const needed = [24, 12];
const [major, minor] = process.versions.node.split(".").map(Number);

if (major > needed[0] || (major === needed[0] && minor >= needed[1])) {
  // Stripping and compiling a few hundred modules is most of a start's work; after the first start it is read back. It
  // must be on before the first type is read, or the stripper itself is loaded, which takes 12 MB. The folder is the
  // user's own: what is in it is run. Where it cannot be written, or a user has no home, there is no cache and nothing else.
  const folder = cacheFolder();
  if (folder !== undefined) nodeModule.enableCompileCache(join(folder, "sluice"));
  // A checkout runs from its source, the package from what scripts/lib.ts made of it.
  await import(existsSync(new URL("../src/main.ts", import.meta.url)) ? "../src/main.ts" : "../lib/main.js");
} else {
  console.error(
    `error: Sluice needs Node ${needed.join(".")} or later, and this is ${process.versions.node} (${process.execPath}).` +
      " In a checkout, `npx sluice` and the npm scripts bring their own; elsewhere `npm install node@24` brings it for npx.",
  );
  process.exitCode = 1;
}

function cacheFolder() {
  if (process.env.XDG_CACHE_HOME) return process.env.XDG_CACHE_HOME;
  try {
    return join(homedir(), ".cache");
  } catch {
    return undefined;
  }
}

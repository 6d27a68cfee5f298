#!/usr/bin/env node
/** argv in, exit code out. bin/sluice.js has looked at the version of Node before this file is read. */
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

// Stripping and compiling a few hundred modules is most of a start's work; after the first start it is read back. The
// folder is the user's own: what is in it is run. Where it cannot be written there is no cache, and nothing else.
enableCompileCache(join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "sluice"));
const { runCommandLine } = await import("./cli/program.ts");

// `sluice sub … | head -1`: whoever read our output has enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await runCommandLine(process.argv.slice(2));

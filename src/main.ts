/** argv in, exit code out. Started by bin/sluice.js, which has looked at the version of Node before this file is read. */
import { runCommandLine } from "./cli/program.ts";

// `sluice sub … | head -1`: whoever read our output has enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await runCommandLine(process.argv.slice(2));

/** A handler's source, wherever it lies, as a bundle that a gateway takes on. */
import { stat } from "node:fs/promises";
import { dirname, relative, resolve, sep } from "node:path";
import { buildHandler } from "../deployments/build.ts";
import { indexOf } from "../deployments/sources.ts";
import { Fault } from "../fault.ts";

export interface BundledFile {
  readonly code: string;
  readonly sourceMap: string;
  /** Where its source begins, as shown to people: handlers/overheat.ts. */
  readonly file: string;
}

/** `path`: a file, or a folder with an index file. Throws the Fault of the build, or CLI_USAGE when there is none. */
export async function bundleFile(name: string, path: string): Promise<BundledFile> {
  const whole = resolve(path);
  const found = await stat(whole).catch(() => undefined);
  if (found === undefined) throw new Fault("CLI_USAGE", `there is no ${path}`);
  const entry = found.isDirectory() ? await indexOf(whole) : whole;
  if (entry === undefined) throw new Fault("CLI_USAGE", `the folder ${path} has no index.ts, index.js or index.mjs`);
  // Shown as if it lay in the handlers' folder.
  const root = dirname(dirname(whole));
  const { code, sourceMap } = await buildHandler(name, entry, root);
  return { code, sourceMap, file: relative(root, entry).split(sep).join("/") };
}

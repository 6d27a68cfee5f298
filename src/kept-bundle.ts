/**
 * Leaf: bundles of our own sources, kept from one start to the next. Making one takes a process of esbuild's and a tenth
 * of a second; a gateway starts with two, and `sluice test` too.
 *
 * They lie in the folder where Node keeps what it has compiled of the same sources (bin/sluice.js), under the same trust:
 * it is the user's own, and what is in it is run. Where there is none, or it cannot be written, they are made each time.
 * One is used when its sources look as they did, and what made it is what would make it now.
 */
import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { getCompileCacheDir } from "node:module";
import { join, resolve } from "node:path";
import type { BuildOptions } from "esbuild";
import { bundle, BUNDLER } from "./bundler.ts";
import { areSettled, hasChanged, looksOf } from "./looks.ts";
import { version } from "./version.ts";

interface Kept {
  /** Stands for all but the sources that decides what the bundle is. */
  readonly by: string;
  readonly looks: Readonly<Record<string, string>>;
  readonly digest: string;
  readonly code: string;
}

interface KeptOptions {
  readonly folder?: string | undefined;
  readonly now?: () => number;
}

/** The text of the bundle that begins with the file `entry`. `name` is its own among all. Rejects as esbuild does. */
export async function keptBundle(
  name: string,
  entry: string,
  options: Omit<BuildOptions, "entryPoints" | "write" | "metafile">,
  { folder = getCompileCacheDir(), now = Date.now }: KeptOptions = {},
): Promise<string> {
  const path = folder === undefined ? undefined : join(folder, `${name}.bundle.json`);
  const by = digestOf(JSON.stringify([version, BUNDLER, process.version, options]));
  const kept = path === undefined ? undefined : await readKept(path, by, entry);
  if (kept !== undefined) return kept;
  const startMs = now();
  const { outputFiles, metafile } = await bundle({ ...options, entryPoints: [entry], write: false, metafile: true });
  const code = outputFiles[0]?.text ?? "";
  const looks = await looksOf(Object.keys(metafile.inputs).map((input) => resolve(input)));
  if (path !== undefined && areSettled(looks, startMs)) {
    await keep(path, { by, looks: Object.fromEntries(looks), digest: digestOf(code), code });
  }
  return code;
}

async function readKept(path: string, by: string, entry: string): Promise<string | undefined> {
  try {
    const kept = JSON.parse(await readFile(path, "utf8")) as Kept;
    if (kept.by !== by || kept.digest !== digestOf(kept.code)) return undefined;
    return (await hasChanged(new Map(Object.entries(kept.looks)), entry)) ? undefined : kept.code;
  } catch {
    return undefined; // There is none, or it is damaged: it is made again.
  }
}

/**
 * Without it the next start takes a little longer. Where two gateways write at a time, or the power goes, what is there
 * does not have its digest, and is made again.
 */
async function keep(path: string, kept: Kept): Promise<void> {
  const aside = `${path}.new`; // Always the same: a gateway that dies here leaves one at the most.
  await writeFile(aside, JSON.stringify(kept), { mode: 0o600 })
    .then(() => rename(aside, path))
    .catch(() => undefined);
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

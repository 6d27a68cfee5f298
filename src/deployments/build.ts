/** Bundling: a handler's source, and what it imports, into one CommonJS text without imports. */
import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { builtinModules } from "node:module";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import type { BuildOptions, BuildResult, Message, OutputFile, Plugin } from "esbuild";
import { bundle, BUNDLER } from "../bundler.ts";
import { Fault, messageOf } from "../fault.ts";
import { ownModules, SHIMS } from "./shims.ts";
import { refusalOf, SOURCE_BYTES_MAX } from "./sources.ts";
import { version as gateway } from "../version.ts";

export interface Build {
  readonly code: string;
  /** JSON, with the sources' text. */
  readonly sourceMap: string;
  /** Absolute paths of all files that went into it. */
  readonly inputs: readonly string[];
}

/** An ES module is strict, and what it is bundled into is not. A handler in CommonJS stays what it is. */
const STRICT = '"use strict";';
/** Text of a bundle, map aside. It is held in memory by every runner. */
const CODE_BYTES_MAX = SOURCE_BYTES_MAX;
const MAP_BYTES_MAX = 4 * SOURCE_BYTES_MAX;

const BUILTINS = new Set(builtinModules.filter((name) => !name.startsWith("_")));

/** What of Node there is in an isolate: nothing. Packages that ask for it say so here rather than when an event comes. */
const noNode: Plugin = {
  name: "no-node",
  setup(on) {
    on.onResolve({ filter: /^[a-z][a-z0-9_/:.-]*$/ }, ({ path }) => {
      const bare = path.replace(/^node:/, "");
      if (!path.startsWith("node:") && !BUILTINS.has(bare)) return undefined;
      return { errors: [{ text: `"${path}" belongs to Node, and handlers run without it` }] };
    });
  },
};

/** What is imported is looked at before esbuild reads it: it would wait for a pipe, and read a device, without end. */
const onlyFiles: Plugin = {
  name: "only-files",
  setup(on) {
    on.onLoad({ filter: /.*/, namespace: "file" }, async ({ path }) => {
      const refusal = await refusalOf(path);
      return refusal === undefined
        ? undefined
        : { errors: [{ text: `"${basename(path)}" cannot be imported: ${refusal.message}` }] };
    });
  },
};

/** Of the gateway's data nothing is read: a package that imports the admin's token as text would have it. */
function nothingOf(data: string): Plugin {
  return {
    name: "no-data",
    setup(on) {
      on.onLoad({ filter: /.*/, namespace: "file" }, ({ path }) =>
        // It has no links any more: esbuild follows them.
        path.startsWith(data + sep)
          ? { errors: [{ text: `"${basename(path)}" cannot be imported: it is in the data folder` }] }
          : undefined,
      );
    },
  };
}

const OPTIONS = {
  bundle: true,
  write: false,
  metafile: true,
  format: "cjs",
  platform: "neutral",
  mainFields: ["browser", "module", "main"],
  conditions: ["worker", "browser", "module"],
  target: "es2024",
  sourcemap: "external",
  sourcesContent: true,
  legalComments: "none",
  logLevel: "silent",
  charset: "utf8",
  // There is no process; but what a function of another platform is set up with stands there.
  define: { "process.env.NODE_ENV": '"production"', "process.env": "__environment" },
  // A tsconfig.json around the handlers is for their editor; what runs must not depend on it.
  tsconfigRaw: {},
  banner: { js: STRICT },
  plugins: [ownModules, noNode, onlyFiles],
} satisfies BuildOptions;

/** Stands for all but the source that decides what a bundle is: who makes it, with which options, plugins and shims. */
export const BUILDER = createHash("sha256")
  .update(
    JSON.stringify([gateway, BUNDLER, OPTIONS, nothingOf, SHIMS], (_name, value: unknown) =>
      typeof value === "function" ? String(value) : value,
    ),
  )
  .digest("hex");

/** A build that takes longer stands in the way of all other handlers. What keeps it is esbuild's, and ends with it. */
export const BUILD_MS_MAX = 10_000;

interface BuildHandlerOptions {
  /** Gives the build up. */
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** The gateway's data folder, of which nothing is read. */
  readonly data?: string;
}

/**
 * Paths in errors and stacks are relative to `root`. Throws Fault DEPLOY_BUILD_FAILED, DEPLOY_NODE_BUILTIN,
 * DEPLOY_NOT_A_FILE, DEPLOY_TOO_LARGE or DEPLOY_TIMEOUT.
 */
export async function buildHandler(
  name: string,
  entry: string,
  root: string,
  { signal, timeoutMs = BUILD_MS_MAX, data }: BuildHandlerOptions = {},
): Promise<Build> {
  const refusal = await refusalOf(entry);
  if (refusal !== undefined) {
    throw new Fault(refusal.code, `handler ${name} is not read: ${refusal.message}`, { where: relative(root, entry) });
  }
  const dataFolder = data === undefined ? undefined : await realpath(data).catch(() => data);
  const timeout = AbortSignal.timeout(timeoutMs);
  let result: BuildResult<{ write: false; metafile: true }>;
  try {
    const paths = { entryPoints: [entry], absWorkingDir: root, outfile: resolve(root, `${name}.js`) };
    const plugins = dataFolder === undefined ? OPTIONS.plugins : [nothingOf(dataFolder), ...OPTIONS.plugins];
    const options = { ...OPTIONS, ...paths, plugins };
    const until = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
    result = await bundle(options, until);
    const isScript = Object.values(result.metafile.outputs).some(
      ({ entryPoint }) => entryPoint !== undefined && result.metafile.inputs[entryPoint]?.format === "cjs",
    );
    if (isScript) result = await bundle({ ...options, banner: {} }, until);
  } catch (cause) {
    if (timeout.aborted && cause === timeout.reason) {
      const message = `handler ${name} was not bundled within ${timeoutMs} ms`;
      throw new Fault("DEPLOY_TIMEOUT", message, { where: relative(root, entry), cause });
    }
    throw buildFault(cause, relative(root, entry));
  }
  const textOf = (suffix: string): string =>
    result.outputFiles.find((file: OutputFile) => file.path.endsWith(suffix))?.text ?? "";
  const code = textOf(".js");
  const sourceMap = textOf(".map");
  checkSize(code, sourceMap, relative(root, entry));
  const sources = Object.keys(result.metafile.inputs).filter((path) => !path.startsWith("sluice:"));
  return { code, sourceMap, inputs: withPackages(sources.map((path) => resolve(root, path))) };
}

/** And the package.json of each package among them, which says what of it is imported. */
function withPackages(sources: readonly string[]): string[] {
  const all = new Set(sources);
  for (const path of sources) {
    const [folder] = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+(?=[\\/])/.exec(path) ?? [];
    if (folder !== undefined) all.add(join(folder, "package.json"));
  }
  return [...all];
}

/**
 * Of a bundle that was made elsewhere. Throws Fault DEPLOY_BUILD_FAILED: halves of characters would be others on disk, and
 * a map with a NUL could make one content of two (`hashOf`), so that a number would not name one any more (D2).
 */
export function checkText({ code, sourceMap }: Pick<Build, "code" | "sourceMap">, where: string): void {
  if (code.isWellFormed() && sourceMap.isWellFormed() && !sourceMap.includes("\0")) return;
  throw new Fault("DEPLOY_BUILD_FAILED", "the bundle holds what is no text", { where });
}

/** Throws Fault DEPLOY_TOO_LARGE. A map has the sources' text, and is only read when something fails. */
export function checkSize(code: string, sourceMap: string, where: string): void {
  if (code.length <= CODE_BYTES_MAX && sourceMap.length <= MAP_BYTES_MAX) return;
  const message = `the bundle is longer than ${CODE_BYTES_MAX} bytes, or its source map than ${MAP_BYTES_MAX}`;
  throw new Fault("DEPLOY_TOO_LARGE", message, { where });
}

function buildFault(cause: unknown, entry: string): Fault {
  const errors = (cause as { errors?: Message[] }).errors ?? [];
  const first = errors[0];
  if (first === undefined) return new Fault("DEPLOY_BUILD_FAILED", messageOf(cause), { where: entry, cause });
  // What a plugin refuses to load has its place in a note: the import that asked for it.
  const { text, notes } = first;
  const location = first.location ?? notes.find((note) => note.location !== null)?.location ?? null;
  const where = location === null ? entry : `${location.file}:${location.line}:${location.column + 1}`;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
  const code = text.includes("belongs to Node") ? "DEPLOY_NODE_BUILTIN" : "DEPLOY_BUILD_FAILED";
  return new Fault(code, `${text}${more}`, { where });
}

/** The folder that paths are shown relative to: the one that the handlers' folder lies in. */
export function shownRoot(dir: string): string {
  return dirname(dir);
}

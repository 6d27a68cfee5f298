/**
 * Leaf: esbuild, which works in a process of its own that all builds share. It takes 17 MB, so it ends when nothing was
 * built for a while; and it is ended to give up a build that hangs.
 *
 * esbuild never settles the builds that are under way when its process is ended. So nobody but this file calls `build` or
 * `stop`: the process rests when no build is left, and whoever shared it with one that was given up begins anew.
 */
import type * as Esbuild from "esbuild";
import type { BuildOptions, BuildResult } from "esbuild";
import manifest from "esbuild/package.json" with { type: "json" };

/** What it is, and which: other versions come to other bundles. */
export const BUNDLER = `esbuild ${manifest.version}`;

const IDLE_MS = 2000;
/** A build that has lost its process so often is not the innocent one. */
const TRIES_MAX = 5;

const ENDED = Symbol("ended");

/** Loaded with the first build: most starts have none. */
let esbuild: typeof Esbuild | undefined;
let builds = 0;
let resting: NodeJS.Timeout | undefined;
/** Of the process that there is, or that the next build starts. */
let process = Promise.withResolvers<typeof ENDED>();

/** Rejects with the signal's reason, and ends esbuild's process, when it aborts; else as esbuild's own. */
export async function bundle<Options extends BuildOptions>(
  options: Options,
  signal?: AbortSignal,
): Promise<BuildResult<Options>> {
  builds++;
  clearTimeout(resting);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  aborted.catch(() => undefined); // Before anybody races with it.
  const abort = (): void => {
    reject(signal?.reason);
    end();
  };
  signal?.addEventListener("abort", abort);
  try {
    esbuild ??= await import("esbuild");
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      signal?.throwIfAborted();
      // esbuild's own type for it wants to see the options themselves, so that none is misspelt.
      const built = esbuild.build<BuildOptions>(options) as Promise<BuildResult<Options>>;
      const result = await Promise.race([built, aborted, process.promise]);
      if (result !== ENDED) return result;
    }
    throw new Error("the bundler's process was ended each time");
  } finally {
    signal?.removeEventListener("abort", abort);
    builds--;
    if (builds === 0) resting = setTimeout(end, IDLE_MS).unref();
  }
}

function end(): void {
  const ended = process;
  process = Promise.withResolvers();
  void esbuild?.stop();
  ended.resolve(ENDED);
}

/**
 * The two texts that a runner is made of, bundled from the sources beside this file when the gateway starts: the
 * runner's own program, which it reads from stdin so that it needs no access to files, and the guest, which is
 * evaluated in every isolate. Bundling takes a few milliseconds, once; starting a runner from TypeScript takes longer each time.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Fault } from "../fault.ts";

export interface Programs {
  readonly runnerCode: string;
  readonly guestCode: string;
}

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** Throws Fault SANDBOX_UNAVAILABLE when the installation is broken. */
export async function buildPrograms(): Promise<Programs> {
  const shared = { bundle: true, write: false, target: "es2024", legalComments: "none", logLevel: "silent" } as const;
  try {
    const [runner, guest] = await Promise.all([
      build({
        ...shared,
        entryPoints: [pathOf("runner.ts")],
        format: "esm",
        platform: "node",
        external: ["isolated-vm"],
      }),
      build({ ...shared, entryPoints: [pathOf("guest.ts")], format: "iife", platform: "neutral", globalName: "guest" }),
    ]);
    return { runnerCode: runner.outputFiles[0]?.text ?? "", guestCode: guest.outputFiles[0]?.text ?? "" };
  } catch (cause) {
    throw new Fault("SANDBOX_UNAVAILABLE", "the runner's program cannot be built", { cause });
  }
}

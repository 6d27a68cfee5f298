/**
 * The two texts that a runner is made of, bundled from the sources beside this file when the gateway starts: the
 * runner's own program, which it reads from stdin so that it needs no access to files, and the guest, which is
 * evaluated in every isolate. Bundling takes a few milliseconds, once; starting a runner from TypeScript takes longer each time.
 *
 * And the texts of the web's globals (api/web.ts), each of which is bundled when the first handler wants it: all of them
 * together would cost the gateway's start more than the rest of this.
 */
import { fileURLToPath } from "node:url";
import { bundle } from "../bundler.ts";
import { Fault } from "../fault.ts";

export interface Programs {
  readonly runnerCode: string;
  readonly guestCode: string;
  /**
   * A capability of api/web.ts as a script: evaluated inside a function, it leaves `api`, and `api.install(host)` makes
   * its globals. Rejects with Fault SANDBOX_UNAVAILABLE.
   */
  readonly webCode: (name: string) => Promise<string>;
}

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

const shared = { bundle: true, write: false, target: "es2024", legalComments: "none", logLevel: "silent" } as const;

/** Throws Fault SANDBOX_UNAVAILABLE when the installation is broken. */
export async function buildPrograms(): Promise<Programs> {
  try {
    const [runner, guest] = await Promise.all([
      bundle({
        ...shared,
        entryPoints: [pathOf("runner.ts")],
        format: "esm",
        platform: "node",
        external: ["isolated-vm"],
      }),
      bundle({
        ...shared,
        entryPoints: [pathOf("guest.ts")],
        format: "iife",
        platform: "neutral",
        globalName: "guest",
      }),
    ]);
    return {
      runnerCode: runner.outputFiles[0]?.text ?? "",
      guestCode: guest.outputFiles[0]?.text ?? "",
      webCode: webCodes(),
    };
  } catch (cause) {
    throw new Fault("SANDBOX_UNAVAILABLE", "the runner's program cannot be built", { cause });
  }
}

/** Builds each once, however many ask for it at the same time. */
function webCodes(): (name: string) => Promise<string> {
  const building = new Map<string, Promise<string>>();
  return (name) => {
    const known = building.get(name);
    if (known !== undefined) return known;
    const code = buildWebCode(name);
    building.set(name, code);
    // Who asks after a failure has it tried again.
    code.catch(() => building.delete(name));
    return code;
  };
}

async function buildWebCode(name: string): Promise<string> {
  try {
    const { outputFiles } = await bundle({
      ...shared,
      entryPoints: [pathOf(`api/web/${name}.ts`)],
      format: "iife",
      platform: "neutral",
      mainFields: ["module", "main"],
      globalName: "api",
      minify: true,
    });
    return outputFiles[0]?.text ?? "";
  } catch (cause) {
    throw new Fault("SANDBOX_UNAVAILABLE", `the web API "${name}" cannot be built`, { cause });
  }
}

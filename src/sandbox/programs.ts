/**
 * The two texts that a runner is made of, bundled from the sources beside this file, or kept from the start before
 * (kept-bundle.ts): the runner's own program, which it reads from stdin so that it needs no access to files, and the
 * guest, which is evaluated in every isolate.
 *
 * And the texts of the web's globals (api/web.ts), each of which is bundled when the first handler wants it: all of them
 * together would cost the gateway's start more than the rest of this.
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Fault } from "../fault.ts";
import { keptBundle } from "../kept-bundle.ts";

export interface Programs {
  readonly runnerCode: string;
  readonly guestCode: string;
  /**
   * A capability of api/web.ts as a script: evaluated inside a function, it leaves `api`, and `api.install(host)` makes
   * its globals. Rejects with Fault SANDBOX_UNAVAILABLE.
   */
  readonly webCode: (name: string) => Promise<string>;
}

/** Our sources are TypeScript in a checkout, and JavaScript in the package (scripts/lib.ts): as this file is. */
const pathOf = (name: string): string => fileURLToPath(new URL(`${name}${extname(import.meta.url)}`, import.meta.url));

const shared = { bundle: true, target: "es2024", legalComments: "none", logLevel: "silent" } as const;

/** Throws Fault SANDBOX_UNAVAILABLE when the installation is broken. */
export async function buildPrograms(): Promise<Programs> {
  try {
    const [runnerCode, guestCode] = await Promise.all([
      keptBundle("runner", pathOf("runner"), {
        ...shared,
        format: "esm",
        platform: "node",
        external: ["isolated-vm"],
      }),
      keptBundle("guest", pathOf("guest"), {
        ...shared,
        format: "iife",
        platform: "neutral",
        globalName: "guest",
      }),
    ]);
    return { runnerCode, guestCode, webCode: webCodes() };
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
    return await keptBundle(`web-${name}`, pathOf(`api/web/${name}`), {
      ...shared,
      format: "iife",
      platform: "neutral",
      mainFields: ["module", "main"],
      globalName: "api",
      minify: true,
    });
  } catch (cause) {
    throw new Fault("SANDBOX_UNAVAILABLE", `the web API "${name}" cannot be built`, { cause });
  }
}

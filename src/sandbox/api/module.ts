/** What a user's module exports: its handler, and its config as text. */
import { Refusal } from "./failure.ts";
import { portableHandle } from "./portable.ts";
import type { Handle, Surrounded } from "./portable.ts";
import { jsonStringify } from "./primordials.ts";

export type { Handle } from "./portable.ts";

export type Migrate = (state: unknown, fromVersion: number) => unknown;

const CONFIG_CHARS_MAX = 65_536;

/** Throws a Refusal. A default export is a handler of ours; what is none may be one of another platform. */
export function readModule(
  exported: unknown,
  around: Surrounded,
  now: () => number,
): { readonly handle: Handle; readonly migrate: Migrate | undefined; readonly config: string } {
  const named = (typeof exported === "object" && exported !== null ? exported : {}) as Record<string, unknown>;
  const own = typeof exported === "function" ? exported : named["default"];
  const handle = typeof own === "function" ? own : portableHandle(named, around, now);
  if (typeof handle !== "function") {
    const message =
      own === undefined
        ? "the module exports no function to run on each event: neither a default one nor a `handler`"
        : `the module's default export is of type ${typeof own}, and has to be the function that runs on each event`;
    throw new Refusal("HANDLER_EXPORT_MISSING", message);
  }
  const config = named["config"];
  const text = config === undefined ? "{}" : jsonStringify(config);
  if (text === undefined) throw new Refusal("HANDLER_CONFIG_INVALID", "the exported config is no JSON");
  if (text.length > CONFIG_CHARS_MAX) {
    throw new Refusal("HANDLER_CONFIG_INVALID", `the exported config is longer than ${CONFIG_CHARS_MAX} characters`);
  }
  const { migrate } = named;
  if (migrate !== undefined && typeof migrate !== "function")
    throw new Refusal(
      "HANDLER_EXPORT_MISSING",
      `the exported migrate is of type ${typeof migrate}, and has to be a function`,
    );
  return { handle: handle as Handle, migrate: migrate as Migrate | undefined, config: text };
}

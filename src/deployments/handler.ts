/** A handler on its way into service: a bundle to be looked at, and a version that runs. */
import type { Failure } from "../task.ts";
import type { HandlerSettings } from "./settings.ts";

/** A version that runs, or is about to. */
export interface LiveHandler {
  readonly name: string;
  readonly version: number;
  /** CommonJS text without imports, and its source map as JSON. */
  readonly code: string;
  readonly sourceMap: string;
  /** Where its source begins, relative to the folder that the handlers' folder lies in. */
  readonly file: string;
  readonly settings: HandlerSettings;
  /** It was live when the gateway ended last. */
  readonly hasServed: boolean;
}

/** A bundle to be looked at; nothing of it stays. */
export interface Candidate {
  readonly name: string;
  readonly code: string;
  readonly sourceMap: string;
  readonly timeoutMs: number;
  readonly memoryBytes: number;
}

export type Inspection =
  | { readonly at: "ready"; readonly config: unknown }
  | { readonly at: "failed"; readonly failure: Failure & { readonly where?: string } };

/** A handler on its way into service: a bundle to be looked at, and a version that runs. */
import { Fault, remedyOf } from "../fault.ts";
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
  | { readonly at: "failed"; readonly failure: LoadFailure };

/** Why a module could not be loaded, and where in the user's own source. */
type LoadFailure = Failure & { readonly where?: string | undefined };

/** The same, as it is reported. `file`: the handler's source. */
export function loadFault({ code, message, where }: LoadFailure, file: string): Fault {
  const remedy = remedyOf(code);
  return new Fault("DEPLOY_LOAD_FAILED", `${message} (${code})`, {
    where: where ?? file,
    ...(remedy === undefined ? {} : { remedy }),
  });
}

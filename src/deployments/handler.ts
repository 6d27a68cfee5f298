/** A handler on its way into service: a bundle to be looked at, and a version that runs. */
import { Fault, remedyOf } from "../fault.ts";
import type { Failure } from "../task.ts";
import type { HandlerSettings, ProbationSettings } from "./settings.ts";

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
  /** It was live before: when the gateway ended last, or until a newer one was. */
  readonly hasServed: boolean;
  /** It was loaded with just this before: it may be loaded when its first event comes. */
  readonly loadsLater?: boolean;
  /** It is on probation: whoever runs it says when it has passed, or fails. */
  readonly probation?: ProbationSettings | undefined;
  /** What is tried beside it. */
  readonly candidate?: CandidateHandler | undefined;
}

/** A version that runs beside the live one, which has the same triggers. */
export interface CandidateHandler extends Pick<
  LiveHandler,
  "name" | "version" | "code" | "sourceMap" | "file" | "settings"
> {
  /** Share of the keys that it gets; 0: it is a shadow, whose runs have no effects. */
  readonly share: number;
  readonly probation: ProbationSettings;
}

/** A bundle that was made elsewhere, as the API brings it. */
export interface Upload {
  readonly author?: string | undefined;
  readonly message?: string | undefined;
  readonly name: string;
  readonly code: string;
  readonly sourceMap: string;
  /** Where its source begins, as shown to people. */
  readonly file: string;
  /** Share of the keys that it is to get while it is tried; 0: as a shadow. undefined: it goes live. */
  readonly share?: number | undefined;
}

export interface Deployed {
  readonly version: number;
  readonly at: "live" | "canary" | "shadow";
  /** The version before it, under whose eyes it is on probation. */
  readonly before: number | undefined;
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

/** Whether the two run the same code under the same settings. */
export function isSame(a: LiveHandler, b: LiveHandler): boolean {
  return a.version === b.version && a.code === b.code && JSON.stringify(a.settings) === JSON.stringify(b.settings);
}

/** What two versions that are compared have to have in common. */
export function triggersOf({ topics, key, schedule, webhook, on }: HandlerSettings): string {
  return JSON.stringify([topics, key, schedule, webhook, on]);
}

/** From sources to a version: what it exports, what it has set, and its number. */
import { Fault, messageOf } from "../fault.ts";
import type { Clock } from "../time.ts";
import type { Build } from "./build.ts";
import { composeSettings } from "./compose.ts";
import type { Suggest } from "./compose.ts";
import { loadFault } from "./handler.ts";
import type { Candidate, CandidateHandler, Inspection, LiveHandler } from "./handler.ts";
import { configPlace } from "./places.ts";
import type { SourceText } from "./places.ts";
import { mergeSettings } from "./settings.ts";
import type { HandlerSettings, HandlersSettings } from "./settings.ts";
import { hashOf } from "./versions.ts";
import type { StoredVersion, Versions } from "./versions.ts";

export type Sources = Pick<Build, "code" | "sourceMap">;

export interface MakerDoors {
  readonly clock: Clock;
  readonly suggest: Suggest;
  /** The gateway's settings of handlers, as they are now. */
  readonly handlers: () => HandlersSettings;
  readonly inspect: (candidate: Candidate) => Promise<Inspection>;
}

/** Who changes something, and why. */
export interface By {
  readonly author?: string | undefined;
  readonly message?: string | undefined;
}

interface Stored {
  /** 0: none is kept. */
  readonly version: number;
  readonly config: unknown;
  readonly file: string;
}

/** A candidate of a handler without probation is watched for nothing but runners that it costs. */
const UNWATCHED = { eventsMax: 1_000_000, leastMs: 0, timeMs: 24 * 60 * 60_000, errors: 1, slower: 0 };

export class Maker {
  readonly #name: string;
  readonly #versions: Versions | undefined;
  readonly #doors: MakerDoors;

  constructor(name: string, versions: Versions | undefined, doors: MakerDoors) {
    this.#name = name;
    this.#versions = versions;
    this.#doors = doors;
  }

  /** The version with these contents, which is inspected and given a number when it is new. Throws a Fault. */
  async stored(built: Sources, file: string, by: By): Promise<Stored> {
    const stored = this.#versions?.find(hashOf(built));
    if (stored !== undefined) return { ...stored, file };
    const config = await this.#inspect(file, built);
    this.compose({ ...built, file }, config); // What can never go live gets no number.
    const more = { config: config as never, file, builtMs: this.#doors.clock.now(), ...defined(by) };
    return (await this.#versions?.add(built, more)) ?? { version: 0, config, file };
  }

  /** Throws Fault DEPLOY_CONFIG_INVALID or DEPLOY_NO_TRIGGER. */
  compose({ file, sourceMap }: SourceText, exported: unknown): HandlerSettings {
    const { handlers, suggest } = this.#doors;
    return composeSettings({ name: this.#name, file, sourceMap, exported, gateway: handlers(), suggest });
  }

  /** As it is to run once more. Throws a Fault when its settings are none any more. */
  again({ version, code, sourceMap, file, config }: StoredVersion): LiveHandler {
    const settings = this.compose({ file, sourceMap }, config);
    return { name: this.#name, version, code, sourceMap, file, settings, hasServed: true };
  }

  candidate(
    { version, code, sourceMap, file }: Sources & { readonly version: number; readonly file: string },
    settings: HandlerSettings,
    share: number,
  ): CandidateHandler {
    const probation = settings.probation ?? UNWATCHED;
    return { name: this.#name, version, code, sourceMap, file, settings, share, probation };
  }

  async #inspect(file: string, { code, sourceMap }: Sources): Promise<unknown> {
    const { defaults, settings } = this.#doors.handlers();
    const { timeoutMs, memoryBytes } = mergeSettings(this.#name, [defaults, settings[this.#name] ?? {}]);
    const inspection = await this.#doors.inspect({ name: this.#name, code, sourceMap, timeoutMs, memoryBytes });
    if (inspection.at === "ready") return inspection.config;
    const isConfig = inspection.failure.code === "HANDLER_CONFIG_INVALID";
    throw loadFault(inspection.failure, isConfig ? configPlace({ file, sourceMap }, []) : file);
  }
}

/** Without what is undefined. */
export function defined<Some extends object>(some: Some): Some {
  return Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined)) as Some;
}

export function asFault(error: unknown, where: string): Fault {
  if (error instanceof Fault) return error;
  return new Fault("DEPLOY_STORE_FAILED", messageOf(error), { where, cause: error });
}

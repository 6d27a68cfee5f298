/**
 * A line's versions as they are watched: what each has done, and whether one of them is on probation. There is the live
 * one, the one before it, and perhaps a candidate, which runs a share of the keys, or as a shadow of the live one.
 */
import type { Clock } from "../time.ts";
import type { Canary } from "./lane.ts";
import { Probation } from "./probation.ts";
import type { ProbationRules, Verdict } from "./probation.ts";
import type { BatchResult } from "./run.ts";
import { Shadow } from "./shadow.ts";
import type { ShadowDoors, ShadowReport } from "./shadow.ts";
import { Tally } from "./tally.ts";

export interface CandidateSettings {
  readonly version: number;
  /** Share of the keys that run on it; 0: it is a shadow. */
  readonly share: number;
  readonly rules: ProbationRules;
  /** As those of the line, for what it sends. */
  readonly to: readonly number[];
  readonly type: string;
}

export interface WatchedVersions {
  /** The live one. */
  readonly version: number;
  /** It is on probation under these rules. */
  readonly probation?: ProbationRules | undefined;
  readonly candidate?: CandidateSettings | undefined;
}

export interface WatchFigures {
  readonly live: VersionFigures;
  readonly candidate?: VersionFigures & { readonly share: number; readonly shadow?: ShadowReport };
}

export interface VersionFigures {
  readonly version: number;
  readonly done: number;
  readonly failed: number;
  readonly meanMs: number | undefined;
  /** While it is on probation. */
  readonly probation?: ProbationFigures;
}

interface ProbationFigures {
  /** Events that failed, and how many may. */
  readonly failures: number;
  readonly failuresMax: number;
  /** Over after so many events, and not before so long. */
  readonly eventsMax: number;
  readonly leastLeftMs: number;
}

interface Candidate {
  readonly settings: CandidateSettings;
  readonly tally: Tally;
  readonly probation: Probation;
  readonly canary: Canary | undefined;
  readonly shadow: Shadow | undefined;
}

export class Watch {
  readonly #apart: readonly number[];
  readonly #doors: ShadowDoors;
  readonly #clock: Clock;
  #live = new Tally(0);
  #before: Tally | undefined;
  #probation: Probation | undefined;
  #candidate: Candidate | undefined;
  /** Version that was taken back last: what comes of it late is not held against anybody. */
  #takenBack: number | undefined;
  /** Of the batch that is being settled. */
  now: Tally = this.#live;

  /** `apart`: the runners where a candidate runs. */
  constructor(apart: readonly number[], doors: ShadowDoors, clock: Clock) {
    this.#apart = apart;
    this.#doors = doors;
    this.#clock = clock;
  }

  get candidate(): CandidateSettings | undefined {
    return this.#candidate?.settings;
  }

  get canary(): Canary | undefined {
    return this.#candidate?.canary;
  }

  get shadow(): Shadow | undefined {
    return this.#candidate?.shadow;
  }

  take({ version, probation, candidate }: WatchedVersions): void {
    if (version === this.#takenBack) this.#takenBack = undefined;
    if (version !== this.#live.version) {
      if (this.#probation !== undefined && !this.#probation.isPassed) this.#takenBack = this.#live.version;
      const tally = this.#candidate?.tally;
      // One that had run already: the live one of a restart or of a rollback has no other to be compared with.
      this.#before = this.#live.version === 0 ? undefined : this.#live;
      this.#live = tally?.version === version ? tally : new Tally(version);
    }
    if (probation === undefined) this.#probation = undefined;
    else if (this.#probation?.version !== version)
      this.#probation = new Probation(this.#live, this.#before, probation, this.#clock);
    const tried = this.#candidate?.settings.version;
    if (tried !== undefined && tried !== version && tried !== candidate?.version) this.#takenBack = tried;
    this.#candidate = candidate === undefined ? undefined : this.#taken(candidate);
  }

  #taken(settings: CandidateSettings): Candidate {
    const { version, share, rules } = settings;
    const before = this.#candidate?.settings.version === version ? this.#candidate : undefined;
    const tally = before?.tally ?? new Tally(version);
    return {
      settings,
      tally,
      probation: before?.probation ?? new Probation(tally, this.#live, rules, this.#clock),
      canary: share > 0 ? { places: this.#apart, share } : undefined,
      shadow: share > 0 ? undefined : (before?.shadow ?? new Shadow(version, this.#doors)),
    };
  }

  /** The version gets nothing more to run. */
  reject(version: number): void {
    this.#takenBack = version;
    if (this.isCandidate(version)) this.#candidate = undefined;
  }

  /** Whether the batch that is being settled is of a version that was taken back meanwhile. */
  get isTakenBack(): boolean {
    return this.now.version === this.#takenBack;
  }

  /** A batch of `events` is back, and settled next. */
  begin(result: BatchResult, events: number): void {
    this.now = this.#tallyOf(result.version);
    this.now.batch(events, result);
  }

  /** The probation of the version whose batch is being settled. */
  get probation(): Probation | undefined {
    const { version } = this.now;
    const own = this.#probation?.version === version ? this.#probation : this.#candidate?.probation;
    return own?.version === version && !own.isPassed ? own : undefined;
  }

  /** The verdict on the version whose batch was settled, once. */
  verdict(): Verdict | undefined {
    return this.probation?.look();
  }

  isCandidate(version: number): boolean {
    return this.#candidate?.settings.version === version;
  }

  figures(): WatchFigures {
    const live = figuresOf(this.#live, this.#probation);
    if (this.#candidate === undefined) return { live };
    const { tally, probation, settings, shadow } = this.#candidate;
    const candidate = { ...figuresOf(tally, probation), share: settings.share };
    return { live, candidate: shadow === undefined ? candidate : { ...candidate, shadow: shadow.report } };
  }

  #tallyOf(version: number): Tally {
    if (version === this.#live.version) return this.#live;
    // Late batches of one that is gone are in nobody's books.
    return this.#candidate?.tally.version === version ? this.#candidate.tally : new Tally(version);
  }
}

function figuresOf({ version, done, failed, meanMs }: Tally, probation: Probation | undefined): VersionFigures {
  const figures = { version, done: Math.round(done), failed: Math.round(failed), meanMs };
  if (probation === undefined || probation.isPassed) return figures;
  const { failures, failuresMax, rules } = probation;
  const leastLeftMs = Math.ceil(probation.leastLeftMs);
  return { ...figures, probation: { failures, failuresMax, eventsMax: rules.eventsMax, leastLeftMs } };
}

/** What two runs of the same events came to, counted and compared; the first differences are kept to be looked at. */

/** Differences kept, of each kind. */
const SAMPLES_MAX = 4;
const SAMPLE_CHARS_MAX = 500;

export interface DifferenceCounts {
  readonly outputs: number;
  readonly state: number;
  /** Failed in the second run only, and in the first only. */
  readonly failed: number;
  readonly mended: number;
}

/** What came of a task, as far as it can be compared: equal texts are the same. */
export interface Came {
  readonly failed: string | undefined;
  readonly outputs: string;
  readonly state: string;
}

export type Kind = keyof DifferenceCounts;

/** Counts, and samples of what `sampleOf` makes of a difference. */
export class Differences<Sample> {
  readonly counts: { -readonly [of in Kind]: number };
  readonly samples: Sample[];
  events: number;
  same: number;

  constructor(
    before: {
      readonly events: number;
      readonly same: number;
      readonly differences: DifferenceCounts;
      readonly samples: readonly Sample[];
    } = NONE,
  ) {
    this.counts = { ...before.differences };
    this.samples = [...before.samples];
    this.events = before.events;
    this.same = before.same;
  }

  judge(first: Came, second: Came, sampleOf: (kind: Kind) => Sample): void {
    this.events++;
    const kind = kindOf(first, second);
    if (kind === undefined) {
      this.same++;
      return;
    }
    this.counts[kind]++;
    if (this.counts[kind] <= SAMPLES_MAX) this.samples.push(sampleOf(kind));
  }
}

const NONE = { events: 0, same: 0, differences: { outputs: 0, state: 0, failed: 0, mended: 0 }, samples: [] };

/** Failures are the same whatever they say: messages may hold what was drawn. */
function kindOf(first: Came, second: Came): Kind | undefined {
  if (first.failed === undefined && second.failed !== undefined) return "failed";
  if (first.failed !== undefined && second.failed === undefined) return "mended";
  if (first.outputs !== second.outputs) return "outputs";
  return first.state === second.state ? undefined : "state";
}

export function shownCame({ failed, outputs, state }: Came): string {
  return shortened(failed ?? (state === "" ? outputs : `${outputs} state ${state}`));
}

export function shortened(text: string): string {
  return text.length > SAMPLE_CHARS_MAX ? `${text.slice(0, SAMPLE_CHARS_MAX - 1)}…` : text;
}

/** What a line tells of itself. */
import type { RecentFigures } from "./recent.ts";
import type { WatchFigures } from "./watch.ts";

export interface LineFigures {
  readonly name: string;
  readonly version: number;
  /** Tasks not yet begun, in memory and on disk, parked ones excluded. */
  readonly waiting: number;
  readonly running: number;
  readonly parked: number;
  readonly retried: number;
  readonly dead: number;
  /** Runners that it has cost, and for how long it stands aside for that: 0 when it does not. */
  readonly runnersLost: number;
  readonly quarantinedMs: number;
  /** By budget: how often it was spent. */
  readonly budgets: Readonly<Record<string, number>>;
  /** For how long events have waited because of outputsPerSecond. */
  readonly heldBackMs: number;
  /** Whether it has run for a while without costing an isolate or a runner. */
  readonly proven: boolean;
  readonly versions: WatchFigures;
  readonly recent: RecentFigures;
}

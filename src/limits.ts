/** Leaf: the budgets of one handler, beside its timeout and its memory. What each does when it is spent is in docs/faults.md. */

export interface HandlerLimits {
  /** Processor time of one event, its waits not counted. Undefined: as its timeout. */
  readonly cpuMs?: number | undefined;
  /** Outputs and publishes of one event, and characters of all of them as JSON. */
  readonly outputsMax: number;
  readonly resultBytesMax: number;
  /** Outputs and publishes a second, and so many at once. Undefined: no limit. */
  readonly outputsPerSecond?: number | undefined;
  readonly outputsBurst?: number | undefined;
  /** Characters of one key's state as JSON; bytes of all keys' states as they are stored. */
  readonly stateBytesMax: number;
  readonly stateTotalBytesMax: number;
  /** Timers of one event at a time. */
  readonly timersMax: number;
  /** Fetches of one event at a time, and in all; how long one may take, at most the timeout; bytes of what it sends, and gets. */
  readonly fetchesMax: number;
  readonly fetchesPerEvent: number;
  readonly fetchMs: number;
  readonly fetchRequestBytesMax: number;
  readonly fetchResponseBytesMax: number;
  /** Log lines and their characters a second, in each isolate; characters of one line. */
  readonly logLinesPerSecond: number;
  readonly logBytesPerSecond: number;
  readonly logCharsMax: number;
}

/** What a handler has that says nothing. */
export const DEFAULT_LIMITS: HandlerLimits = {
  outputsMax: 100,
  resultBytesMax: 1024 * 1024,
  stateBytesMax: 64 * 1024,
  stateTotalBytesMax: 64 * 1024 * 1024,
  timersMax: 100,
  fetchesMax: 16,
  fetchesPerEvent: 100,
  fetchMs: 10_000,
  fetchRequestBytesMax: 256 * 1024,
  fetchResponseBytesMax: 1024 * 1024,
  logLinesPerSecond: 100,
  logBytesPerSecond: 64 * 1024,
  logCharsMax: 2048,
};

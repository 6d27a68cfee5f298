/**
 * Log lines about devices, rationed: a device that breaks the rules may do so thousands of times a second, and the log
 * is on the same disk as the journal. Each message (they are constant) has LINES_MAX lines in WINDOW_MS; the first one
 * of the next window says how many were left out.
 */
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";

const LINES_MAX = 20;
const WINDOW_MS = 10_000;

export class Complaints {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #windows = new Map<string, { sinceMs: number; lines: number; omitted: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  line(level: "debug" | "info" | "warn" | "error", message: string, fields: object): void {
    const now = this.#clock.monotonic();
    let window = this.#windows.get(message);
    if (window === undefined) this.#windows.set(message, (window = { sinceMs: now, lines: 0, omitted: 0 }));
    if (now - window.sinceMs > WINDOW_MS) {
      window.sinceMs = now;
      window.lines = 0;
    }
    if (window.lines >= LINES_MAX) {
      window.omitted++;
      return;
    }
    window.lines++;
    const omitted = window.omitted > 0 ? { omitted: window.omitted } : {};
    window.omitted = 0;
    this.#log[level]({ ...fields, ...omitted }, message);
  }
}

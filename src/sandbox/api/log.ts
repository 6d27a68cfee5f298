/** ctx.log and console: bounded in length and rate here, before anything crosses the border. */
import type { Draft } from "./answer.ts";
import { TextOf, bare, freeze, join, jsonStringify, now, substring } from "./primordials.ts";

export interface LogLimits {
  readonly logLinesPerSecond: number;
  readonly logCharsMax: number;
}

/** Levels as pino's numbers divided by ten. */
const LEVELS = { debug: 2, info: 3, warn: 4, error: 5 } as const;

export interface GuestLog {
  debug(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
}

function shown(value: unknown, charsMax: number): string {
  try {
    if (typeof value === "string") return substring(value, 0, charsMax);
    if (typeof value === "object" && value !== null) {
      const { stack } = value as { stack?: unknown };
      if (typeof stack === "string") return substring(stack, 0, charsMax);
      return substring(jsonStringify(value) ?? "undefined", 0, charsMax);
    }
    return substring(TextOf(value), 0, charsMax);
  } catch {
    return "[cannot be shown]";
  }
}

/**
 * A bucket of `logLinesPerSecond` lines that refills all the time. What does not fit is dropped and counted, and the
 * next line that fits is preceded by the count.
 */
export class Logger {
  readonly log: GuestLog;
  /** Where lines go now; undefined outside of a task, where `spare` keeps them for the next one. */
  draft: Draft | undefined;
  #spare = "";
  readonly #limits: LogLimits;
  #left: number;
  #filledMs = now();
  #dropped = 0;

  constructor(limits: LogLimits) {
    this.#limits = limits;
    this.#left = limits.logLinesPerSecond;
    const at =
      (level: number) =>
      (...values: unknown[]): void =>
        this.#write(level, values);
    this.log = freeze({
      debug: at(LEVELS.debug),
      info: at(LEVELS.info),
      warn: at(LEVELS.warn),
      error: at(LEVELS.error),
    });
  }

  #write(level: number, values: readonly unknown[]): void {
    const { logLinesPerSecond, logCharsMax } = this.#limits;
    const nowMs = now();
    if (nowMs > this.#filledMs) {
      const refilled = this.#left + ((nowMs - this.#filledMs) * logLinesPerSecond) / 1000;
      this.#left = refilled > logLinesPerSecond ? logLinesPerSecond : refilled;
    }
    this.#filledMs = nowMs;
    if (this.#left < 1) {
      this.#dropped++;
      return;
    }
    this.#left--;
    if (this.#dropped > 0) {
      this.#put(LEVELS.warn, `${this.#dropped} log lines dropped: more than ${logLinesPerSecond} a second`);
      this.#dropped = 0;
    }
    const parts: string[] = bare([]);
    for (let i = 0; i < values.length && i < 32; i++) parts[i] = shown(values[i], logCharsMax);
    this.#put(level, substring(join(parts, " "), 0, logCharsMax));
  }

  #put(level: number, text: string): void {
    const line = `l${level}${jsonStringify(text)}\n`;
    if (this.draft === undefined) this.#spare += line;
    else this.draft.logs += line;
  }

  /** Lines written outside of any task: while the module loaded, or after a task had ended. */
  takeSpare(): string {
    const spare = this.#spare;
    this.#spare = "";
    return spare;
  }
}

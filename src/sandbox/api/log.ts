/** ctx.log and console: bounded in length and rate here, before anything crosses the border. */
import type { Draft } from "./answer.ts";
import { TextOf, bare, freeze, join, jsonStringify, substring } from "./primordials.ts";

export interface LogLimits {
  readonly logLinesPerSecond: number;
  readonly logBytesPerSecond: number;
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

/**
 * Of one answer, however long it takes: an event that waits may log for minutes, and all of it leaves in one frame. The
 * gateway takes more (results.ts), and a runner that sends more than that is lost.
 */
const ANSWER_LINES_MAX = 4000;
const ANSWER_CHARS_MAX = 2_000_000;

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
 * Two buckets that refill all the time: of `logLinesPerSecond` lines, and of `logBytesPerSecond` characters, which a line
 * may overdraw. What does not fit is dropped and counted, and the next line that fits is preceded by the count.
 */
export class Logger {
  readonly log: GuestLog;
  /** Where lines go now; undefined outside of a task, where `spare` keeps them for the next one. */
  draft: Draft | undefined;
  #spare = "";
  readonly #limits: LogLimits;
  readonly #now: () => number;
  #linesLeft = 0;
  #charsLeft = 0;
  #filledMs = 0;
  #dropped = 0;
  /** Of the answer that is being written, and in `#spare`. */
  #lines = 0;
  #chars = 0;
  #spareLines = 0;

  constructor(limits: LogLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.refill();
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
    const { logLinesPerSecond, logBytesPerSecond, logCharsMax } = this.#limits;
    const nowMs = this.#now();
    if (nowMs > this.#filledMs) {
      const seconds = (nowMs - this.#filledMs) / 1000;
      const lines = this.#linesLeft + seconds * logLinesPerSecond;
      const chars = this.#charsLeft + seconds * logBytesPerSecond;
      this.#linesLeft = lines > logLinesPerSecond ? logLinesPerSecond : lines;
      this.#charsLeft = chars > logBytesPerSecond ? logBytesPerSecond : chars;
    }
    this.#filledMs = nowMs;
    const isFull = this.#lines >= ANSWER_LINES_MAX || this.#chars >= ANSWER_CHARS_MAX;
    if (isFull || this.#linesLeft < 1 || this.#charsLeft <= 0) {
      this.#dropped++;
      return;
    }
    const parts: string[] = bare([]);
    for (let i = 0; i < values.length && i < 32; i++) parts[i] = shown(values[i], logCharsMax);
    const text = substring(join(parts, " "), 0, logCharsMax);
    this.#linesLeft--;
    this.#charsLeft -= text.length;
    if (this.#dropped > 0) {
      this.#put(`d${this.#dropped}\n`);
      this.#dropped = 0;
    }
    this.#put(`l${level}${jsonStringify(text)}\n`);
  }

  /** As if nothing had been logged for long. */
  refill(): void {
    this.#linesLeft = this.#limits.logLinesPerSecond;
    this.#charsLeft = this.#limits.logBytesPerSecond;
    this.#filledMs = this.#now();
    this.#dropped = 0;
  }

  #put(line: string): void {
    this.#lines++;
    this.#chars += line.length;
    if (this.draft !== undefined) {
      this.draft.logs += line;
      return;
    }
    this.#spareLines++;
    this.#spare += line;
  }

  /** An answer begins, with the lines written outside of any task: while the module loaded, or after a task had ended. */
  takeSpare(): string {
    const spare = this.#spare;
    this.#lines = this.#spareLines;
    this.#chars = spare.length;
    this.#spare = "";
    this.#spareLines = 0;
    return spare;
  }
}

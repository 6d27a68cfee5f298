/**
 * Leaf: the log. JSON lines on stderr (pretty on a terminal), one line per decision; the message is constant, the data
 * is in fields. Rooms get a child: `log.child({ room: "journal" })`.
 */
import { createRequire } from "node:module";
import { pino } from "pino";
import type { DestinationStream, Logger, LoggerOptions } from "pino";
import { Fault } from "./fault.ts";
import { plain } from "./plain.ts";

export type Log = Logger;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** Coloured lines for people instead of JSON. */
  readonly pretty: boolean;
}

/** stderr, so that stdout stays free for data. Synchronous: the last line before a crash is the one that matters. */
export function createLog(options: LogOptions): Log {
  const shared = {
    level: options.level,
    base: undefined,
    serializers: { fault: faultFields, err: faultFields },
    timestamp: pino.stdTimeFunctions.isoTime,
    onChild: (child: Log) => children.push(child),
  };
  const children: Log[] = [];
  const log = options.pretty ? prettyLog(shared) : pino(shared, pino.destination({ dest: 2, sync: true }));
  families.set(log, children);
  return log;
}

/** Changes the level of a log that {@link createLog} made, and of its rooms' children, which pino would leave alone. */
export function setLogLevel(log: Log, level: LogLevel): void {
  for (const one of [log, ...(families.get(log) ?? [])]) one.level = level;
}

/** The children of each log: one for each room, so they need no end. */
const families = new WeakMap<Log, Log[]>();

/** In this thread: with pino's usual worker the last lines before a forced end would be lost. */
function prettyLog(shared: LoggerOptions): Log {
  // Only loaded for a terminal.
  const pretty = createRequire(import.meta.url)("pino-pretty") as (options: object) => DestinationStream;
  const format = {
    ...{ destination: 2, sync: true, translateTime: "HH:MM:ss.l", ignore: "pid,hostname", singleLine: true },
    // Further lines are indented: none of them looks like one of ours.
    messageFormat: (fields: Record<string, unknown>, name: string) =>
      String(fields[name]).split("\n").map(plain).join("\n    "),
  };
  const shown = (thrown: unknown): Record<string, unknown> => plainFields(faultFields(thrown));
  return pino(
    { ...shared, serializers: { fault: shown, err: shown }, formatters: { log: plainFields } },
    faultsBelow(pretty(format)),
  );
}

/** A fault is read by a person: it stands on lines of its own, as commands print it. */
function faultsBelow(lines: DestinationStream): DestinationStream {
  return {
    write(line) {
      const { fault, ...rest } = JSON.parse(line) as { fault?: Partial<Record<string, string>> };
      lines.write(fault === undefined ? line : `${JSON.stringify(rest)}\n`);
      if (fault === undefined) return;
      const { where, message = "", remedy, code, cause } = fault;
      const place = where === undefined ? "" : `${where}: `;
      const why = cause === undefined ? "" : ` (${cause})`;
      const mend = remedy === undefined ? "" : `\n    → ${remedy}`;
      process.stderr.write(`    ${place}${message}${why}${mend}${code === undefined ? "" : ` [${code}]`}\n`);
    },
  };
}

/** Topics, keys and messages are others' words, and this is read on a terminal; a stack keeps its lines. */
function plainFields(fields: Record<string, unknown>): Record<string, unknown> {
  const shown = (value: unknown): unknown =>
    typeof value === "string"
      ? value
          .split(/\n(?= {4}at )/)
          .map(plain)
          .join("\n")
      : value;
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, shown(value)]));
}

/** What a log line shows of an error: never a bare stack where there is a code. */
export function faultFields(thrown: unknown): Record<string, unknown> {
  if (thrown instanceof Fault) {
    const cause = thrown.cause instanceof Error ? thrown.cause.message : undefined;
    return { code: thrown.code, message: thrown.message, where: thrown.where, remedy: thrown.remedy, cause };
  }
  if (thrown instanceof Error) return { message: thrown.message, stack: thrown.stack };
  return { message: String(thrown) };
}

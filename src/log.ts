/**
 * Leaf: the log. JSON lines on stderr (pretty on a terminal), one line per decision; the message is constant, the data
 * is in fields. Rooms get a child: `log.child({ room: "journal" })`.
 */
import { pino } from "pino";
import type { Logger } from "pino";
import { Fault } from "./fault.ts";

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
  };
  if (!options.pretty) return pino(shared, pino.destination({ dest: 2, sync: true }));
  return pino({
    ...shared,
    transport: {
      target: "pino-pretty",
      options: { destination: 2, sync: true, translateTime: "HH:MM:ss.l", ignore: "pid,hostname", singleLine: true },
    },
  });
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

/** What the stream tells, and who wants which of it. */

interface Shared {
  /** ISO 8601. */
  readonly time: string;
}

/** The event that something was about. Long topics and keys are cut. */
export interface About {
  /** Id of the event. */
  readonly event: string;
  readonly topic: string;
  readonly key: string;
  readonly device?: string;
}

export interface LogEntry extends Shared, Partial<About> {
  readonly at: "log";
  readonly handler: string;
  readonly version: number;
  readonly level: Level;
  readonly message: string;
}

export interface OutcomeEntry extends Shared, About {
  readonly at: "outcome";
  readonly handler: string;
  readonly version: number;
  /** "retry": it failed and will be tried again. */
  readonly status: "done" | "retry" | "dead";
  /** Mean time of the events of the batch that it ran in. */
  readonly ms?: number;
  /** Tries that failed, this one counted too. */
  readonly tries?: number;
  readonly outputs?: number;
  readonly failure?: { readonly code: string; readonly message: string; readonly stack?: string };
  /** Id of the dead letter. */
  readonly letter?: string;
}

export interface DeployEntry extends Shared {
  readonly at: "deploy";
  readonly handler: string;
  readonly what: "live" | "canary" | "shadow" | "passed" | "dropped" | "failed" | "rolled-back" | "removed";
  readonly version?: number;
  /** Of a canary: its share of the keys. */
  readonly share?: number;
  readonly message?: string;
}

export interface UplinkEntry extends Shared {
  readonly at: "uplink";
  readonly uplink: string;
  readonly what: "up" | "down" | "full";
  readonly waiting: number;
  readonly code?: string;
  readonly message?: string;
}

export type Entry = LogEntry | OutcomeEntry | DeployEntry | UplinkEntry;
/** Without its time. */
export type EntryDraft =
  | Omit<LogEntry, "time">
  | Omit<OutcomeEntry, "time">
  | Omit<DeployEntry, "time">
  | Omit<UplinkEntry, "time">;

export const LEVELS = ["debug", "info", "warn", "error"] as const;
export type Level = (typeof LEVELS)[number];
export const STATUSES = ["error", "retry", "dead", "done"] as const;

export interface Filter {
  readonly handler?: string | undefined;
  /** Outcomes like this only, and no log lines unless `level` is given too; "error" is retry and dead. */
  readonly status?: (typeof STATUSES)[number] | undefined;
  /** Log lines that are as grave or more, and no outcomes unless `status` is given too. */
  readonly level?: Level | undefined;
  /** What is about events of this device. */
  readonly device?: string | undefined;
}

export function matches(entry: Entry, { handler, status, level, device }: Filter): boolean {
  if (entry.at === "uplink") return handler === undefined && device === undefined;
  if (handler !== undefined && entry.handler !== handler) return false;
  if (entry.at === "deploy") return device === undefined;
  if (device !== undefined && entry.device !== device) return false;
  if (entry.at === "log") {
    if (level === undefined) return status === undefined;
    return LEVELS.indexOf(entry.level) >= LEVELS.indexOf(level);
  }
  if (status === undefined) return level === undefined;
  return status === "error" ? entry.status !== "done" : entry.status === status;
}

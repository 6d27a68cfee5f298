/**
 * Leaf: everything that can go wrong, by code.
 *
 * A {@link Fault} says what happened, where, and how to mend it. Codes are part of the public face: they stand in the
 * log, in API errors, in dead letters and in docs/faults.md, and a test holds that page against this table.
 */

/** Whose move it is: the operator's config, the user's code, the peer, the box, or ours. */
export type Blame = "config" | "handler" | "peer" | "box" | "usage" | "sluice";

interface FaultKind {
  readonly blame: Blame;
  /** Whether the same thing may succeed later without anybody changing anything. */
  readonly passing: boolean;
  readonly remedy: string;
}

const kind = (blame: Blame, passing: boolean, remedy: string): FaultKind => ({ blame, passing, remedy });

/** One line a code, grouped by room. */
export const FAULTS = {
  // config
  CONFIG_UNREADABLE: kind("config", false, "Check the path and its permissions; --config or SLUICE_CONFIG names another file."),
  CONFIG_INVALID: kind("config", false, "Mend the place that is named; `sluice check` tries the file without starting anything."),
} as const satisfies Record<string, FaultKind>;

export type FaultCode = keyof typeof FAULTS;

export interface FaultOptions {
  /** file:line:column, a topic, an uplink's name: whatever leads a person to it. */
  readonly where?: string;
  /** Replaces the table's remedy where more is known. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: FaultCode;
  readonly where: string | undefined;
  readonly remedy: string;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.where = options.where;
    this.remedy = options.remedy ?? FAULTS[code].remedy;
  }

  get blame(): Blame {
    return FAULTS[this.code].blame;
  }

  get passing(): boolean {
    return FAULTS[this.code].passing;
  }

  /** What a person reads on a terminal: what, where, how to mend it, the code. */
  explain(): string {
    const where = this.where === undefined ? "" : `${this.where}: `;
    return `${where}${this.message}\n  → ${this.remedy} [${this.code}]`;
  }
}

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

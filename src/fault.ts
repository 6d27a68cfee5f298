/**
 * Leaf: everything that can go wrong, by code.
 *
 * A {@link Fault} says what happened, where, and how to mend it. Codes are part of the public face: they stand in the
 * log, in API errors, in dead letters and in docs/faults.md, and a test holds that page against
 * the table (faults.ts).
 */

import { FAULTS } from "./faults.ts";
import type { Blame, FaultCode } from "./faults.ts";

export { FAULTS } from "./faults.ts";
export type { Blame, FaultCode } from "./faults.ts";

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

/** How to mend what bears this code; undefined when it is none of ours. */
export function remedyOf(code: string): string | undefined {
  return Object.hasOwn(FAULTS, code) ? FAULTS[code as FaultCode].remedy : undefined;
}

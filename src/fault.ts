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
  // triggers and tasks
  TOPIC_FILTER_INVALID: kind("handler", false, "Write levels separated by /, each plain text, {name} or +, and # only as the last."),
  TRIGGER_KEY_INVALID: kind("handler", false, "Use names of levels that each of the handler's filters has, or {device} or {topic}."),
  TASK_CRASHED_RUNNER: kind("handler", false, "The event took its runner down twice, the second time alone. Mend the handler, then redrive the dead letter."),
  OUTPUT_UPLINK_UNKNOWN: kind("handler", false, "Name an uplink that the config has, in `to` of the handler's config or of ctx.emit."),
  // uplinks
  UPLINK_UNREACHABLE: kind("peer", true, "Nothing to do if the network is expected to be down: entries wait and are sent in order later. Else check the address, DNS and the firewall."),
  UPLINK_TIMEOUT: kind("peer", true, "The other side took the connection but did not answer in time; see whether it is overloaded, or raise `timeout`."),
  UPLINK_BUSY: kind("peer", true, "The other side asked to be left alone for a while; it is tried again by itself. A `rate` cap avoids it."),
  UPLINK_DENIED: kind("config", false, "Check the uplink's credentials, certificate and rights at the other side; it is tried again now and then."),
  UPLINK_NOT_FOUND: kind("config", false, "Check the uplink's URL; it is tried again now and then."),
  UPLINK_REJECTED: kind("peer", false, "The other side will never take this output as it is; look at it with `sluice dead show`, mend the handler, then redrive."),
  UPLINK_TOO_LARGE: kind("peer", false, "One output is larger than the other side takes; send less, or raise its limit, then redrive."),
  UPLINK_HUNG_UP: kind("peer", true, "The other side closes the connection on what it is sent; its log says why. Often it is a missing right to publish on the topic."),
  UPLINK_POISON: kind("peer", false, "The other side hangs up on this output and takes others; its log says why. Mend what is sent, then redrive."),
  UPLINK_FILE_FAILED: kind("box", true, "Make room on the disk or mend the folder's permissions; it is tried again by itself."),
  UPLINK_SETTINGS: kind("config", false, "Check the file that the uplink's settings name: it must exist, be readable and hold what it should."),
  UPLINK_UNKNOWN: kind("usage", false, "`sluice uplinks ls` shows the names."),
  UPLINK_CLOSING: kind("sluice", true, "Nothing: what was not acknowledged is sent again after the start."),
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

/** What an HTTP answer means for the batch that it answers. */
import { Fault } from "../fault.ts";
import type { Failure } from "../task.ts";
import type { Clock } from "../time.ts";
import type { Verdict } from "./uplink.ts";

export interface Answer {
  readonly status: number;
  /** The header, as it came. */
  readonly retryAfter: string | undefined;
  /** The beginning of the body. */
  readonly text: string;
}

/** So much is read of an answer's body, and for so long after its head. */
export const ANSWER_BYTES_MAX = 4096;
export const ANSWER_MS_MAX = 1000;
const QUOTED_CHARS_MAX = 500;

/**
 * 2xx: the other side has it. 413: less at a time. 401, 403, 407: our credentials; 404, 405, 410, 415 and redirects: our URL.
 * 408, 425, 429, 5xx: later. Any other 4xx: something in the batch will never be taken.
 */
export function judge(answer: Answer, entries: number, where: string, clock: Clock): Verdict {
  const { status } = answer;
  if (status >= 200 && status < 300) return { acked: entries };
  const message = `HTTP ${status}${quoteOf(answer.text)}`;
  if (status === 413) return { acked: 0, refused: { failure: failure("UPLINK_TOO_LARGE", message), tooLarge: true } };
  if (status === 401 || status === 403 || status === 407) {
    return { acked: 0, fault: new Fault("UPLINK_DENIED", message, { where }) };
  }
  if ([404, 405, 410, 415].includes(status) || (status >= 300 && status < 400)) {
    return { acked: 0, fault: new Fault("UPLINK_NOT_FOUND", message, { where }) };
  }
  if (status === 408 || status === 425 || status === 429 || status >= 500 || status < 200) {
    const retryAfterMs = parseRetryAfter(answer.retryAfter, clock);
    return { acked: 0, fault: new Fault("UPLINK_BUSY", message, { where }), retryAfterMs };
  }
  return { acked: 0, refused: { failure: failure("UPLINK_REJECTED", message), tooLarge: false } };
}

/** Seconds or an HTTP date (RFC 9110, 10.2.3), as milliseconds from now. 0 when there is none that can be read. */
export function parseRetryAfter(header: string | undefined, clock: Clock): number {
  if (header === undefined) return 0;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - clock.now());
}

function failure(code: Failure["code"], message: string): Failure {
  return { code, message };
}

/** What the other side said, on one line. */
function quoteOf(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line === "" ? "" : `: ${line.slice(0, QUOTED_CHARS_MAX)}`;
}

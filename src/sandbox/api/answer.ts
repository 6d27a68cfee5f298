/**
 * The answer to a batch: lines of text, each a letter and a value. JSON texts contain no raw newline, so the host
 * splits at newlines and takes values as they are. In the batch's order, and per task in this order:
 *
 *     l3"text"   log line: level, and text as JSON          d12        log lines dropped before it
 *     a{…}       address {to, type, subject, publish} of the next data line, when it has one
 *     o<json>    output                          x"text"   output, its text as UTF-8 bytes
 *     b"bytes"   output of bytes, a character each, of which the low byte counts (text.ts)
 *     s<json>    the key's new state, when it changed; nothing after the s removes it
 *     .          done       !{…} failed       ~ behind one of its key that failed       - not started
 */

/** What a task wants to say until it ends; dropped when it fails, but for its log lines. */
export class Draft {
  logs = "";
  effects = "";
  outputs = 0;
  chars = 0;
}

export const DONE = ".\n";
export const BEHIND = "~\n";
export const UNRUN = "-\n";

/** An entry of the stream as people read it. */
import type { About, DeployEntry, Entry, LogEntry, OutcomeEntry, UplinkEntry } from "../control/stream-entry.ts";
import { plain } from "../plain.ts";
import { paint } from "./terminal.ts";
import type { Style } from "./terminal.ts";

/** What was not told, and why. */
export interface LeftOut {
  readonly at: "left-out";
  readonly rate: number;
  readonly slow: number;
}

const STATUS: Readonly<Record<OutcomeEntry["status"], Style>> = { done: "green", retry: "yellow", dead: "red" };
const LEVEL: Readonly<Record<LogEntry["level"], Style>> = { debug: "dim", info: "cyan", warn: "yellow", error: "red" };

export function entryText(entry: Entry): string {
  const time = paint("dim", clockOf(entry.time));
  switch (entry.at) {
    case "log":
      return `${time} ${whose(entry)} ${paint(LEVEL[entry.level], entry.level)} ${plain(entry.message)}${about(entry)}`;
    case "outcome":
      return `${time} ${whose(entry)} ${paint(STATUS[entry.status], entry.status)}${outcome(entry)}`;
    case "deploy":
      return `${time} ${paint("bold", plain(entry.handler))} ${paint("magenta", deploy(entry))}`;
    case "uplink":
      return `${time} uplink ${paint("bold", plain(entry.uplink))} ${uplink(entry)}`;
  }
}

export function leftOutText({ rate, slow }: LeftOut): string {
  const parts = [
    rate > 0 ? `${rate} were too many a second` : "",
    slow > 0 ? `${slow} came faster than they were read` : "",
  ].filter((part) => part !== "");
  return `left out: ${parts.join(", ")}; name a handler, --status, --device or --level to see more of less`;
}

function whose({ handler, version }: { readonly handler: string; readonly version: number }): string {
  return `${paint("bold", plain(handler))}${version === 0 ? "" : paint("dim", ` v${version}`)}`;
}

function outcome(entry: OutcomeEntry): string {
  const { ms, outputs, tries, failure, letter, status } = entry;
  const words = [
    ms === undefined ? "" : `${ms}ms`,
    outputs === undefined || outputs === 0 ? "" : `${outputs} ${outputs === 1 ? "output" : "outputs"}`,
    tries === undefined ? "" : `try ${tries}`,
    letter === undefined ? "" : `sluice dead show ${plain(letter)}`,
  ].filter((word) => word !== "");
  const line = `${words.length > 0 ? ` ${words.join(", ")}` : ""}${about(entry)}`;
  if (failure === undefined) return line;
  const why = `\n    ${paint(STATUS[status], `${plain(failure.code)}: ${plain(failure.message)}`)}`;
  return line + why + frames(failure.stack);
}

/** Where it failed, without the first line, which says the message once more. */
function frames(stack: string | undefined): string {
  const lines = (stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return lines.map((line) => `\n      ${paint("dim", plain(line.trim()))}`).join("");
}

function about({ topic, key, device }: Partial<About>): string {
  if (topic === undefined) return "";
  const words = [
    plain(topic),
    key === undefined || key === topic ? "" : `key ${plain(key)}`,
    device === undefined ? "" : `from ${plain(device)}`,
  ].filter((word) => word !== "");
  return paint("dim", `  ${words.join(", ")}`);
}

function deploy({ what, version, share, message }: DeployEntry): string {
  const why = message === undefined ? "" : `: ${plain(message)}`;
  switch (what) {
    case "live":
      return `version ${version} is live`;
    case "canary":
      return `version ${version} runs on ${Math.round((share ?? 0) * 100)} % of the keys`;
    case "shadow":
      return `version ${version} runs as a shadow`;
    case "passed":
      return `version ${version} has passed its probation`;
    case "dropped":
      return `version ${version} is not tried any more${why}`;
    case "failed":
      return `not taken on${why}`;
    case "rolled-back":
      return `rolled back${why}`;
    case "removed":
      return "removed";
  }
}

function uplink({ what, waiting, code, message }: UplinkEntry): string {
  const why = code === undefined ? "" : `, ${plain(code)}: ${plain(message ?? "")}`;
  const colour = what === "up" ? "green" : "red";
  return `is ${paint(colour, what)}${waiting > 0 ? `, ${waiting} waiting` : ""}${why}`;
}

/** Of the day, where the terminal is. */
function clockOf(time: string): string {
  const at = new Date(time);
  const two = (value: number): string => String(value).padStart(2, "0");
  const ms = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`;
}

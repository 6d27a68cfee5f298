/** `sluice status`: the books and the state of everything, at a glance. */
import { Command } from "commander";
import type { StatusAnswer } from "../control/shapes.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import { plain } from "../plain.ts";
import { paint, print, printJson, showDuration, table } from "./terminal.ts";
import { showBytes } from "../shown-bytes.ts";

export function statusCommand(done: (code: number) => void): Command {
  return new Command("status")
    .description(
      "Shows the ledger (every task and output is in exactly one column), and the state of handlers, uplinks and journal.",
    )
    .option("--config <file>", "the gateway's config")
    .option("--json", "print what the API answers")
    .addHelpText(
      "after",
      `
Examples:
  sluice status
  sluice status --json | jq .ledger.events.pending
  SLUICE_URL=http://127.0.0.1:8080 SLUICE_TOKEN=… sluice status`,
    )
    .action(async (options: { config?: string; json?: boolean }) => {
      const gateway = await findGateway(options.config, process.env);
      const status = await gateway.ask<StatusAnswer>("GET", "/api/v1/status");
      if (options.json === true) printJson(status);
      else print(statusText(status));
      done(EXIT.ok);
    });
}

/** The status as people read it. */
export function statusText(status: StatusAnswer): string {
  const { ledger, journal } = status;
  const ready = status.ready ? paint("green", "ready") : paint("yellow", `not ready: ${status.reasons.join("; ")}`);
  const lines = [
    `${paint("bold", status.gateway)} ${ready}, up ${showDuration(status.uptimeMs)}, version ${status.version}`,
    `journal ${showBytes(journal.bytes)} of ${showBytes(journal.sizeMaxBytes)}`,
    "",
    table(["TASKS", ...Object.keys(ledger.events)], [["", ...Object.values(ledger.events)]]),
  ];
  if (status.unmatched > 0)
    lines.push(
      `${status.unmatched} more ${status.unmatched === 1 ? "event" : "events"} since the start that no handler wanted`,
    );
  if (status.handlers.length > 0) {
    const rows = status.handlers.map((of) => [
      plain(of.name),
      of.version === 0 ? "-" : of.version,
      of.waiting,
      of.parked,
      of.running,
      standing(of),
      plain(of.triggers.join("; ")),
    ]);
    lines.push("", table(["HANDLER", "version", "waiting", "parked", "running", "is", "run by"], rows));
    lines.push(...status.handlers.flatMap(failureLines));
  }
  const uplinks = uplinkRows(status);
  if (uplinks.length > 0) {
    const books = Object.keys(Object.values(ledger.uplinks)[0] ?? {});
    lines.push("", table(["UPLINK", "kind", "state", ...books, ""], uplinks));
  }
  if (status.damage.length > 0) {
    lines.push("", paint("red", "DAMAGE"));
    for (const { where, from, to, what } of status.damage)
      lines.push(`  ${plain(where)} ${from} to ${to}: ${plain(what)}`);
  }
  return lines.join("\n");
}

/** In short; what is wrong stands below the table, and figures of versions are for `sluice versions`. */
function standing({ version, removed, failure, onProbation, candidate }: StatusAnswer["handlers"][number]): string {
  if (removed) return "removed, see below";
  const said: string[] = [];
  if (onProbation) said.push("on probation");
  if (candidate !== undefined) {
    const share =
      candidate.share > 0 ? `on ${Number((candidate.share * 100).toFixed(2))} % of the keys` : "as a shadow";
    said.push(`version ${candidate.version} ${share}`);
  }
  if (failure !== undefined) said.push("see below");
  if (said.length === 0 && version > 0) said.push("live");
  return said.join(", ");
}

/** What is wrong with a handler, where, and how to mend it. */
function failureLines({ name, failure, removed }: StatusAnswer["handlers"][number]): string[] {
  if (removed) {
    const remedy = `sluice handlers drop ${plain(name)}`;
    return ["", `${paint("bold", plain(name))} is gone: its tasks wait until it is back, they expire, or ${remedy}`];
  }
  const [first = "", ...rest] = failure === undefined ? [] : failure.split("\n").map(plain);
  return first === "" ? [] : ["", `${paint("red", "✗")} ${paint("bold", plain(name))}: ${first}`, ...rest];
}

/** Outbox of what handlers publish to devices on this box; in the ledger as soon as one does. */
const DEVICES = "$devices";

function uplinkRows({ uplinks, ledger }: StatusAnswer): (string | number)[][] {
  const known = uplinks.map((of) => [
    of.name,
    of.kind,
    of.state,
    ...Object.values(ledger.uplinks[of.name] ?? {}),
    // The remedy is in the log; here the books need the room.
    plain((of.failure ?? "").split("\n")[0] ?? ""),
  ]);
  const names = new Set(uplinks.map(({ name }) => name));
  const others = Object.entries(ledger.uplinks).filter(
    ([name, { waiting, rejected }]) => !names.has(name) && (name === DEVICES || waiting + rejected > 0),
  );
  const rest = others.map(([name, books]) =>
    name === DEVICES
      ? [name, "local", "-", ...Object.values(books), "what handlers published to devices on this box"]
      : [plain(name), "-", "removed", ...Object.values(books), "its outputs wait until it is back, or they expire"],
  );
  return [...known, ...rest];
}

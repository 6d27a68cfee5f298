/** `sluice versions`, `promote` and `rollback`: which version of a handler is live, and how to change that. */
import { Command, InvalidArgumentError } from "commander";
import type { DeployedAnswer, VersionsAnswer } from "../control/version-shapes.ts";
import { told, whoami } from "./deploy.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import { plain } from "../plain.ts";
import { paint, print, printJson, say, showDuration, table, terminalWidth } from "./terminal.ts";

interface Shared {
  readonly config?: string;
  readonly json?: boolean;
}

interface Asked extends Shared {
  readonly message?: string;
}

const SHOWN = 10;
const pathOf = (name: string, what: string): string => `/api/v1/handlers/${encodeURIComponent(name)}/${what}`;

export function versionsCommand(done: (code: number) => void): Command {
  return new Command("versions")
    .description("Shows a handler's versions: which is live, on probation, or tried beside it, and what happened.")
    .argument("<name>", "the handler")
    .option("--history", "all that is known of what happened")
    .option("--config <file>", "the gateway's config")
    .option("--json", "print what the API answers")
    .addHelpText(
      "after",
      `
Examples:
  sluice versions overheat
  sluice versions overheat --json | jq .candidate.shadow`,
    )
    .action(async (name: string, options: Shared & { history?: boolean }) => {
      const gateway = await findGateway(options.config, process.env);
      const versions = await gateway.ask<VersionsAnswer>("GET", pathOf(name, "versions"));
      if (options.json === true) printJson(versions);
      else print(versionsText(versions, options.history === true));
      done(EXIT.ok);
    });
}

export function promoteCommand(done: (code: number) => void): Command {
  return new Command("promote")
    .description("Makes the canary or shadow of a handler its live version, on probation.")
    .argument("<name>", "the handler")
    .option("-m, --message <text>", "why, for `sluice versions`")
    .option("--config <file>", "the gateway's config")
    .option("--json", "print what the API answers")
    .addHelpText("after", "\nExample:\n  sluice promote overheat -m 'no differences in a day'")
    .action(async (name: string, options: Asked) => {
      const gateway = await findGateway(options.config, process.env);
      const body = { message: options.message, author: whoami() };
      const answer = await gateway.ask<DeployedAnswer>("POST", pathOf(name, "promote"), body);
      if (options.json === true) printJson(answer);
      else say(told(answer));
      done(EXIT.ok);
    });
}

export function rollbackCommand(done: (code: number) => void): Command {
  return new Command("rollback")
    .description(
      "Drops the canary or shadow of a handler; where there is none, makes the version before, or the one that is named, live again. What failed on a version on probation runs again. A handler that was removed is back with its last version, or the one that is named.",
    )
    .argument("<name>", "the handler")
    .argument("[version]", "as `sluice versions` prints it", wholeVersion)
    .option("-m, --message <text>", "why, for `sluice versions`")
    .option("--config <file>", "the gateway's config")
    .option("--json", "print what the API answers")
    .addHelpText(
      "after",
      `
It stays so until another version is deployed, or the source in the handlers' folder changes.

Examples:
  sluice rollback overheat -m "counts twice"
  sluice rollback overheat 3`,
    )
    .action(async (name: string, version: number | undefined, options: Asked) => {
      const gateway = await findGateway(options.config, process.env);
      const body = { version, message: options.message, author: whoami() };
      const answer = await gateway.ask<DeployedAnswer>("POST", pathOf(name, "rollback"), body);
      if (options.json === true) printJson(answer);
      else say(`${answer.name} ${answer.version} is live; what happened: sluice versions ${answer.name}`);
      done(EXIT.ok);
    });
}

function versionsText(of: VersionsAnswer, isWhole: boolean): string {
  const { live, candidate, before } = of;
  const standing = (version: number): string => {
    if (version === live.version) {
      if (live.probation === undefined) return "live";
      const { failures, failuresMax, eventsMax, leastLeftMs } = live.probation;
      const events = live.done + failures;
      const failed = `${failures} failed (${failuresMax} may)`;
      // It has run what it has to, and only time is wanting.
      return events >= eventsMax && leastLeftMs > 0
        ? `live, on probation for another ${showDuration(leastLeftMs)}: ${events} events, ${failed}`
        : `live, on probation: ${events} of ${eventsMax} events, ${failed}`;
    }
    if (candidate?.version === version) {
      const { done, share, probation } = candidate;
      const { failures, failuresMax } = probation ?? { failures: 0, failuresMax: 0 };
      const failed =
        probation === undefined ? "" : `: ${done + failures} events, ${failures} failed (${failuresMax} may)`;
      return share > 0 ? `canary, ${percent(share)} of the keys${failed}` : "shadow";
    }
    return version === before ? "before" : "";
  };
  const rows = of.versions
    .toReversed()
    .map(({ version, built, author, message, file }) => [
      version,
      built,
      plain(author ?? file),
      standing(version),
      plain(message ?? ""),
    ]);
  const lines = [table(["VERSION", "built", "by", "is", "message"], rows, terminalWidth())];
  if (candidate?.shadow !== undefined) lines.push("", shadowText(candidate.shadow));
  const steps = isWhole ? of.history : of.history.slice(-SHOWN);
  const happened = steps.map(({ at, version, what, why, author }) => [
    at,
    version,
    what,
    plain(author ?? ""),
    plain(why ?? ""),
  ]);
  lines.push("", table(["HAPPENED", "version", "what", "by", "why"], happened, terminalWidth()));
  return lines.join("\n");
}

function shadowText(shadow: NonNullable<NonNullable<VersionsAnswer["candidate"]>["shadow"]>): string {
  const { events, same, skipped, differences, liveMs, candidateMs, samples } = shadow;
  const { outputs, state, failed, mended } = differences;
  const lines = [
    paint("bold", `SHADOW ${shadow.version}: ${same} of ${events} events came to the same (${skipped} not compared)`),
    `other outputs ${outputs}, another state ${state}, fails ${failed}, fails no more ${mended}; mean ${liveMs.toFixed(2)} ms live, ${candidateMs.toFixed(2)} ms shadow`,
  ];
  for (const { event, topic, live, candidate } of samples) {
    lines.push(
      `event ${event} on ${plain(topic)}`,
      paint("red", `  - ${plain(live)}`),
      paint("green", `  + ${plain(candidate)}`),
    );
  }
  return lines.join("\n");
}

const percent = (share: number): string => `${Number((share * 100).toFixed(2))}%`;

function wholeVersion(text: string): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1) throw new InvalidArgumentError("it is a whole number from 1 on");
  return Number(text);
}

/** `sluice handlers`: what is asked of the running gateway about its handlers. */
import { Command } from "commander";
import type { HandlerAnswer, HandlersAnswer } from "../control/handler-shapes.ts";
import type { BulkAnswer, StatusAnswer } from "../control/shapes.ts";
import type { RemovedAnswer, VersionsAnswer } from "../control/version-shapes.ts";
import { whoami } from "./deploy.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import { plain } from "../plain.ts";
import { confirm, print, printJson, say, showDuration, table, terminalWidth } from "./terminal.ts";
import { showBytes } from "../shown-bytes.ts";

interface DropOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly yes?: boolean;
}

export function handlersCommand(done: (code: number) => void): Command {
  const handlers = new Command("handlers").description("The running gateway's handlers: what they did lately.");
  handlers.addCommand(listCommand(done), { isDefault: true });
  handlers.addCommand(dropCommand(done));
  handlers.addCommand(removeCommand(done));
  return handlers;
}

function listCommand(done: (code: number) => void): Command {
  return new Command("ls")
    .description(
      "Lists handlers and routes: events a second, tries that failed, the time of an event, processor time, versions.",
    )
    .option("--config <file>", "the gateway's config")
    .option("--json", "print what the API answers")
    .addHelpText(
      "after",
      `
Figures are of the last two to four minutes. An event's time is the mean of the batch that it ran in; "cpu" is the
share of one processor core. "heap" is the most that an isolate of it took, garbage included, of what it may.

Examples:
  sluice handlers
  sluice handlers --json | jq '.handlers[] | select(.recent.failed > 0) | .name'
  sluice handlers drop overheat       what waits for a handler that is gone`,
    )
    .action(async (options: { config?: string; json?: boolean }) => {
      const gateway = await findGateway(options.config, process.env);
      const answer = await gateway.ask<HandlersAnswer>("GET", "/api/v1/handlers");
      if (options.json === true) printJson(answer);
      else if (answer.handlers.length === 0) say("there are no handlers");
      else print(handlersText(answer.handlers, terminalWidth()));
      done(EXIT.ok);
    });
}

const HEAD = [
  "HANDLER",
  "version",
  "events/s",
  "failed",
  "p50",
  "p99",
  "cpu",
  "heap",
  "state",
  "waiting",
  "parked",
  "",
];

/** The list as people read it. */
export function handlersText(handlers: readonly HandlerAnswer[], width: number | undefined): string {
  const rows = handlers.map((of) => {
    const { recent, route, memoryMax } = of;
    const share = recent.events === 0 ? 0 : recent.failed / recent.events;
    return [
      plain(of.name),
      of.version === 0 || route ? "-" : of.version,
      recent.events === 0 ? "-" : recent.perSecond,
      recent.failed === 0 ? "-" : `${recent.failed} (${percent(share)})`,
      time(recent.p50Ms),
      time(recent.p99Ms),
      route || recent.windowMs <= 0 ? "-" : percent(recent.cpuMs / recent.windowMs),
      memoryMax === undefined
        ? "-"
        : `${recent.heapBytes === 0 ? "-" : showBytes(recent.heapBytes)} of ${showBytes(memoryMax)}`,
      of.stateBytes === 0 ? "-" : showBytes(of.stateBytes),
      of.waiting,
      of.parked,
      notes(of),
    ];
  });
  return table(HEAD, rows, width);
}

/** What is out of the ordinary, the worst first. */
function notes({ failure, removed, quarantinedMs, live, candidate, route, proven, version }: HandlerAnswer): string {
  const said: string[] = [];
  if (removed) said.push("removed: its tasks wait until they expire, or are dropped");
  if (failure !== undefined) said.push(plain(failure.split("\n")[0] ?? ""));
  else if (quarantinedMs > 0) said.push(`in quarantine for ${showDuration(quarantinedMs)}`);
  if (live?.probation !== undefined) {
    const { failures, failuresMax, eventsMax } = live.probation;
    said.push(`on probation: ${failures} failed, ${failuresMax} may, of ${eventsMax}`);
  }
  if (candidate !== undefined) {
    const { shadow, share } = candidate;
    said.push(
      shadow === undefined
        ? `version ${candidate.version} on ${percent(share)} of the keys: ${candidate.done} done, ${candidate.failed} failed`
        : `version ${candidate.version} as a shadow: ${shadow.same} of ${shadow.events} the same`,
    );
  }
  if (!route && !removed && version > 0 && !proven) said.push("runs apart, not proven yet");
  return said.join("; ");
}

/** "12 %", "0.4 %". */
function percent(share: number): string {
  const value = share * 100;
  return `${value === 0 || value >= 10 ? Math.round(value) : Number(value.toPrecision(1))} %`;
}

function time(ms: number | undefined): string {
  if (ms === undefined) return "-";
  if (ms >= 1000) return showDuration(ms);
  return `${ms >= 10 ? Math.round(ms) : Number(ms.toPrecision(2))}ms`;
}

function dropCommand(done: (code: number) => void): Command {
  return new Command("drop")
    .description(
      "Drops all that waits for a handler or route that is gone. The ledger counts it as dropped. Dead letters stay: `sluice dead drop --handler <name>`.",
    )
    .argument("<name>", "as `sluice status` prints it")
    .option("--config <file>", "the gateway's config")
    .option("--json", "print {count}")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      `
Examples:
  sluice handlers drop overheat
  sluice handlers drop overheat --yes --json`,
    )
    .action(async (name: string, options: DropOptions) => {
      const gateway = await findGateway(options.config, process.env);
      if (options.yes !== true) {
        const { handlers } = await gateway.ask<StatusAnswer>("GET", "/api/v1/status");
        const { waiting = 0, parked = 0 } = handlers.find((of) => of.name === name) ?? {};
        await confirm(`Drop the ${waiting + parked} tasks that wait for ${plain(name)} for good?`, false);
      }
      const path = `/api/v1/handlers/${encodeURIComponent(name)}/tasks`;
      const { count } = await gateway.ask<BulkAnswer>("DELETE", path);
      if (options.json === true) printJson({ count });
      else say(`dropped: ${count}`);
      done(EXIT.ok);
    });
}

function removeCommand(done: (code: number) => void): Command {
  return new Command("rm")
    .description(
      "Takes a handler out of service that `sluice deploy` has brought. One in the handlers' folder goes with its source. Its versions stay: `sluice rollback` brings it back, and a later deploy goes on from them.",
    )
    .argument("<name>", "as `sluice status` prints it")
    .option("--config <file>", "the gateway's config")
    .option("-m, --message <text>", "why, for `sluice versions`")
    .option("--json", "print {waiting}")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample:\n  sluice handlers rm overheat -m 'machine 7 is sold' --yes")
    .action(async (name: string, options: DropOptions & { message?: string }) => {
      const gateway = await findGateway(options.config, process.env);
      const path = `/api/v1/handlers/${encodeURIComponent(name)}`;
      const { live } = await gateway.ask<VersionsAnswer>("GET", `${path}/versions`);
      // Nobody is asked about what is not there.
      if (live.version > 0) await confirm(`Take ${plain(name)} out of service?`, options.yes === true);
      const by = new URLSearchParams();
      for (const [is, value] of Object.entries({ author: whoami(), message: options.message }))
        if (value !== undefined) by.set(is, value);
      const { waiting } = await gateway.ask<RemovedAnswer>("DELETE", `${path}?${by.toString()}`);
      if (options.json === true) printJson({ waiting });
      else
        say(
          waiting === 0
            ? `${name} is gone; its versions are kept: sluice rollback ${name} brings it back`
            : `${name} is gone, and ${waiting} tasks wait for it: sluice rollback ${name} brings it back, sluice handlers drop ${name} drops them`,
        );
      done(EXIT.ok);
    });
}

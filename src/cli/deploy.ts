/** `sluice deploy`: bundles a handler here, and has the running gateway take it on. */
import { userInfo } from "node:os";
import { basename } from "node:path";
import { Command } from "commander";
import type { DeployedAnswer, VersionsAnswer } from "../control/version-shapes.ts";
import { Fault } from "../fault.ts";
import { sleep } from "../time.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import type { Running } from "./running.ts";
import { plain } from "../plain.ts";
import { printJson, say, showDuration } from "./terminal.ts";
import { showBytes } from "../shown-bytes.ts";

interface DeployOptions {
  readonly config?: string;
  readonly name?: string;
  readonly message?: string;
  readonly canary?: number;
  readonly shadow?: boolean;
  readonly wait?: boolean;
  readonly json?: boolean;
}

const POLL_MS = 500;

export function deployCommand(done: (code: number) => void): Command {
  return new Command("deploy")
    .description(
      "Bundles a handler and sends it to the running gateway, which loads it before it may go live. A version that comes after another one is on probation: past its budget of failures it is rolled back by itself.",
    )
    .argument("<file>", "its source: a file, or a folder with an index file")
    .option("--name <name>", "the handler's name; default: the file's")
    .option("-m, --message <text>", "why, for `sluice versions`")
    .option("--canary <share>", "try it on a share of the keys, such as 10%, beside the live version", shareOf)
    .option("--shadow", "run it beside the live version without effects, and compare")
    .option("--wait", "until its probation is over; exit status 1 when it was rolled back")
    .option("--config <file>", "the gateway's config")
    .option("--json", "print what the API answers")
    .addHelpText(
      "after",
      `
What lies in the handlers' folder is deployed by saving it, and goes over what was deployed here when it changes.

Examples:
  sluice deploy handlers/overheat.ts -m "hotter limits"
  sluice deploy handlers/overheat.ts --canary 10%
  sluice deploy handlers/overheat.ts --shadow
  sluice deploy build/overheat.js --name overheat --wait && echo it stays`,
    )
    .action(async (file: string, options: DeployOptions) => {
      if (options.canary !== undefined && options.shadow === true) {
        throw new Fault("CLI_USAGE", "--canary and --shadow are one or the other");
      }
      const gateway = await findGateway(options.config, process.env);
      const name = options.name ?? basename(file).replace(/\.(?:ts|js|mjs)$/, "");
      // Loaded only now: the bundler is large.
      const { bundleFile } = await import("../harness/bundle-file.ts");
      const startMs = performance.now();
      const bundle = await bundleFile(name, file);
      const took = showDuration(performance.now() - startMs);
      if (options.json !== true)
        say(`bundled ${plain(bundle.file)}: ${showBytes(Buffer.byteLength(bundle.code))} in ${took}`);
      const before = await liveVersion(gateway, name);
      const answer = await send(gateway, name, bundle, options);
      if (answer.at === "live" && answer.version === before && answer.before === undefined && options.json !== true) {
        say(`${name} ${before} was live already: its code is the same, so nothing has changed`);
        done(EXIT.ok);
        return;
      }
      if (options.wait !== true) {
        if (options.json === true) printJson(answer);
        else say(told(answer));
        done(EXIT.ok);
        return;
      }
      if (options.json !== true) say(told(answer));
      const versions = await settled(gateway, answer);
      const isLive = versions.live.version === answer.version;
      if (options.json === true) printJson({ ...answer, stays: isLive });
      else if (isLive) say(`${name} ${answer.version} has passed`);
      else {
        const end = lastStep(versions, answer.version);
        const isEnd = end?.what === "rolled-back" || end?.what === "dropped";
        say(`${name} ${answer.version} did not stay: ${plain((isEnd && end.why) || "another one is live")}`);
      }
      done(isLive ? EXIT.ok : EXIT.failed);
    });
}

async function send(
  gateway: Running,
  name: string,
  bundle: { code: string; sourceMap: string; file: string },
  { message, canary, shadow = false }: DeployOptions,
): Promise<DeployedAnswer> {
  const path = `/api/v1/handlers/${encodeURIComponent(name)}/versions`;
  return await gateway.ask<DeployedAnswer>("POST", path, { ...bundle, canary, shadow, message, author: whoami() });
}

/** Undefined when there is none. */
async function liveVersion(gateway: Running, name: string): Promise<number | undefined> {
  try {
    return (await gateway.ask<VersionsAnswer>("GET", `/api/v1/handlers/${encodeURIComponent(name)}/versions`)).live
      .version;
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === "CONTROL_NOT_FOUND") return undefined;
    throw thrown;
  }
}

/** As the history names whoever asks. */
export function whoami(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined; // A container may run as a number that no user has.
  }
}

/** What a deploy, a promotion or a rollback came to. */
export function told({ name, version, at, before }: DeployedAnswer): string {
  const beside = before === undefined ? "" : ` beside version ${before}`;
  if (at === "canary")
    return `${name} ${version} is a canary${beside}: sluice versions ${name}, then promote or rollback`;
  if (at === "shadow") return `${name} ${version} is a shadow${beside}: sluice versions ${name} compares them`;
  const probation = before === undefined ? "" : `, on probation after version ${before}: sluice versions ${name}`;
  return `${name} ${version} is live${probation}`;
}

const ENDS: ReadonlySet<string> = new Set(["passed", "rolled-back", "dropped", "removed"]);

/** What happened with the version last. */
function lastStep({ history }: VersionsAnswer, version: number): VersionsAnswer["history"][number] | undefined {
  return history.findLast((step) => step.version === version);
}

/** What is known of the handler once the version is on probation no more, or is not there any more. */
async function settled(gateway: Running, { name, version, at }: DeployedAnswer): Promise<VersionsAnswer> {
  const startedMs = performance.now();
  let isOver = false;
  for (;;) {
    const versions = await gateway.ask<VersionsAnswer>("GET", `/api/v1/handlers/${encodeURIComponent(name)}/versions`);
    const own = versions.candidate?.version === version ? versions.candidate : versions.live;
    const { probation } = own;
    const wasOver = isOver;
    isOver = own.version !== version || probation === undefined;
    // What runs changes before it is remembered: in between nothing is said of it, so it is asked once more.
    if (isOver && (wasOver || ENDS.has(lastStep(versions, version)?.what ?? ""))) {
      if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
      return versions;
    }
    if (process.stderr.isTTY && probation !== undefined) {
      const { failures, failuresMax, eventsMax } = probation;
      const ran = `${own.done + failures} of ${eventsMax} events`;
      const waited = showDuration(performance.now() - startedMs);
      process.stderr.write(`\r\u001b[K${at} ${version}: ${ran}, ${failures} failed (${failuresMax} may), ${waited}`);
    }
    await sleep(POLL_MS);
  }
}

function shareOf(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text.trim());
  const share = match === null ? Number.NaN : Number(match[1]) / (match[2] === "%" ? 100 : 1);
  if (!(share > 0 && share <= 1))
    throw new Fault("CLI_USAGE", `a share is more than 0 and at most 100%, such as 10%: ${text}`);
  return share;
}

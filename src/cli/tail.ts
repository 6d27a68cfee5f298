/** `sluice tail`: follows what happens in the running gateway, until it is interrupted. */
import { Command, InvalidArgumentError, Option } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import type { Entry } from "../control/stream-entry.ts";
import { LEVELS, STATUSES } from "../control/stream-entry.ts";
import { KEPT_MS } from "../control/stream.ts";
import { Fault } from "../fault.ts";
import { parseDuration } from "../quantity.ts";
import { wholeNumber } from "./device.ts";
import { EXIT } from "./exit.ts";
import { meant } from "./not-found.ts";
import { findGateway, handlersOf } from "./running.ts";
import type { Running } from "./running.ts";
import { readServerEvents } from "./server-events.ts";
import type { ServerEvent } from "./server-events.ts";
import { entryText, leftOutText } from "./tail-text.ts";
import type { LeftOut } from "./tail-text.ts";
import { harmless, plain } from "../plain.ts";
import { print, say, showDuration } from "./terminal.ts";

interface TailOptions {
  readonly status?: string;
  readonly device?: string;
  readonly level?: string;
  readonly since?: number;
  readonly count?: number;
  readonly config?: string;
  readonly json?: boolean;
}

const AGAIN_MS = 1000;

export function tailCommand(done: (code: number) => void): Command {
  return new Command("tail")
    .description("Follows what happens: log lines of handlers, what became of events, deploys, uplinks.")
    .argument("[name]", "only this handler")
    .addOption(new Option("--status <status>", "only outcomes like this; error is retry and dead").choices(STATUSES))
    .addOption(new Option("--level <level>", "only log lines as grave as this or more").choices(LEVELS))
    .option("--device <id>", "only what is about events of this device")
    .option("--since <duration>", "begin with what happened so long ago: 5m", durationOf)
    .option("-n, --count <n>", "end after so many entries", wholeNumber(1, 1e9))
    .option("--config <file>", "the gateway's config")
    .option("--json", "an entry a line as JSON, as when the output is no terminal")
    .addHelpText(
      "after",
      `
--status leaves log lines out and --level outcomes, unless both are given. For --since the gateway keeps the last 15
minutes, up to 2,000 entries, in memory; events that were done are not kept. When there is more than 1,000 entries a
second, or the terminal is too slow, the rest is left out, and it says how many. When the gateway restarts, it goes on.

Exit status: 130 when you interrupt it, 0 when -n came.

Examples:
  sluice tail
  sluice tail overheat --status error --since 5m
  sluice tail --level warn --device press-4
  sluice tail | jq 'select(.at == "outcome") | .ms'`,
    )
    .action(async (name: string | undefined, options: TailOptions) => {
      const gateway = await findGateway(options.config, process.env);
      done(await follow(gateway, name, options));
    });
}

function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError("write a duration such as 30s, 5m or 1h");
  return ms;
}

async function follow(gateway: Running, name: string | undefined, options: TailOptions): Promise<number> {
  const ending = new AbortController();
  let code: number | undefined;
  const end = (with_: number): void => {
    code ??= with_;
    ending.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => end(EXIT.interrupted));
  const isJson = options.json === true || !process.stdout.isTTY;
  let left = options.count ?? Infinity;
  /** Id of the last entry, and when the gateway was last heard. */
  let last: string | undefined;
  let heardMs = Date.now();
  let wasThere = false;
  let isClosing = false;
  const each = (event: ServerEvent): void => {
    if (left <= 0) return;
    heardMs = Date.now();
    isClosing ||= event.name === "closing";
    if (event.id !== undefined) last = event.id;
    if (event.name === "closing") return;
    const entry = JSON.parse(event.data) as Entry | LeftOut;
    if (isJson) print(harmless(event.data));
    else if (entry.at === "left-out") say(leftOutText(entry));
    else print(entryText(entry));
    if (entry.at !== "left-out" && --left <= 0) end(EXIT.ok);
  };

  let isUp = false;
  while (code === undefined) {
    try {
      const sinceMs = wasThere ? Date.now() - heardMs : options.since;
      const body = await gateway.follow(pathOf(name, options, sinceMs, last), ending.signal);
      if (wasThere) say("connected again");
      else if (process.stderr.isTTY) say("connected; Ctrl-C ends it");
      if (!wasThere && (options.since ?? 0) > KEPT_MS) {
        say(
          `the gateway keeps the last ${showDuration(KEPT_MS)} of this; what was before is in its log, and in sluice dead ls`,
        );
      }
      if (!wasThere && name !== undefined) await sayIfUnknown(gateway, name);
      isUp = wasThere = true;
      heardMs = Date.now();
      await readServerEvents(body, each);
    } catch (thrown) {
      const mayPass = !(thrown instanceof Fault) || thrown.passing;
      if (code === undefined && !(wasThere && mayPass)) throw thrown;
    }
    if (code !== undefined) break;
    if (isUp) say(isClosing ? "the gateway is being stopped; waiting for it" : "the gateway is gone; waiting for it");
    isUp = isClosing = false;
    await sleep(AGAIN_MS, undefined, { signal: ending.signal }).catch(() => undefined);
  }
  return code ?? EXIT.ok;
}

/** One that is not there may come; more often it is a slip. */
async function sayIfUnknown(gateway: Running, name: string): Promise<void> {
  const names = await handlersOf(gateway, true).catch(() => [name]);
  if (!names.includes(name)) say(`there is no handler ${plain(name)} yet; waiting for it. ${meant(name, names)}`);
}

function pathOf(
  handler: string | undefined,
  { status, level, device }: TailOptions,
  sinceMs: number | undefined,
  after: string | undefined,
): string {
  const query = new URLSearchParams();
  const asked = { handler, status, level, device, sinceMs: sinceMs?.toString(), after };
  for (const [key, value] of Object.entries(asked)) if (value !== undefined) query.set(key, value);
  return `/api/v1/stream?${query.toString()}`;
}

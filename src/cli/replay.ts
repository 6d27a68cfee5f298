/** `sluice replay`: past events of a handler run again on one of its versions; compared, or sent. */
import { Command, InvalidArgumentError } from "commander";
import type { ReplayAnswer } from "../control/replay-shapes.ts";
import { Fault } from "../fault.ts";
import { parseDuration } from "../quantity.ts";
import { sleep } from "../time.ts";
import { wholeNumber } from "./device.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import type { Running } from "./running.ts";
import { plain } from "../plain.ts";
import { paint, print, printJson, say, table, terminalWidth } from "./terminal.ts";

interface Options {
  readonly since?: number;
  readonly until?: number;
  readonly version?: number;
  readonly key?: string;
  readonly apply?: boolean;
  readonly rate?: number;
  readonly list?: boolean;
  readonly resume?: string;
  readonly cancel?: string;
  readonly config?: string;
  readonly json?: boolean;
}

const POLL_MS = 300;
const BAR_CHARS = 30;

export function replayCommand(done: (code: number) => void): Command {
  return new Command("replay")
    .description(
      "Runs past events of a handler again on one of its versions, with the time and the state that they had, and shows what comes out otherwise than was recorded. Nothing has effects, but with --apply: then what comes out is sent, marked as replayed.",
    )
    .argument("<name>", "the handler")
    .option("--since <when>", "events of the last 1h, or since a time such as 2026-01-31T08:00Z", whenOf)
    .option("--until <when>", "events up to then", whenOf)
    .option("--version <n>", "a version that `sluice versions` lists; default: the live one", wholeNumber(1, 1e9))
    .option("--key <key>", "only events of this key")
    .option("--apply", "send what comes of it, as new outputs; states stay as they are")
    .option("--rate <n>", "at most so many events a second", wholeNumber(1, 100_000))
    .option("--list", "the replays of the handler that are known")
    .option("--resume <id>", "go on with one that was cancelled or interrupted")
    .option("--cancel <id>", "end one where it is")
    .option("--config <file>", "the gateway's config")
    .option("--json", "print what the API answers")
    .addHelpText(
      "after",
      `
Exit status: 0 when all came out the same, or was sent; 1 when something did not; 130 after Ctrl-C, which ends it where
it is: --resume goes on from there.

Examples:
  sluice replay overheat --since 1h
  sluice replay overheat --since 1h --version 4 --json | jq .samples
  sluice replay overheat --since 2026-01-31T08:00Z --until 2026-01-31T09:00Z --apply
  sluice replay overheat --list`,
    )
    .action(async (name: string, options: Options) => {
      const chosen = [options.since, options.list, options.resume, options.cancel].filter((of) => of !== undefined);
      if (chosen.length !== 1) throw new Fault("CLI_USAGE", "say one of --since, --resume, --cancel and --list");
      const gateway = await findGateway(options.config, process.env);
      const path = `/api/v1/handlers/${encodeURIComponent(name)}/replays`;
      if (options.list === true) {
        const { replays } = await gateway.ask<{ replays: ReplayAnswer[] }>("GET", path);
        if (options.json === true) for (const replay of replays) printJson(replay);
        else if (replays.length === 0) say("no replays are known");
        else print(listed(replays));
        return done(EXIT.ok);
      }
      if (options.cancel !== undefined) {
        const ended = await gateway.ask<ReplayAnswer>("DELETE", `${path}/${encodeURIComponent(options.cancel)}`);
        if (options.json === true) printJson(ended);
        else say(`${ended.id} is ${ended.state}`);
        return done(EXIT.ok);
      }
      // From before it begins: Ctrl-C while the gateway is being asked must not leave a replay behind that nobody follows.
      const interrupted = new AbortController();
      const interrupt = (): void => interrupted.abort();
      process.once("SIGINT", interrupt);
      const begun = await begin(gateway, path, options);
      const goesOn = `sluice replay ${plain(name)} --resume ${begun.id}`;
      const replay = await follow(gateway, path, begun, interrupted.signal).catch((thrown: unknown) => {
        say(`it was not followed to its end; see --list, and go on with: ${goesOn}`);
        throw thrown;
      });
      process.off("SIGINT", interrupt);
      if (options.json === true) printJson(replay);
      else tell(replay);
      // By Ctrl-C, by somebody else, or by what went wrong.
      if (replay.state !== "done") say(`${replay.state}; go on with: ${goesOn}`);
      if (interrupted.signal.aborted && replay.state === "cancelled") return done(EXIT.interrupted);
      const isGood = replay.state === "done" && (replay.apply || replay.same === replay.events);
      return done(isGood ? EXIT.ok : EXIT.failed);
    });
}

async function begin(gateway: Running, path: string, options: Options): Promise<ReplayAnswer> {
  const { resume, since, until, version, key, apply, rate } = options;
  if (resume !== undefined) return await gateway.ask("POST", `${path}/${encodeURIComponent(resume)}/resume`);
  const iso = (ms: number | undefined): string | undefined =>
    ms === undefined ? undefined : new Date(ms).toISOString();
  const body = { since: iso(since), until: iso(until), version, key, apply: apply === true, perSecond: rate };
  return await gateway.ask("POST", path, body);
}

/** Until it has ended; once `interrupted` is aborted it is ended where it is. */
async function follow(
  gateway: Running,
  path: string,
  begun: ReplayAnswer,
  interrupted: AbortSignal,
): Promise<ReplayAnswer> {
  const one = `${path}/${begun.id}`;
  let replay = begun;
  try {
    while (replay.state === "running" && !interrupted.aborted) {
      drawBar(replay);
      await sleep(POLL_MS, interrupted).catch(() => undefined);
      replay = await gateway.ask<ReplayAnswer>("GET", one);
    }
    if (replay.state === "running") replay = await gateway.ask<ReplayAnswer>("DELETE", one);
    return replay;
  } finally {
    clearBar();
  }
}

function drawBar({ share, events, same }: ReplayAnswer): void {
  if (!process.stderr.isTTY) return;
  const full = Math.round(share * BAR_CHARS);
  const bar = `${"█".repeat(full)}${"░".repeat(BAR_CHARS - full)}`;
  const different = events === same ? "" : `, ${events - same} different`;
  process.stderr.write(
    `\r${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${events} events${different}\u001b[K`,
  );
}

function clearBar(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
}

function tell(replay: ReplayAnswer): void {
  const { handler, version, events, same, skipped, sent, apply, state, why, differences, samples } = replay;
  for (const { topic, key, event, kind, version: first, recorded, replayed } of samples) {
    print(`${paint("bold", plain(topic))}  key ${plain(key)}  event ${event}  ${kind}`);
    for (const line of recorded.split("\n")) print(paint("red", `- ${plain(line)}  (version ${first})`));
    for (const line of replayed.split("\n")) print(paint("green", `+ ${plain(line)}`));
  }
  const different = events - same;
  if (different > samples.length) say(`… and ${different - samples.length} more differences`);
  if (events === 0 && state === "done") say("nothing of that time is recorded");
  const kinds = Object.entries(differences).filter(([, count]) => count > 0);
  const parts = kinds.map(([kind, count]) => `${kind} ${count}`).join(", ");
  say(
    `${plain(handler)} ${version}: ${events} events, ${same} the same, ${different} different${parts === "" ? "" : ` (${parts})`}`,
  );
  if (skipped > 0) say(`${skipped} were not run: they, or the state before them, are not kept`);
  if (apply) say(`${sent} outputs sent`);
  if (why !== undefined) say(`${paint("red", "ended", process.stderr)}: ${plain(why)}`);
}

function listed(replays: readonly ReplayAnswer[]): string {
  const rows = replays.map(({ id, state, version, started, share, events, same, apply, sent }) => [
    ...[id, state, version, started, `${Math.floor(share * 100)} %`, events, events - same],
    apply ? sent : "-",
  ]);
  return table(["ID", "state", "version", "started", "at", "events", "different", "sent"], rows, terminalWidth());
}

/** Milliseconds since 1970: so long ago, or a time. */
function whenOf(text: string): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return Date.now() - ago;
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new InvalidArgumentError("write a duration such as 1h, or a time such as 2026-01-31T08:00Z");
  return time;
}

/** `sluice invoke`: one event through a handler, as a gateway would run it, without one. */
import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { Command } from "commander";
import { Fault, messageOf } from "../fault.ts";
import type { Came } from "../harness/sitting.ts";
import { plain } from "../plain.ts";
import { checkTopic } from "./device-topics.ts";
import { printCame, sayFailure } from "./came.ts";
import { EXIT } from "./exit.ts";
import { logText } from "./test-report.ts";
import { paint, printJson, say } from "./terminal.ts";
import { showBytes } from "../shown-bytes.ts";

interface InvokeOptions {
  readonly config?: string;
  readonly topic?: string;
  readonly message?: string;
  readonly file?: string;
  readonly stdin?: boolean;
  readonly device?: string;
  readonly state?: string;
  readonly params?: string;
  readonly attempt?: string;
  readonly json?: boolean;
}

export function invokeCommand(done: (code: number) => void): Command {
  return new Command("invoke")
    .description(
      "Runs one event through a handler, in the isolate and the limits of a gateway, without one. Prints what it sends on stdout, what it logs and how long it took on stderr. What it fetches is fetched; what it sends goes nowhere.",
    )
    .argument("<handler>", "its name in the handlers' folder, or its file")
    .option(
      "-t, --topic <topic>",
      "the topic; default: one that its first filter wants; without one, its webhook is called, or its schedule ticks, or what it waits for happens",
    )
    .option("-m, --message <text>", "the payload")
    .option("-f, --file <file>", "the payload is what the file holds")
    .option("-s, --stdin", "the payload is all of stdin")
    .option("-d, --device <id>", "the MQTT client id of the device", "invoke")
    .option("--state <json>", "the key's state before")
    .option("--params <json>", "over the handler's params, by name")
    .option("--attempt <n>", "which try it is, from 1")
    .option(
      "--config <file>",
      "the gateway's config; default: SLUICE_CONFIG, config/sluice.yaml or sluice.yaml, if any",
    )
    .option("--json", "print {at, outputs, published, state, logs, failure, tookMs, cpuMs, heapBytes}")
    .addHelpText(
      "after",
      `
Secrets come from where the config says, else they are test-<name>.
Exit status: 0 it was handled, 1 it failed or is not wanted, 6 there is no such handler.

Examples:
  sluice invoke overheat -t plant/a/press-7/temperature -m '{"c": 91}'
  sluice invoke overheat -m '{"c": 91}' --state '{"count": 4}' --json
  sluice invoke order -m '{"id": 7}'             the webhook of a handler that has one and no topic
  sluice invoke handlers/resize.ts -t images/new -f picture.png`,
    )
    .action(async (handler: string, options: InvokeOptions) => {
      done(await invoke(handler, options));
    });
}

async function invoke(handler: string, options: InvokeOptions): Promise<number> {
  if (options.topic !== undefined) checkTopic(options.topic);
  const payload = await payloadOf(options);
  const state = jsonOption("--state", options.state);
  const params = jsonOption("--params", options.params);
  const attempt = options.attempt === undefined ? 1 : Number(options.attempt);
  if (!Number.isInteger(attempt) || attempt < 1) throw new Fault("CLI_USAGE", "--attempt is a whole number from 1");
  const { invokeOnce } = await import("../harness/invoke.ts");
  const { topic, device = "invoke", config } = options;
  const { came, stateAfter, file, wants } = await invokeOnce(
    { config, env: process.env },
    handler,
    { topic, payload, device, attempt },
    { state, params: params as Record<string, unknown> | undefined },
  );
  if (options.json === true) printJson({ ...came, state: stateAfter });
  else report(came, stateAfter, file, wants);
  return came.at === "done" ? EXIT.ok : EXIT.failed;
}

function report(came: Came, state: unknown, file: string, wants: readonly string[]): void {
  for (const line of came.logs) say(logText(line));
  printCame(came);
  sayFailure(came);
  if (came.at === "unmatched") say(`  it is run by: ${wants.map(plain).join("; ")}`);
  const { tookMs, cpuMs, heapBytes, key, at } = came;
  if (at === "unmatched") return;
  const heap = heapBytes === 0 ? "" : `, ${showBytes(heapBytes)} of heap`;
  const kept = state === undefined ? "" : `, state of ${key}: ${JSON.stringify(state)}`;
  say(
    paint(
      "dim",
      `${file}: ${at} in ${tookMs.toFixed(1)} ms, ${cpuMs.toFixed(1)} ms of processor${heap}${kept}`,
      process.stderr,
    ),
  );
}

async function payloadOf({ message, file, stdin }: InvokeOptions): Promise<Buffer> {
  const given = [message, file, stdin].filter((source) => source !== undefined);
  if (given.length > 1) throw new Fault("CLI_USAGE", "pass at most one of -m, -f and -s: the payload");
  if (message !== undefined) return Buffer.from(message);
  if (stdin === true) return buffer(process.stdin);
  if (file === undefined) return Buffer.alloc(0);
  try {
    return await readFile(file);
  } catch (thrown) {
    throw new Fault("CLI_USAGE", `the file cannot be read: ${messageOf(thrown)}`, { where: file });
  }
}

/** An object. */
function jsonOption(name: string, text: string | undefined): unknown {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new Fault("CLI_USAGE", `${name} is no JSON: ${messageOf(thrown)}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new Fault("CLI_USAGE", `${name} is no object`);
}

/** `sluice pub`: publish, as a device would. */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import type { MqttClient } from "mqtt";
import { Fault, messageOf } from "../fault.ts";
import { connectDevice, wholeNumber, withDeviceOptions } from "./device.ts";
import type { DeviceOptions } from "./device.ts";
import { checkTopic } from "./device-topics.ts";
import { EXIT } from "./exit.ts";
import { printJson } from "./terminal.ts";

interface PubOptions extends DeviceOptions {
  readonly topic: string;
  readonly message?: string;
  readonly file?: string;
  readonly stdin?: boolean;
  readonly lines?: boolean;
  readonly null?: boolean;
  readonly retain?: boolean;
  readonly wait: number;
  readonly json?: boolean;
}

/** From here on a message's size is worth a word when the broker hangs up. */
const LARGE_BYTES = 1024;
/** Lines of -l on their way at the same time. */
const INFLIGHT_MAX = 100;

export function pubCommand(done: (code: number) => void): Command {
  return withDeviceOptions(new Command("pub"))
    .description(
      "Publishes as a device would. At QoS 1 and 2 it ends when the gateway has acknowledged: then the message is on its disk.",
    )
    .requiredOption("-t, --topic <topic>", "where to")
    .option("-m, --message <text>", "the payload")
    .option("-f, --file <file>", "the payload is what the file holds")
    .option("-s, --stdin", "the payload is all of stdin")
    .option("-l, --lines", "each line of stdin is a message")
    .option("-n, --null", "an empty payload; with -r it removes the retained message")
    .option("-r, --retain", "retain it")
    .option("-W, --wait <seconds>", "give up when it is not acknowledged by then; not for -l", wholeNumber(1, 1e6), 30)
    .option("--json", "print {topic, count, bytes} when done")
    .addHelpText(
      "after",
      `
Examples:
  sluice pub -t plant/a/press-1/temperature -m '{"c": 91}'
  sluice pub -t config/press-1 -r -f settings.json
  tail -f sensor.log | sluice pub -t sensors/log -l`,
    )
    .action(async (options: PubOptions) => {
      checkTopic(options.topic);
      checkOneSource(options);
      const payload = await payloadOf(options);
      const client = await connectDevice(options);
      try {
        const sending = payload === undefined ? publishLines(client, options) : publish(client, options, payload);
        const sent = await Promise.race([
          sending,
          lossOf(client, payload),
          ...(payload === undefined ? [] : [patience(options.wait)]),
        ]);
        await client.endAsync();
        if (options.json === true) printJson({ topic: options.topic, ...sent });
      } catch (thrown) {
        // Without waiting for what is still on its way.
        await client.endAsync(true);
        if (thrown instanceof Fault) throw thrown;
        throw new Fault("CLI_BROKER", `the message was not acknowledged: ${messageOf(thrown)}${sizeHint(payload)}`, {
          where: options.topic,
          cause: thrown,
        });
      }
      done(EXIT.ok);
    });
}

function checkOneSource({ message, file, stdin, lines, null: empty }: PubOptions): void {
  const given = [message, file, stdin, lines, empty].filter((source) => source !== undefined);
  if (given.length !== 1) throw new Fault("CLI_USAGE", "pass exactly one of -m, -f, -s, -l and -n: what to publish");
}

/** Undefined for -l, whose lines come one by one. */
async function payloadOf(options: PubOptions): Promise<Buffer | undefined> {
  if (options.lines === true) return undefined;
  if (options.message !== undefined) return Buffer.from(options.message);
  if (options.stdin === true) return buffer(process.stdin);
  if (options.file === undefined) return Buffer.alloc(0);
  try {
    return await readFile(options.file);
  } catch (thrown) {
    throw new Fault("CLI_USAGE", `the file cannot be read: ${messageOf(thrown)}`, { where: options.file });
  }
}

interface Sent {
  readonly count: number;
  readonly bytes: number;
}

/** Rejects when the connection ends; whatever was not acknowledged by then will not be. */
function lossOf(client: MqttClient, payload: Buffer | undefined): Promise<never> {
  const lost = new Promise<never>((_, reject) => {
    client.once("close", () =>
      reject(new Fault("CLI_BROKER", `the broker closed the connection before it acknowledged${sizeHint(payload)}`)),
    );
  });
  lost.catch(() => undefined);
  return lost;
}

/** MQTT 3.1.1 has no word for "too large": the connection is closed, and that is all. */
function sizeHint(payload: Buffer | undefined): string {
  if (payload === undefined || payload.length < LARGE_BYTES) return "";
  return `; the message has ${payload.length} bytes, and broker.limits.packetMax may be smaller`;
}

/** A gateway that has no room does not refuse: it acknowledges later. */
async function patience(seconds: number): Promise<never> {
  await sleep(seconds * 1000, undefined, { ref: false });
  throw new Fault("CLI_TIMEOUT", `it was not acknowledged within ${seconds} s; the gateway may have no room`);
}

async function publish(client: MqttClient, options: PubOptions, payload: Buffer): Promise<Sent> {
  await client.publishAsync(options.topic, payload, { qos: options.qos, retain: options.retain === true });
  return { count: 1, bytes: payload.length };
}

async function publishLines(client: MqttClient, options: PubOptions): Promise<Sent> {
  let count = 0;
  let bytes = 0;
  const pending = new Set<Promise<Sent>>();
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    const payload = Buffer.from(line);
    const sending = publish(client, options, payload);
    pending.add(sending);
    sending.then(
      () => pending.delete(sending),
      () => undefined,
    );
    if (pending.size >= INFLIGHT_MAX) await Promise.race(pending);
    count++;
    bytes += payload.length;
  }
  await Promise.all(pending);
  return { count, bytes };
}

/** `sluice simulate`: a fleet of devices that publish, and how many of their messages were acknowledged. */
import { Command } from "commander";
import type { MqttClient } from "mqtt";
import { Fault } from "../fault.ts";
import { connectDevice, wholeNumber, withDeviceOptions } from "./device.ts";
import type { DeviceOptions } from "./device.ts";
import { EXIT } from "./exit.ts";
import { printJson, say, showDuration } from "./terminal.ts";

interface SimulateOptions extends DeviceOptions {
  readonly devices: number;
  readonly rate: number;
  readonly seconds?: number;
  readonly count?: number;
  readonly topic: string;
  readonly json?: boolean;
}

/** Messages of one device without acknowledgement; then its next turn is left out, as a real device would. */
const INFLIGHT_MAX = 100;
const TICK_MS = 20;
const LAST_ACKS_MS = 10_000;
const CONNECTS_AT_ONCE = 20;
const LATENCIES_MAX = 100_000;

export function simulateCommand(done: (code: number) => void): Command {
  return withDeviceOptions(new Command("simulate"))
    .description("Connects simulated devices that publish temperatures, and counts what the gateway acknowledged.")
    .option("-n, --devices <n>", "how many devices", wholeNumber(1, 10_000), 10)
    .option("-r, --rate <n>", "messages a second, all devices together", wholeNumber(1, 1_000_000), 100)
    .option("-d, --seconds <n>", "for how long; default: until interrupted", wholeNumber(1, 1_000_000))
    .option("-c, --count <n>", "end after so many messages", wholeNumber(1, 1e9))
    .option(
      "-t, --topic <template>",
      "where to; {line} and {machine} are filled in",
      "plant/{line}/{machine}/temperature",
    )
    .option("--json", "print {devices, sent, acked, unacked, held, seconds, ackMs} when done")
    .addHelpText(
      "after",
      `
Payloads are {"device", "n", "c"}: n counts the device's messages from 1, c is a temperature between 20 and 100.
Exit status: 0 when all messages were acknowledged, 7 when some were not, 130 when you ended it.

Examples:
  sluice simulate
  sluice simulate -n 500 -r 5000 -d 30 -q 1
  sluice simulate -c 1000 --json`,
    )
    .action(async (options: SimulateOptions) => {
      done(await simulate(options));
    });
}

interface Device {
  readonly client: MqttClient;
  readonly topic: string;
  readonly name: string;
  n: number;
  inflight: number;
  c: number;
}

interface Tally {
  sent: number;
  acked: number;
  failed: number;
  /** Turns left out because a device had too many messages on their way. */
  held: number;
  readonly latenciesMs: number[];
}

async function simulate(options: SimulateOptions): Promise<number> {
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());
  const devices = await connectAll(options);
  const tally: Tally = { sent: 0, acked: 0, failed: 0, held: 0, latenciesMs: [] };
  const startedMs = performance.now();
  const progress = showProgress(tally, devices.length, startedMs);
  let ended: "done" | "interrupted" | "lost";
  try {
    ended = await publishAll(devices, options, tally, startedMs, interrupt.signal);
    // What is on its way is neither lost nor acknowledged yet.
    const deadlineMs = performance.now() + (ended === "lost" ? 0 : LAST_ACKS_MS);
    while (tally.acked + tally.failed < tally.sent && performance.now() < deadlineMs) await turn();
  } finally {
    clearInterval(progress);
    if (progress !== undefined) process.stderr.write("\r\u001b[K");
    await Promise.all(devices.map(({ client }) => client.endAsync(tally.acked < tally.sent)));
  }
  report(tally, options, performance.now() - startedMs);
  if (ended === "lost") throw new Fault("CLI_BROKER", "the broker closed the connection of a device");
  if (tally.acked < tally.sent) return EXIT.partly;
  return ended === "interrupted" ? EXIT.interrupted : EXIT.ok;
}

async function connectAll(options: SimulateOptions): Promise<Device[]> {
  const devices: Device[] = [];
  const prefix = options.id ?? `sim-${process.pid}`;
  while (devices.length < options.devices) {
    const first = devices.length;
    const count = Math.min(CONNECTS_AT_ONCE, options.devices - first);
    const opened = await Promise.all(
      Array.from({ length: count }, async (_, i): Promise<Device> => {
        const name = `${prefix}-${first + i + 1}`;
        const client = await connectDevice({ ...options, id: name });
        // A connection that ends is noticed by what it did not acknowledge.
        client.on("error", () => undefined);
        const line = String.fromCodePoint(97 + ((first + i) % 4));
        const topic = options.topic.replaceAll("{line}", line).replaceAll("{machine}", `machine-${first + i + 1}`);
        // From hot to cool, so that a handler that waits for what is hot has something to do.
        const c = 90 - (70 * (first + i)) / options.devices;
        return { client, topic, name, n: 0, inflight: 0, c };
      }),
    );
    devices.push(...opened);
  }
  return devices;
}

/** Publishes in small bursts, as many as are due by the clock, one device after the other. */
async function publishAll(
  devices: readonly Device[],
  { rate, seconds, count, qos }: SimulateOptions,
  tally: Tally,
  startedMs: number,
  interrupted: AbortSignal,
): Promise<"done" | "interrupted" | "lost"> {
  const countMax = count ?? Number.POSITIVE_INFINITY;
  const endMs = seconds === undefined ? Number.POSITIVE_INFINITY : startedMs + seconds * 1000;
  let turns = 0;
  for (let isOver = false; !interrupted.aborted && tally.sent < countMax && !isOver;) {
    // The last turn is for what became due since the one before.
    isOver = performance.now() >= endMs;
    const dueMs = Math.min(performance.now(), endMs) - startedMs;
    const due = Math.floor((dueMs / 1000) * rate + 1e-6); // The last moment is not always a whole one.
    for (; turns < due && tally.sent < countMax; turns++) {
      const device = devices[turns % devices.length] as Device;
      if (!device.client.connected) return "lost";
      if (device.inflight >= INFLIGHT_MAX) tally.held++;
      else publish(device, qos, tally);
    }
    if (!isOver) await turn();
  }
  return interrupted.aborted ? "interrupted" : "done";
}

function publish(device: Device, qos: 0 | 1 | 2, tally: Tally): void {
  device.c = Math.min(100, Math.max(20, device.c + (Math.random() - 0.5) * 4));
  const payload = JSON.stringify({ device: device.name, n: ++device.n, c: Math.round(device.c * 10) / 10 });
  const sentMs = performance.now();
  tally.sent++;
  device.inflight++;
  device.client.publish(device.topic, payload, { qos }, (error) => {
    device.inflight--;
    if (error) {
      tally.failed++;
      return;
    }
    tally.acked++;
    if (tally.latenciesMs.length < LATENCIES_MAX) tally.latenciesMs.push(performance.now() - sentMs);
  });
}

function report(tally: Tally, options: SimulateOptions, tookMs: number): void {
  const { sent, acked, held } = tally;
  const sorted = tally.latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round((sorted[Math.floor(sorted.length * share)] ?? 0) * 100) / 100;
  const ackMs = { p50: at(0.5), p99: at(0.99) };
  const seconds = Math.round(tookMs / 10) / 100;
  if (options.json === true) {
    printJson({ devices: options.devices, sent, acked, unacked: sent - acked, held, seconds, ackMs });
    return;
  }
  const rate = Math.round(acked / (tookMs / 1000));
  say(`${sent} sent, ${acked} acknowledged (${rate}/s), ${sent - acked} not, in ${showDuration(tookMs)}`);
  say(
    `acknowledged after ${ackMs.p50} ms (median), ${ackMs.p99} ms (99th percentile)${held > 0 ? `; ${held} turns left out` : ""}`,
  );
}

function showProgress(tally: Tally, devices: number, startedMs: number): NodeJS.Timeout | undefined {
  if (!process.stderr.isTTY) return undefined;
  return setInterval(() => {
    const rate = Math.round(tally.acked / ((performance.now() - startedMs) / 1000));
    process.stderr.write(`\r\u001b[K${devices} devices  ${tally.sent} sent  ${tally.acked} acknowledged  ${rate}/s`);
  }, 200).unref();
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, TICK_MS);
  });
}

/**
 * By itself: `node bench/broker.ts`. How fast the broker room acknowledges QoS 1 when nothing is stored, beside bare
 * aedes under the same load generator, in turns. What is printed is the ratio; the processor time of a message is the
 * figure to work on.
 */
import { join } from "node:path";
import { Load } from "./load.ts";
import { median, round, spread, thousands } from "./numbers.ts";
import { cpuMs, freePort, pause, start, temporaryFolder } from "./processes.ts";
import { RATE_LOAD } from "./rates.ts";

const ROUNDS = 3;
const WARM_UP_MS = 1500;
const MEASURED_MS = 2500;

interface Reading {
  readonly perSecond: number;
  readonly cpuUs: number;
}

async function measure(program: string, args: (port: number) => string[]): Promise<Reading> {
  const port = await freePort();
  const broker = start(join(import.meta.dirname, program), args(port));
  await new Promise((resolve) => broker.child.once("message", resolve));
  const load = await Load.open({ port, ...RATE_LOAD });
  try {
    load.limit(1e9);
    await pause(WARM_UP_MS);
    const from = { acked: (await load.counts()).acked, atMs: performance.now(), cpu: cpuMs(broker.pid) };
    await pause(MEASURED_MS);
    const to = { acked: (await load.counts()).acked, atMs: performance.now(), cpu: cpuMs(broker.pid) };
    const count = to.acked - from.acked;
    return { perSecond: (count * 1000) / (to.atMs - from.atMs), cpuUs: ((to.cpu - from.cpu) * 1000) / count };
  } finally {
    await load.close();
    await broker.stop();
  }
}

await using folder = await temporaryFolder();
const ours: Reading[] = [];
const aedes: Reading[] = [];
for (let i = 0; i < ROUNDS; i++) {
  aedes.push(await measure("aedes-process.ts", (port) => [String(port)]));
  ours.push(await measure("broker-process.ts", (port) => [String(port), folder.path]));
}
for (const [name, readings] of [
  ["aedes", aedes],
  ["broker", ours],
] as const) {
  const rates = readings.map((one) => one.perSecond);
  const cpu = readings.map((one) => one.cpuUs);
  console.log(
    `${name.padEnd(8)} ${thousands(median(rates))}/s ±${Math.round(spread(rates) * 100)} %, ${round(median(cpu), 2)} µs of processor a message`,
  );
}
const ratio = (of: (one: Reading) => number): number => median(ours.map(of)) / median(aedes.map(of));
console.log(
  `ratio    rate ${round(
    ratio((one) => one.perSecond),
    2,
  )}, processor time ${round(
    ratio((one) => one.cpuUs),
    2,
  )}`,
);

/**
 * Experiment: how many events a second, from device to upstream. Three contestants under the same load generator, in
 * turns, so that what else the box does hits all of them:
 *
 *     aedes      load → aedes, which acknowledges
 *     sluice     load → gateway (fsync, handler, outbox) → mosquitto, which counts
 *     node-red   load → mosquitto → Node-RED → mosquitto, which counts
 *
 * The two that deliver are measured at the far end: mosquitto's own count of what it received, from one report of it to
 * a later one. The load stops while tens of thousands of messages are on their way, so that nobody wins by accepting.
 */
import { join } from "node:path";
import type { Readings } from "./figures.ts";
import { Load, plantTopics } from "./load.ts";
import { Mosquitto } from "./mosquitto.ts";
import { openNodeRed } from "./node-red.ts";
import { subscribe } from "./mqtt.ts";
import { median, round, spread, thousands } from "./numbers.ts";
import { freePort, pause, start, temporaryFolder } from "./processes.ts";
import { ENRICH } from "./sluice.ts";
import { underLoad } from "./under-load.ts";

export const RATE_LOAD = { devices: 100, window: 20, topics: plantTopics(200) } as const;
const ROUNDS = 3;
const WARM_UP_MS = 2_000;
const MEASURED_MS = 3_500;
const NO_LIMIT = 1e9;
/** Messages on their way through Node-RED. It is kept busy, and the mosquitto before it is not kept from delivering. */
const NODE_RED_BACKLOG_MAX = 10_000;
/** One thread does all of mosquitto's work; with two cores for five processes it does not get more of one than this. */
const UPSTREAM_FULL = 0.75;
const MARKER = "plant/line-0/marker/temperature";

type Contestant = "aedes" | "sluice" | "node-red";

export async function rates(figures: ReadonlySet<string>): Promise<Readings> {
  const rounds: Record<Contestant, number[]> = { aedes: [], sluice: [], "node-red": [] };
  const lags: number[] = [];
  const costs: number[] = [];
  const upstream: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    if (figures.has("rate-vs-aedes")) rounds.aedes.push(await aedesRate());
    const sluice = await underLoad({ handlers: { enrich: ENRICH }, load: RATE_LOAD });
    rounds.sluice.push(sluice.perSecond);
    lags.push(sluice.lag);
    costs.push(sluice.cpuUs);
    upstream.push(sluice.upstreamShare);
    if (figures.has("rate-vs-node-red")) rounds["node-red"].push(await nodeRedRate());
  }
  const ours = median(rounds.sluice);
  const readings: Record<string, { value: number; detail: string }> = {};
  for (const rival of ["aedes", "node-red"] as const) {
    if (rounds[rival].length === 0) continue;
    const theirs = median(rounds[rival]);
    readings[`rate-vs-${rival}`] = {
      value: round3(ours / theirs),
      detail:
        `sluice ${thousands(ours)}/s ±${percent(rounds.sluice)}, ${rival} ${thousands(theirs)}/s ±${percent(rounds[rival])}; ` +
        (median(upstream) > UPSTREAM_FULL ? "THE UPSTREAM IS AT ITS LIMIT, and this is its rate; " : "") +
        `sluice used ${round(median(costs), 1)} µs of processor an event and the mosquitto upstream ${Math.round(median(upstream) * 100)} % of a core; accepted less delivered changed by ${thousands(median(lags))}`,
    };
  }
  return readings;
}

export async function aedesRate(): Promise<number> {
  const port = await freePort();
  const aedes = start(join(import.meta.dirname, "aedes-process.ts"), [String(port)]);
  await new Promise((resolve) => aedes.child.once("message", resolve));
  const load = await Load.open({ port, ...RATE_LOAD });
  try {
    load.limit(NO_LIMIT);
    await pause(WARM_UP_MS);
    const from = { count: (await load.counts()).acked, atMs: performance.now() };
    await pause(MEASURED_MS);
    const to = { count: (await load.counts()).acked, atMs: performance.now() };
    return rateOf(from, to);
  } finally {
    await load.close();
    await aedes.stop();
  }
}

export async function nodeRedRate(): Promise<number> {
  await using folder = await temporaryFolder();
  const front = await Mosquitto.open(folder.path);
  const upstream = await Mosquitto.open(folder.path);
  const nodeRed = await openNodeRed(folder.path, front.port, upstream.port);
  const load = await Load.open({ port: front.port, ...RATE_LOAD, marker: MARKER });
  let arrived = 0;
  const stop = await subscribe(upstream.port, MARKER, () => {
    arrived += RATE_LOAD.window;
    load.limit(arrived + NODE_RED_BACKLOG_MAX);
  });
  load.limit(NODE_RED_BACKLOG_MAX);
  try {
    await pause(WARM_UP_MS);
    const from = await upstream.nextCount();
    await pause(MEASURED_MS - 1_000);
    return rateOf(from, await upstream.nextCount());
  } finally {
    stop();
    await load.close();
    await nodeRed.stop();
    await front.close();
    await upstream.close();
  }
}

interface Count {
  readonly count: number;
  readonly atMs: number;
}

const rateOf = (from: Count, to: Count): number => ((to.count - from.count) * 1000) / (to.atMs - from.atMs);
const percent = (values: readonly number[]): string => `${Math.round(spread(values) * 100)} %`;
const round3 = (value: number): number => round(value, 3);

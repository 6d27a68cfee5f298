/**
 * Shares under contention: one slow handler, one that always fails, one hot key, one hot device, each beside three
 * devices whose events go their way as if they were alone (G5).
 *
 * Compared is what they get in the same run, alone and beside each of the four: of all they send, how much arrives
 * within the time, and how long it takes. Ratios, for times are the box's.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Fleet } from "../stories/rig/fleet.ts";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { sleep, until } from "../stories/rig/wait.ts";
import { Neighbours } from "./rig/neighbours.ts";
import { SteadyLoad } from "./rig/steady-load.ts";
import { printTable, quantile } from "./rig/table.ts";
import type { Cell } from "./rig/table.ts";

const OTHERS = 3;
const RATE_EACH = 40;
const ALONE_MS = 1200;
const BESIDE_MS = 2000;
/** Of what they send, as much as this arrives in time. */
const SHARE_MIN = 0.9;

interface Villain {
  readonly name: string;
  readonly devices: number;
  readonly ratePerSecond: number;
  readonly inflightMax: number;
  readonly topic: (id: string) => string;
  /** How many times as long as alone the others' events may take, at the median and at the 95th percentile. */
  readonly slowerMax: { readonly p50: number; readonly p95: number };
  /** For how many of its turns, or of its events, each of the others may have to wait besides. */
  readonly waitsForMax?: { readonly what: "turn" | "event"; readonly p50: number; readonly p95: number };
}

/**
 * The hot ones send as fast as they are let, and take all that the box has: an event of the others waits for what is
 * being stored and run when it comes. How long that is, is how long the hot ones wait from a message to its
 * acknowledgement, for that many they have under way: a turn.
 */
const VILLAINS: readonly Villain[] = [
  {
    name: "a hot device",
    devices: 1,
    ratePerSecond: 100_000,
    inflightMax: 500,
    topic: () => "fair/villain/of-a-device",
    slowerMax: { p50: 1, p95: 1 },
    waitsForMax: { what: "turn", p50: 3, p95: 6 },
  },
  {
    name: "a hot key",
    devices: 8,
    ratePerSecond: 100_000,
    inflightMax: 60,
    topic: () => "fair/villain/hot",
    slowerMax: { p50: 1, p95: 1 },
    waitsForMax: { what: "turn", p50: 3, p95: 6 },
  },
  {
    name: "a failing handler",
    devices: 40,
    ratePerSecond: 200,
    inflightMax: 100,
    topic: (id) => `failing/${id}`,
    slowerMax: { p50: 4, p95: 6 },
  },
  {
    name: "a failing key",
    devices: 1,
    ratePerSecond: 50,
    inflightMax: 100,
    topic: () => "fair/failing/one",
    slowerMax: { p50: 4, p95: 6 },
  },
  {
    name: "a slow handler",
    devices: 4,
    ratePerSecond: 30,
    inflightMax: 100,
    topic: (id) => `slow/${id}`,
    slowerMax: { p50: 4, p95: 6 },
  },
  {
    // Twice the time that there is. An event waits for what its isolate is at, and for the batch that it is part of.
    name: "a slow key of their own handler",
    devices: 1,
    ratePerSecond: 50,
    inflightMax: 100,
    topic: () => "fair/slow/one",
    slowerMax: { p50: 4, p95: 6 },
    waitsForMax: { what: "event", p50: 2.5, p95: 3.5 },
  },
];

interface Measured {
  readonly name: string;
  readonly share: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  readonly villainPerSecond: number;
  /** How long one turn or event of the villain took, where the others have to wait for it. */
  readonly villainMs: number;
  /** Share of the box that other programs had meanwhile. */
  readonly neighbours: number;
}

/** Some 80 ms, longer than a slice, by the clock of the box: that of an event stands still meanwhile. */
const COMPUTE = "{ let x = 1; for (let i = 0; i < 25_000_000; i++) x = Math.imul(x, 48_271) ^ i; }";
const SHARED = `
export const config = { topic: "fair/{kind}/{id}", key: "{id}", retry: { triesMax: 2, backoff: "5ms", backoffMax: "5ms" } };
export default (event, ctx) => {
  const { kind } = event.params;
  if (kind === "slow") ${COMPUTE}
  if (kind === "failing") throw new Error("I always do");
  ctx.state.count = (ctx.state.count ?? 0) + 1;
  ctx.emit({ ...event.data, count: ctx.state.count }, { to: kind === "other" ? "others" : "villains" });
};`;
const SLOW = `
export const config = { topic: "slow/{id}", key: "{id}", to: ["villains"] };
export default () => { ${COMPUTE} return 1; };`;
const FAILING = `
export const config = { topic: "failing/{id}", key: "{id}", retry: { triesMax: 3, backoff: "10ms", backoffMax: "50ms" } };
export default () => { throw new Error("I always do"); };`;

let gateway: GatewayProcess;
let others: readonly SteadyLoad[];
let neighbours: Neighbours;
/** As it was last. */
let alone: Measured;
const measured: Measured[] = [];

beforeAll(async () => {
  gateway = await GatewayProcess.start({
    config: {
      uplinks: {
        others: { kind: "file", path: "cloud/others.ndjson" },
        villains: { kind: "file", path: "cloud/villains.ndjson" },
      },
    },
    handlers: { "shared.js": SHARED, "slow.js": SLOW, "failing.js": FAILING },
  });
  const cloudFile = join(gateway.folder, "cloud", "others.ndjson");
  others = Array.from({ length: OTHERS }, (_, n) => {
    const id = `other-${n}`;
    const options = { port: gateway.mqttPort, cloudFile, ratePerSecond: RATE_EACH, id, topic: `fair/other/${id}` };
    return new SteadyLoad(options);
  });
  for (const load of others) await load.start();
  neighbours = new Neighbours(gateway);
  await ranInShared(); // The first scrape loads what makes metrics, and takes a quarter of a second.
  await warmUp();
  alone = await measureAlone();
  measured.push(alone);
});

afterAll(async () => {
  printMeasured();
  for (const load of others ?? []) load[Symbol.dispose]();
  await gateway?.[Symbol.asyncDispose]();
});

describe("three devices beside", () => {
  it.each(VILLAINS)("$name get what they get alone (G5)", shareWith);

  it("all of them lose nothing", async () => {
    for (const load of others) await load.settled();
    for (const load of others) expect(load.passages.length).toBe(load.device.acked.length);
  });
});

/** The first half second of a load is V8's, which compiles and makes room, in the gateway and here. */
async function warmUp(): Promise<void> {
  using fleet = hire(VILLAINS[0] as Villain);
  await fleet.online();
  await sleep(1500);
  fleet.pause();
  await villainsEnd();
}

function hire(villain: Villain): Fleet {
  const fleet = new Fleet({ port: gateway.mqttPort, qos: () => 1, ...villain, name: "villain" });
  fleet.start();
  return fleet;
}

async function villainsEnd(): Promise<void> {
  await until("the villain's end", async () => (await gateway.ledger()).events.pending < 5, { withinMs: 30_000 });
}

async function shareWith(villain: Villain): Promise<void> {
  const { name, slowerMax, waitsForMax } = villain;
  const before = alone;
  using fleet = hire(villain);
  await fleet.online();
  await sleep(300);
  neighbours.share();
  const fromMs = performance.now();
  const ackedBefore = fleet.acked;
  const ranBefore = await ranInShared();
  await sleep(BESIDE_MS);
  const villainPerSecond = ((fleet.acked - ackedBefore) * 1000) / (performance.now() - fromMs);
  fleet.pause();
  const ran = await ranInShared();
  const eventMs = (ran.ms - ranBefore.ms) / (ran.outputs - ranBefore.outputs);
  const turnMs = (1000 * villain.devices * villain.inflightMax) / villainPerSecond;
  const villainMs = waitsForMax ? { turn: turnMs, event: eventMs }[waitsForMax.what] : 0;
  const beside = await measure(`beside ${name}`, fromMs, { villainPerSecond, villainMs });
  await villainsEnd();
  alone = await measureAlone();
  measured.push(beside, alone);
  expect(beside.share).toBeGreaterThanOrEqual(SHARE_MIN);
  // The box may have had other things to do before, or after, or meanwhile.
  const slower = 1 / (1 - beside.neighbours);
  for (const at of ["p50", "p95"] as const) {
    const longest = slowerMax[at] * slower * Math.max(before[at], alone[at]) + (waitsForMax?.[at] ?? 0) * villainMs;
    expect(beside[at], at).toBeLessThanOrEqual(longest);
  }
}

/** How long the handler of both has run, and the outputs of those of its events that are no others'. */
async function ranInShared(): Promise<{ ms: number; outputs: number }> {
  const seconds = await gateway.metric('sluice_handler_event_seconds_sum{handler="shared"}');
  const villains = (await gateway.ledger()).uplinks.villains;
  return { ms: (seconds ?? 0) * 1000, outputs: villains?.emitted ?? 0 };
}

async function measureAlone(): Promise<Measured> {
  neighbours.share();
  const fromMs = performance.now();
  await sleep(ALONE_MS);
  return await measure("alone", fromMs);
}

/** Of what the others sent from `fromMs` until now, what has arrived by now. */
async function measure(
  name: string,
  fromMs: number,
  villain: Pick<Measured, "villainPerSecond" | "villainMs"> = { villainPerSecond: 0, villainMs: 0 },
): Promise<Measured> {
  const untilMs = performance.now();
  const due = ((untilMs - fromMs) * RATE_EACH * OTHERS) / 1000;
  const inTime = others.flatMap((load) => load.arrivals(fromMs, untilMs)).length;
  for (const load of others) await load.caughtUp();
  const latencies = others.flatMap((load) => load.latencies(fromMs, untilMs));
  return {
    name,
    share: inTime / due,
    p50: quantile(latencies, 0.5),
    p95: quantile(latencies, 0.95),
    max: quantile(latencies, 1),
    ...villain,
    neighbours: neighbours.share(),
  };
}

function printMeasured(): void {
  printTable(
    ["three devices", "arrived in time", "p50 ms", "p95 ms", "max ms", "its events/s", "ms each", "other programs"],
    measured.map((one): Cell[] => [
      one.name,
      `${(one.share * 100).toFixed(1)} %`,
      one.p50.toFixed(1),
      one.p95.toFixed(1),
      one.max.toFixed(1),
      Math.round(one.villainPerSecond),
      one.villainMs ? one.villainMs.toFixed(0) : "",
      `${Math.round(one.neighbours * 100)} %`,
    ]),
  );
}

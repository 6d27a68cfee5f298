/**
 * Twenty hostile handlers and twenty good ones under load for as long as is asked: `npm run soak -- --minutes 10`.
 *
 * Tells every ten seconds how things stand, and ends with a table. Exit code 1: an event of a good handler was lost, came
 * twice or out of order; the ledger does not balance; or the gateway's memory was higher in the last third than in the
 * middle one. `SLUICE_SEED` repeats the choice of hostile handlers and of who attacks when.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Fleet } from "../stories/rig/fleet.ts";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { countingHandler } from "../stories/rig/handlers.ts";
import { imbalances } from "../stories/rig/oracle.ts";
import { seededRandom } from "../stories/rig/random.ts";
import type { Random } from "../stories/rig/random.ts";
import { RawClient } from "../stories/rig/raw-client.ts";
import { sleep, until } from "../stories/rig/wait.ts";
import { BATTERY } from "./battery.ts";
import type { Hostile } from "./battery/hostile.ts";
import { Arrivals } from "./rig/arrivals.ts";
import { RunnerWatch } from "./rig/runner-watch.ts";
import { printTable, quantile } from "./rig/table.ts";
import type { Cell } from "./rig/table.ts";

const GOOD = 20;
const HOSTILE = 20;
/** Of the hostile ones, those that may cost their runner. */
const KILLERS = 3;
const RATE_PER_SECOND = 200;
const TELL_MS = 10_000;
const ATTACK_MS = 100;
/** A killer has its turn once in so many. */
const KILLER_ONCE_IN = 200;
/** The good ones are at work for so long before the hostile ones are saved: they are proven by then. */
const BEFORE_MS = 5000;
const PROVEN_MS = 2000;
const ARRIVED_MS = 120_000;
/** The last third may have this much more than the middle one: by so much memory goes up and down anyway. */
const GROWTH_MAX = 1.1;
const GROWTH_MB_MAX = 25;
const MEGABYTE = 1024 * 1024;

const { values } = parseArgs({ options: { minutes: { type: "string", default: "180" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes is a number above 0, and "${values.minutes}" is none`);
const random = seededRandom();
const { killers, others } = pick(random);
process.stdout.write(
  `SLUICE_SEED=${random.seed}, ${minutes} minutes beside ${[...killers, ...others].map(({ name }) => name).join(", ")}\n`,
);

await using gateway = await GatewayProcess.start({
  config: {
    handlers: {
      watch: true,
      defaults: { memory: "16MB", retry: { triesMax: 2, backoff: "50ms", backoffMax: "100ms" } },
    },
    sandbox: { provenAfter: `${PROVEN_MS}ms` },
    uplinks: {
      cloud: { kind: "file", path: "cloud/events.ndjson", maxSize: "64MB", keep: 1 },
      hostile: { kind: "file", path: "cloud/hostile.ndjson", maxSize: "16MB", keep: 1 },
    },
  },
  handlers: Object.fromEntries(
    Array.from({ length: GOOD }, (_, n) => [`good-${n}.ts`, countingHandler({ topic: `load/soak-${n}` })]),
  ),
});
const { pid } = gateway;
using arrivals = new Arrivals(join(gateway.folder, "cloud", "events.ndjson"));
const topic = (id: string): string => `load/${id}`;
using fleet = new Fleet({
  port: gateway.mqttPort,
  devices: GOOD,
  ratePerSecond: RATE_PER_SECOND,
  name: "soak",
  topic,
  inflightMax: 1000,
});
using watch = new RunnerWatch(gateway);
using attacker = await RawClient.open(gateway.mqttPort, "attacker");
fleet.start();
await fleet.online();
await sleep(BEFORE_MS);
for (const { name, source } of [...killers, ...others]) gateway.saveHandler(`${name}.js`, source);

const startedMs = performance.now();
const endMs = startedMs + minutes * 60_000;
const residentMb: number[] = [];
let attacks = 0;
let toldMs = startedMs;
let before = { acked: fleet.acked, arrived: 0, attacks: 0 };
for (let turn = 0; performance.now() < endMs; turn++) {
  await sleep(ATTACK_MS);
  attack(random.between(1, KILLER_ONCE_IN) === 1 ? random.pick(killers) : random.pick(others));
  arrivals.look();
  if (turn % 10 === 0) residentMb.push(gateway.residentBytes() / MEGABYTE);
  if (performance.now() - toldMs >= TELL_MS) await tell();
}
const wrongs = await verdict();
for (const wrong of wrongs) process.stdout.write(`WRONG: ${wrong}\n`);
process.stdout.write(wrongs.length === 0 ? "sound\n" : "not sound\n");
process.exitCode = wrongs.length === 0 ? 0 : 1;

function pick(from: Random): { readonly killers: readonly Hostile[]; readonly others: readonly Hostile[] } {
  const usable = BATTERY.filter(({ becomes }) => becomes.at !== "refused");
  const draw = (entries: Hostile[], count: number): Hostile[] =>
    Array.from({ length: count }, () => entries.splice(from.between(0, entries.length - 1), 1)).flat();
  return {
    killers: draw(
      usable.filter(({ costs }) => costs === "runner"),
      KILLERS,
    ),
    others: draw(
      usable.filter(({ costs }) => costs !== "runner"),
      HOSTILE - KILLERS,
    ),
  };
}

/** Keys are few, so that failed ones meet events behind them. */
function attack({ name }: Hostile): void {
  attacks++;
  attacker.received.length = 0;
  const messageId = (attacks % 60_000) + 1;
  const payload = `{"n":${attacks}}`;
  attacker.send({
    cmd: "publish",
    topic: `hostile/${name}/${random.between(1, 2)}`,
    qos: 1,
    messageId,
    dup: false,
    retain: false,
    payload,
  });
}

async function tell(): Promise<void> {
  const { events } = await gateway.ledger();
  const nowMs = performance.now();
  const now = { acked: fleet.acked, arrived: arrivals.total, attacks };
  const rate = (name: keyof typeof now): string => ((now[name] - before[name]) / ((nowMs - toldMs) / 1000)).toFixed(0);
  const figures = {
    s: Math.round((nowMs - startedMs) / 1000),
    "good/s": rate("acked"),
    "arrived/s": rate("arrived"),
    behind: now.acked - now.arrived,
    "attacks/s": rate("attacks"),
    dead: events.dead,
    pending: events.pending,
    "gateway MB": Math.round(residentMb.at(-1) ?? 0),
    "runner MB at most": Math.round(watch.peakBytes / MEGABYTE),
    "runners lost": watch.deaths.length,
    wrongs: arrivals.wrongs.length,
  };
  process.stdout.write(
    `${Object.entries(figures)
      .map(([name, value]) => `${name} ${value}`)
      .join("  ")}\n`,
  );
  watch.reset();
  toldMs = nowMs;
  before = now;
}

/** What is wrong in the end, a sentence each. */
async function verdict(): Promise<readonly string[]> {
  await fleet.settled(ARRIVED_MS);
  const wrongs: string[] = [];
  const missing = (): number =>
    fleet.devices.reduce((sum, { options, acked }) => sum + Math.max(0, acked.length - arrivals.lastOf(options.id)), 0);
  await until("the last good events", () => (arrivals.look(), missing() === 0), {
    withinMs: ARRIVED_MS,
    everyMs: 50,
  }).catch(() => wrongs.push(`${missing()} acknowledged messages of good handlers did not arrive`));
  const ledger = await gateway.ledger();
  const thirds = [0, 1, 2].map((nth) => {
    const part = residentMb.slice((nth * residentMb.length) / 3, ((nth + 1) * residentMb.length) / 3);
    return { median: quantile(part, 0.5), max: quantile(part, 1) };
  });
  const [, middle, last] = thirds as [unknown, { median: number }, { median: number }];
  if (last.median > middle.median * GROWTH_MAX && last.median > middle.median + GROWTH_MB_MAX) {
    wrongs.push(`the gateway's memory grew from ${middle.median.toFixed(0)} MB to ${last.median.toFixed(0)} MB`);
  }
  for (const imbalance of imbalances(ledger)) wrongs.push(`the ledger does not balance: ${imbalance}`);
  if (gateway.pid !== pid) wrongs.push("the gateway is another process than at the start");
  for (const complaint of fleet.complaints) wrongs.push(complaint);
  const { accepted, done, dead, pending } = ledger.events;
  printTable(
    ["figure", "value"],
    [
      ["good messages acknowledged", fleet.acked],
      ["arrived", arrivals.total],
      ["attacks", attacks],
      ["events accepted", accepted],
      ["done", done],
      ["dead letters", dead],
      ["pending: in quarantine, or under way", pending],
      ["runners lost", watch.deaths.length],
      ...thirds.map(({ median, max }, nth): Cell[] => [
        `gateway's memory in the ${["first", "middle", "last"][nth]} third, MB`,
        `${median.toFixed(0)} (at most ${max.toFixed(0)})`,
      ]),
    ],
  );
  return [...arrivals.wrongs, ...wrongs];
}

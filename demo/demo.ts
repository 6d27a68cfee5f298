/**
 * `npm run demo`: the whole story in under a minute, and its proof.
 *
 * Simulated devices publish to a real gateway, in a process of its own, on a real data folder. The uplink is cut, the
 * gateway is killed with kill -9 several times, it comes back, the uplink comes back. Then the books: what the
 * devices sent and were promised, beside what the gateway's ledger says, beside what the cloud received.
 *
 * Exit status 1 when anything is lost or doubled, or when the ledger does not balance. `--json` prints the figures alone.
 * Devices, cloud and judge are the ones of test/stories; they know the gateway only from outside.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { HttpCloud } from "../test/doubles/http-cloud.ts";
import { parseLines } from "../test/stories/rig/cloud-lines.ts";
import { Fleet } from "../test/stories/rig/fleet.ts";
import { GatewayProcess } from "../test/stories/rig/gateway-process.ts";
import type { Ledger } from "../test/stories/rig/gateway-process.ts";
import { imbalances, judge } from "../test/stories/rig/oracle.ts";
import type { Finding } from "../test/stories/rig/oracle.ts";
import { freePort } from "../test/stories/rig/ports.ts";
import { sleep } from "../test/stories/rig/wait.ts";
import { Screen } from "./screen.ts";

const DEVICES = 12;
const RATE_PER_SECOND = 1_000;
const KILLS_WITHOUT_UPLINK = 3;
const KILLS_WITH_UPLINK = 2;
const CHAPTER_MS = 2_500;
const LOOK_MS = 100;

const { values: flags } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const screen = new Screen(flags.json ? process.stderr : process.stdout);

process.exitCode = (await tell()) ? 0 : 1;

/** Plays the story and prints its end. True when everything held. */
async function tell(): Promise<boolean> {
  const startedMs = performance.now();
  const cloudPort = await freePort();
  const before = await HttpCloud.open({ port: cloudPort });
  /** What the cloud has: it keeps it over the outage. */
  const received = before.lines;
  await using gateway = await GatewayProcess.prepare({ config: config(before.url) });
  using fleet = new Fleet({ port: gateway.mqttPort, devices: DEVICES, ratePerSecond: RATE_PER_SECOND });
  const look = (): void =>
    screen.moving({
      published: fleet.published,
      acknowledged: fleet.acked,
      "at the cloud": received.length,
    });
  const watch = async (ms: number): Promise<void> => {
    for (const endMs = performance.now() + ms; performance.now() < endMs; await sleep(LOOK_MS)) look();
  };
  const kill = async (nth: number): Promise<void> => {
    const { pid } = gateway;
    await gateway.kill9();
    screen.danger("✗", `kill -9 ${pid}`, `${ordinal(nth)} kill, under load`);
    await gateway.start();
    screen.chapter("↑", "the gateway is back", "devices connect again and repeat what was not acknowledged");
    await watch(700 + Math.random() * 600);
  };

  screen.title("sluice", "events from devices to the cloud, whatever happens in between");
  await gateway.start();
  screen.chapter(
    "●",
    `${DEVICES} devices publish ${RATE_PER_SECOND} messages a second`,
    "QoS 1 and 2; a handler numbers them per device",
  );
  fleet.start();
  await watch(CHAPTER_MS);

  await before.close();
  const cutMs = performance.now();
  screen.danger("✂", "the uplink is cut", "devices are still acknowledged; the journal keeps what they send");
  await watch(CHAPTER_MS);
  for (let nth = 1; nth <= KILLS_WITHOUT_UPLINK; nth++) await kill(nth);

  await using _cloud = await HttpCloud.open({ port: cloudPort, lines: received });
  const awaySeconds = ((performance.now() - cutMs) / 1000).toFixed(1);
  screen.chapter("⟷", "the uplink is back", `after ${awaySeconds} s; the backlog drains in order while devices go on`);
  for (let nth = 1; nth <= KILLS_WITH_UPLINK; nth++) await kill(KILLS_WITHOUT_UPLINK + nth);
  await watch(CHAPTER_MS);

  screen.chapter("■", "the devices stop", "what is left drains");
  fleet.pause();
  await until(() => fleet.devices.every((device) => device.inFlight === 0), look);
  const ledger = await gateway.drained();
  look();
  await gateway.stop();

  const finding = judge({
    promises: fleet.promises(),
    devices: fleet.devices,
    arrivals: parseLines(received),
    ledger,
  });
  const kills = KILLS_WITHOUT_UPLINK + KILLS_WITH_UPLINK;
  const seconds = Number(((performance.now() - startedMs) / 1000).toFixed(1));
  return report({ finding, ledger, kills, seconds });
}

function config(cloudUrl: string) {
  return {
    gateway: { id: "demo" },
    handlers: { dir: fileURLToPath(new URL("handlers", import.meta.url)) },
    uplinks: { cloud: { kind: "https", path: undefined, url: cloudUrl, backoff: "100ms", backoffMax: "500ms" } },
  };
}

interface Ending {
  readonly finding: Finding;
  readonly ledger: Ledger;
  readonly kills: number;
  readonly seconds: number;
}

function report({ finding, ledger, kills, seconds }: Ending): boolean {
  const { events } = ledger;
  const uplink = ledger.uplinks.cloud ?? { emitted: 0, delivered: 0, expired: 0, dropped: 0, rejected: 0, waiting: 0 };
  const balances = imbalances(ledger).length === 0;
  const holds = finding.wrongs.length === 0 && finding.lost === 0 && finding.doubled === 0 && balances;
  const figures = {
    published: finding.published,
    acknowledged: finding.acked,
    journaled: events.accepted,
    delivered: uplink.delivered,
    unique: finding.unique,
    repeats: finding.repeats,
    lost: finding.lost,
    duplicated: finding.doubled,
  };
  if (flags.json) {
    process.stdout.write(
      `${JSON.stringify({ figures, ledger, balances, kills, seconds, wrongs: finding.wrongs, holds })}\n`,
    );
    return holds;
  }
  const again = events.accepted - finding.acked;
  screen.table([
    { label: "published and acknowledged", value: figures.acknowledged, note: "each promised by a PUBACK or PUBREC" },
    {
      label: "journaled",
      value: figures.journaled,
      note: again > 0 ? `${again} twice: a kill took the ack, the device sent again` : "",
    },
    { label: "delivered", value: figures.delivered, note: "acknowledged by the cloud" },
    {
      label: "unique at the cloud",
      value: figures.unique,
      note: `${figures.repeats} repeats under the same id, which the cloud drops`,
    },
    { label: "lost", value: figures.lost, holds: figures.lost === 0 },
    { label: "duplicated at our own doing", value: figures.duplicated, holds: figures.duplicated === 0 },
  ]);
  const { accepted, ...ends } = events;
  const { emitted, ...fates } = uplink;
  screen.plain("");
  screen.books("events", "accepted", accepted, ends, balances);
  screen.books("cloud", "emitted", emitted, fates, balances);
  for (const wrong of finding.wrongs) screen.danger("!", wrong);
  const story = `${kills} kills and an outage in ${seconds} s`;
  screen.verdict(
    holds,
    holds ? `${story}: nothing lost, nothing doubled, the books balance` : `${story}: this must not be`,
  );
  return holds;
}

async function until(holds: () => boolean, look: () => void): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!holds() && performance.now() < deadlineMs) {
    look();
    await sleep(LOOK_MS);
  }
}

function ordinal(nth: number): string {
  return `${nth}${["th", "st", "nd", "rd"][nth] ?? "th"}`;
}

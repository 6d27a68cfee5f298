import {
  accessSync,
  constants,
  cpSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HttpCloud } from "../doubles/http-cloud.ts";
import { parseLines } from "../stories/rig/cloud-lines.ts";
import type { CloudLine } from "../stories/rig/cloud-lines.ts";
import { Fleet, isIntact } from "../stories/rig/fleet.ts";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { countingHandler } from "../stories/rig/handlers.ts";
import { inLanes } from "../stories/rig/lanes.ts";
import { imbalances } from "../stories/rig/oracle.ts";
import { freePort } from "../stories/rig/ports.ts";
import type { Random } from "../stories/rig/random.ts";
import { chance } from "../stories/rig/story.ts";
import { sleep } from "../stories/rig/wait.ts";

const TIMES = 12;
const READY_MS = 5_000;
/** What is shown of one damage's consequences. */
const WRONGS_MAX = 3;
/** Gateways on damaged folders that run at the same time. */
const TOGETHER = 3;
/** Tasks that must be pending when the power goes. */
const PENDING = 8;
/** Events of a fresh device on each damaged folder. */
const NEWS = 3;
/** Outputs that the undamaged folder must come to. */
const OUTPUTS = 700;
const SPACE_BYTES = 1024 ** 3;
/** So old must what lies in the handlers' folder be to be remembered by its looks (deployments/unchanged.ts). */
const SETTLED_MS = 2_100;

/** Path below data/ → kind of file. What matches none is not the journal's. */
const KINDS: readonly (readonly [string, RegExp])[] = [
  ["the store's tables", /^journal\/.*\.ldb$/],
  ["the store's log", /^journal\/.*\d\.log$/],
  ["the store's manifest", /^journal\/.*MANIFEST-\d+$/],
  ["the store's CURRENT", /^journal\/.*CURRENT$/],
  ["the journal's witness", /^journal\.mark$/],
  ["the sessions of devices", /^(?!journal)[^/]+\/.*(\.ldb|\.log|MANIFEST-\d+|CURRENT)$/],
];

type Damage = (file: number, bytes: number, random: Random) => string;

const DAMAGES: Readonly<Record<string, Damage>> = {
  "one flipped bit"(file, bytes, random) {
    const at = random.between(0, bytes - 1);
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, at);
    byte[0] = (byte[0] as number) ^ (1 << random.between(0, 7));
    writeSync(file, byte, 0, 1, at);
    return `bit at ${at} of ${bytes}`;
  },
  truncation(file, bytes, random) {
    const length = random.between(0, bytes - 1);
    ftruncateSync(file, length);
    return `cut to ${length} of ${bytes}`;
  },
  "a zeroed tail"(file, bytes, random) {
    const length = random.between(1, Math.min(bytes, 8192));
    writeSync(file, Buffer.alloc(length), 0, length, bytes - length);
    return `zeroed the last ${length} of ${bytes}`;
  },
};

const HANDLERS = {
  // Outputs of it wait in the outbox, and tasks are pending when the power goes: a slow one computes for some 5 ms.
  "pass.js": `export const config = { topic: ["load/{device}", "slow/{device}"], key: "{device}", to: ["cloud"] };
export default (event) => {
  if (event.topic.startsWith("slow/")) for (let i = 0, x = 1; i < 2_500_000; i++) x = Math.imul(x, 48_271) ^ i;
  return event.data;
};
`,
  "count.ts": countingHandler({ topic: "count/{device}" }),
};

/** A stopped gateway's folder with a backlog of every sort, and what a gateway makes of it when nothing is damaged. */
let pristine = "";
let control: ReadonlyMap<string, { readonly essence: string; readonly seq: number }>;

describe("damage at rest is found and told, and nothing wrong is forwarded (G1)", () => {
  beforeAll(async () => {
    pristine = await makePristine();
    const folder = copyOf(pristine);
    const { lines, wrongs } = await drain(folder, 0).finally(() => rmSync(folder, { recursive: true, force: true }));
    control = new Map(lines.map((line) => [line.id, { essence: essence(line), seq: Number(line.sluiceseq) }]));
    if (wrongs.length > 0) throw new Error(`the undamaged folder: ${wrongs.join("; ")}`);
    if (control.size < OUTPUTS) throw new Error(`the undamaged folder holds ${control.size} outputs only`);
  });

  afterAll(() => {
    rmSync(pristine, { recursive: true, force: true });
  });

  for (const [kind, pattern] of KINDS) {
    for (const [name, damage] of Object.entries(DAMAGES)) {
      it(`${name} in ${kind}, ${TIMES} times`, async () => {
        const random = chance();
        const times = Array.from({ length: TIMES }, (_, at) => at);
        const wrongs = await inLanes(TOGETHER, times, () => sufferDamage(pattern, damage, random));
        expect(wrongs.flat()).toEqual([]);
      });
    }
  }
});

async function makePristine(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-pristine-"));
  const config = configFor(await freePort(), folder);
  await using gateway = await GatewayProcess.start({ folder, config, handlers: HANDLERS });
  const load = async (topic: string, devices: number, messages: number): Promise<void> => {
    using fleet = new Fleet({
      port: gateway.mqttPort,
      devices,
      ratePerSecond: 0,
      name: topic,
      topic: (id) => `${topic}/${id}`,
      qos: (index) => (index % 2 === 0 ? 1 : 2),
      paddingBytes: 100,
    });
    fleet.start();
    await fleet.online();
    await fleet.publish(messages);
  };
  await load("load", 8, 40);
  await load("count", 4, 20);
  // A restart turns the store's log into tables. Sources that are old enough by then are not built at each start from there on.
  await sleep(SETTLED_MS);
  await gateway.restart();
  await load("load", 8, 30);
  await load("count", 4, 20);
  // Acknowledged when the disk has them, whatever has become of their tasks then.
  let pending = 0;
  for (let tries = 0; pending < PENDING && tries < 5; tries++) {
    await load("slow", 4, 6);
    ({ pending } = (await gateway.ledger()).events);
  }
  await gateway.kill9();
  if (pending < PENDING) throw new Error(`the power went when ${pending} tasks were pending`);
  return folder;
}

/** All of them have the handlers of `folder`. */
function configFor(cloudPort: number, folder: string) {
  return {
    handlers: { dir: join(folder, "handlers"), watch: false },
    sandbox: { runners: 1 },
    uplinks: {
      cloud: {
        kind: "https",
        path: undefined,
        url: `http://127.0.0.1:${cloudPort}/events`,
        backoff: "20ms",
        backoffMax: "50ms",
      },
    },
  };
}

/** What the status says of a damage. `where` says what is numbered: events, or the outputs of an uplink. */
interface Report {
  readonly where: string;
  readonly from: number;
  readonly to: number;
}

interface Drained {
  readonly lines: readonly CloudLine[];
  readonly readyMs: number;
  readonly damage: readonly Report[];
  readonly wrongs: string[];
}

/** Starts a gateway on the folder, publishes `news` on a fresh device, drains, and kills it. */
async function drain(folder: string, news: number): Promise<Drained> {
  await using cloud = await HttpCloud.open();
  await using gateway = await GatewayProcess.prepare({ folder, config: configFor(cloud.port, pristine) });
  const wrongs: string[] = [];
  const launchedMs = performance.now();
  gateway.launch();
  try {
    await gateway.ready(READY_MS);
  } catch (thrown) {
    return { lines: [], readyMs: Infinity, damage: [], wrongs: [`not ready in ${READY_MS} ms: ${String(thrown)}`] };
  }
  const readyMs = performance.now() - launchedMs;
  using fleet = new Fleet({
    port: gateway.mqttPort,
    devices: news > 0 ? 1 : 0,
    ratePerSecond: 0,
    name: "news",
  });
  fleet.start();
  await fleet.online();
  await fleet.publish(news);
  const ledger = await gateway.drained(20_000);
  wrongs.push(...imbalances(ledger));
  const { damage } = (await gateway.status()) as unknown as { damage: readonly Report[] };
  const { lines, torn } = parseLines(cloud.lines);
  wrongs.push(...torn.map((text) => `torn: ${text}`));
  return { lines, readyMs, damage, wrongs };
}

/** In memory where there is some: what becomes of a folder when the power goes is not asked here (power-cut.test.ts). */
function copyOf(folder: string): string {
  const copy = mkdtempSync(join(roomyMemory() ?? tmpdir(), "sluice-damage-"));
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** A container's may have 64 MB, which is little for a journal. */
function roomyMemory(): string | undefined {
  const memory = "/dev/shm";
  try {
    accessSync(memory, constants.W_OK);
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize > SPACE_BYTES ? memory : undefined;
  } catch {
    return undefined;
  }
}

async function sufferDamage(pattern: RegExp, damage: Damage, random: Random): Promise<string[]> {
  const folder = copyOf(pristine);
  try {
    const what = inflict(join(folder, "data"), pattern, damage, random);
    const { lines, readyMs, damage: told, wrongs } = await drain(folder, NEWS);
    const found = readyMs === Infinity ? wrongs : [...wrongs, ...compare(lines, told)];
    return found.slice(0, WRONGS_MAX).map((wrong) => `${what}: ${wrong.slice(0, 600)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function inflict(data: string, pattern: RegExp, damage: Damage, random: Random): string {
  const files = readdirSync(data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => pattern.test(relative(data, path).replaceAll(sep, "/")) && statSync(path).size > 0)
    .toSorted();
  expect(files.length, `no file of this kind in ${data}`).toBeGreaterThan(0);
  const path = random.pick(files);
  const file = openSync(path, "r+");
  try {
    return `${relative(data, path)}, ${damage(file, statSync(path).size, random)}`;
  } finally {
    closeSync(file);
  }
}

/** Any difference from what the undamaged folder gives must have been told; a wrong payload must never be. */
function compare(lines: readonly CloudLine[], told: readonly Report[]): string[] {
  const wrongs: string[] = [];
  const seen = new Set<string>();
  let differs = 0;
  let news = 0;
  for (const line of lines) {
    seen.add(line.id);
    const expected = control.get(line.id)?.essence;
    if (!isIntact(line.data)) wrongs.push(`a wrong payload was forwarded: ${JSON.stringify(line)}`);
    if (line.data.device.startsWith("news-")) {
      news += 1;
      if (expected !== undefined) wrongs.push(`a new event bears the id of an old one: ${line.id}`);
    } else if (expected === undefined) {
      wrongs.push(`nobody sent ${JSON.stringify(line)}`);
    } else if (expected !== essence(line)) {
      if (line.data.device.startsWith("count-")) differs += 1;
      else wrongs.push(`${line.id} changed: ${expected} became ${essence(line)}`);
    }
  }
  if (news !== NEWS) wrongs.push(`${news} of ${NEWS} new events came through`);
  const missing = [...control.keys()].filter((id) => !seen.has(id));
  if (missing.length + differs > 0 && told.length === 0) {
    wrongs.push(`${missing.length} outputs missing and ${differs} counters off, and nothing was told`);
  }
  const untold = missing.filter((id) => !isTold(id, told));
  if (untold.length > 0) {
    wrongs.push(
      `${untold.length} of ${missing.length} missing outputs are in no range: ${untold[0]}, ${JSON.stringify(told)}`,
    );
  }
  return wrongs;
}

/** Whether a missing output, or the event that it comes of, lies in a range that was reported as lost. */
function isTold(id: string, told: readonly Report[]): boolean {
  const event = Number.parseInt(id.slice(id.indexOf("-") + 1, id.indexOf(".")), 36);
  const output = control.get(id)?.seq ?? -1;
  const holds = ({ from, to }: Report, number: number): boolean => from <= number && number <= to;
  return told.some(
    (report) =>
      (report.where === "events" && holds(report, event)) || (report.where === "outbox cloud" && holds(report, output)),
  );
}

/** What of a line is the same whenever its task runs. Its number and its time are drawn when the task settles. */
function essence({ id, source, type, subject, sluicekey, data }: CloudLine): string {
  return JSON.stringify({ id, source, type, subject, sluicekey, data });
}

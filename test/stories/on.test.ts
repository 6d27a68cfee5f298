import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import { HttpCloud } from "../doubles/http-cloud.ts";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { imbalances } from "./rig/oracle.ts";
import { freePort } from "./rig/ports.ts";
import { until } from "./rig/wait.ts";

/** Of everything that can be waited for. `folder` is watched. */
const watches = (folder: string): string => `
const waits = ["device.connected", "device.disconnected", "device.subscribed", "uplink.up", "uplink.down", "uplink.full",
  "gateway.started", "handler.failed", "handler.rolled-back", { "file.changed": ${JSON.stringify(folder)} }];
export const config = { on: waits, to: ["cloud"] };
export default (event) => ({ type: event.type.slice(7), subject: event.subject, device: event.device, ...event.data });`;

const sends = (to: string): string => `
export const config = { topic: "readings", to: ["${to}"] };
export default (event) => event.data;`;

const BREAKS = `
export const config = { topic: "breaks/{n}", to: ["cloud"], retry: { triesMax: 1 } };
export default () => { throw new TypeError("of " + 1); };`;

/** As it is deployed: version 1 has nothing to say, version 2 fails. */
const TURNS = `
export const config = { topic: "turns/{n}", to: ["cloud"] };
export default () => undefined;`;
const TURNS_BAD = `
exports.config = { topic: "turns/{n}", to: ["cloud"] };
exports.default = () => { throw new Error("of version 2"); };`;

/** Fails, hears of that, and fails again. */
const FAILS = `
export const config = { topic: "bad", on: ["handler.failed"], to: ["cloud"], retry: { triesMax: 1 } };
export default () => { throw new Error("always"); };`;

interface Heard {
  readonly type: string;
  readonly subject: string;
  readonly device: string;
  readonly [more: string]: unknown;
}

/** What has been told; an event that was delivered twice was told once. */
function heard(gateway: GatewayProcess): Heard[] {
  const { lines } = readFileUplink(join(gateway.folder, "cloud/events.ndjson"));
  return [...new Map(lines.map(({ id, data }) => [id, data as unknown as Heard])).values()];
}

it("handlers hear of whatever happens, once each: of the gateway, devices, uplinks, handlers and files", async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const uplink = { kind: "https", url, backoffMax: "200ms" };
  await using gateway = await GatewayProcess.prepare({
    handlers: { "site.js": sends("site"), "depot.js": sends("depot"), "breaks.js": BREAKS, "turns.js": TURNS },
    config: {
      uplinks: {
        site: { ...uplink, buffer: { sizeMax: "256KB" } },
        depot: { ...uplink, buffer: { sizeMax: "256KB", whenFull: "refuse" } },
      },
    },
  });
  const inbox = join(gateway.folder, "inbox");
  mkdirSync(inbox);
  gateway.saveHandler("watches.js", watches(inbox));
  await gateway.start();
  const told = (type: string, subject: string): Heard[] =>
    heard(gateway).filter((news) => news.type === type && news.subject === subject);
  const hears = async (type: string, subject: string, times = 1): Promise<void> => {
    await until(`the news ${type} ${subject}`, () => told(type, subject).length >= times, {
      withinMs: 20_000,
      tell: () => [heard(gateway), gateway.logTail(5)],
    });
  };

  // A device comes, subscribes, goes, and comes back to what the gateway has kept of it.
  const options = { clientId: "press-7", clean: false };
  const before = await connectAsync(`mqtt://127.0.0.1:${gateway.mqttPort}`, options);
  await before.subscribeAsync("orders/+", { qos: 1 });
  await before.endAsync();
  await hears("device.disconnected", "press-7");
  const device = await connectAsync(`mqtt://127.0.0.1:${gateway.mqttPort}`, { ...options, resubscribe: false });
  await hears("device.connected", "press-7", 2);

  // Uplinks are down, and more comes than they have room for; the one drops what is oldest, the other takes no more.
  const reading = JSON.stringify("x".repeat(8192));
  const publish = (count: number): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, () => device.publishAsync("readings", reading, { qos: 1 })));
  await publish(60);
  for (const name of ["site", "depot"]) {
    await hears("uplink.down", name);
    await hears("uplink.full", name);
  }
  // At the limit it goes on like that for a while; between two rounds everybody has looked.
  for (let round = 1; round <= 3; round++) {
    await publish(20);
    writeFileSync(join(gateway.folder, "aside"), "1;2");
    renameSync(join(gateway.folder, "aside"), join(inbox, `round-${round}.csv`));
    await hears("file.changed", join(inbox, `round-${round}.csv`));
  }
  await using _cloud = await HttpCloud.open({ port });
  for (const name of ["site", "depot"]) await hears("uplink.up", name);

  // A handler fails; and the new version of another one, on more events than it may.
  await device.publishAsync("breaks/1", "1", { qos: 1 });
  await hears("handler.failed", "breaks");
  const deployed = await gateway.ask("POST", "/api/v1/handlers/turns/versions", { code: TURNS_BAD, file: "turns.js" });
  expect(await deployed.json()).toMatchObject({ version: 2, at: "live" });
  for (let n = 0; n < 5; n++) await device.publishAsync(`turns/${n}`, "1", { qos: 1 });
  await hears("handler.rolled-back", "turns");

  // A file comes, changes and goes.
  const file = join(inbox, "round-1.csv");
  writeFileSync(file, "1;2;3");
  await hears("file.changed", file, 2);
  rmSync(file);
  await hears("file.changed", file, 3);
  await device.endAsync();
  await hears("device.disconnected", "press-7", 2);
  expect(imbalances(await gateway.drained())).toEqual([]);

  const all = heard(gateway);
  expect(all[0]).toMatchObject({ type: "gateway.started", subject: "" });
  const counts: Record<string, number> = {};
  for (const { type, subject } of all) {
    const what = `${type} ${subject.replace(inbox, "")}`.trim();
    counts[what] = (counts[what] ?? 0) + 1;
  }
  expect(counts).toEqual({
    "gateway.started": 1,
    "device.connected press-7": 2,
    "device.subscribed press-7": 1,
    "device.disconnected press-7": 2,
    "uplink.down site": 1,
    "uplink.full site": 1,
    "uplink.up site": 1,
    "uplink.down depot": 1,
    "uplink.full depot": 1,
    "uplink.up depot": 1,
    "handler.failed breaks": 1,
    "handler.rolled-back turns": 1,
    "file.changed /round-1.csv": 3,
    "file.changed /round-2.csv": 1,
    "file.changed /round-3.csv": 1,
  });
  expect(told("file.changed", file).map(({ change, bytes }) => [change, bytes])).toEqual([
    ["added", 3],
    ["changed", 5],
    ["removed", 0],
  ]);
  expect(told("device.subscribed", "press-7")[0]).toMatchObject({ device: "press-7", filter: "orders/+", qos: 1 });
  expect(told("handler.failed", "breaks")[0]).toMatchObject({
    code: "HANDLER_THREW",
    key: "breaks/1",
    topic: "breaks/1",
  });
  expect(String(told("handler.rolled-back", "turns")[0]?.["message"])).toContain("version 2 was rolled back");
});

it("a handler that fails on the news of its own failure ends with its chain, and the ledger balances", async () => {
  await using gateway = await GatewayProcess.start({ handlers: { "fails.js": FAILS } });
  const device = await connectAsync(`mqtt://127.0.0.1:${gateway.mqttPort}`);
  await device.publishAsync("bad", "1", { qos: 1 });
  await until("the end of the chain", async () => (await gateway.ledger()).events.dead === 9, {
    withinMs: 20_000,
    tell: () => gateway.logTail(),
  });
  const ledger = await gateway.drained();
  // The event itself, and the eight hops of handlers.hopsMax.
  expect(ledger.events).toMatchObject({ accepted: 9, dead: 9 });
  expect(imbalances(ledger)).toEqual([]);
  await device.endAsync();
});

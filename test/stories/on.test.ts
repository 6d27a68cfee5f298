import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import { HttpCloud } from "../doubles/http-cloud.ts";
import { parseLines } from "./rig/cloud-lines.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { imbalances } from "./rig/oracle.ts";
import { freePort } from "./rig/ports.ts";
import { until } from "./rig/wait.ts";

const WATCHES = `
const waits = ["device.connected", "device.disconnected", "device.subscribed", "uplink.up", "uplink.down", "gateway.started"];
export const config = { on: waits, to: ["cloud"] };
export default (event) => ({ type: event.type, subject: event.subject, device: event.device, ...event.data });`;

const SENDS = `
export const config = { topic: "readings", to: ["site"] };
export default (event) => event.data;`;

/** Fails, hears of that, and fails again. */
const FAILS = `
export const config = { topic: "bad", on: ["handler.failed"], to: ["cloud"], retry: { triesMax: 1 } };
export default () => { throw new Error("always"); };`;

interface Heard {
  readonly type: string;
  readonly subject: string;
  readonly device: string;
  readonly code?: string;
}

function heard(gateway: GatewayProcess): Heard[] {
  const text = readFileSync(join(gateway.folder, "cloud/events.ndjson"), "utf8").trim();
  return parseLines(text.split("\n")).lines.map(({ data }) => data as unknown as Heard);
}

it("handlers hear of the gateway's start, of devices that come, subscribe and go, and of an uplink that is down and up again", async () => {
  const port = await freePort();
  await using gateway = await GatewayProcess.start({
    handlers: { "watches.js": WATCHES, "sends.js": SENDS },
    config: { uplinks: { site: { kind: "https", url: `http://127.0.0.1:${port}`, backoffMax: "200ms" } } },
  });
  const device = await connectAsync(`mqtt://127.0.0.1:${gateway.mqttPort}`, { clientId: "press-7" });
  await device.subscribeAsync("orders/+", { qos: 1 });
  await device.publishAsync("readings", "1", { qos: 1 });
  await until(
    "the news that the uplink is down",
    () => heard(gateway).some(({ type }) => type === "sluice.uplink.down"),
    {
      withinMs: 20_000,
      tell: () => gateway.logTail(),
    },
  );
  await using _cloud = await HttpCloud.open({ port });
  await until("the news that it is up", () => heard(gateway).some(({ type }) => type === "sluice.uplink.up"), {
    withinMs: 20_000,
    tell: () => heard(gateway),
  });
  await device.endAsync();
  await until("the news that the device left", () => heard(gateway).some(({ type }) => type.endsWith("disconnected")), {
    withinMs: 20_000,
    tell: () => heard(gateway),
  });
  const news = heard(gateway).map(({ type, subject, device: of }) => [type, subject, of]);
  expect(news[0]).toEqual(["sluice.gateway.started", "", ""]);
  expect(news).toContainEqual(["sluice.device.connected", "press-7", "press-7"]);
  expect(news).toContainEqual(["sluice.device.subscribed", "press-7", "press-7"]);
  expect(news).toContainEqual(["sluice.device.disconnected", "press-7", "press-7"]);
  expect(news.filter(([type]) => type === "sluice.uplink.down")).toEqual([["sluice.uplink.down", "site", ""]]);
  expect(imbalances(await gateway.drained())).toEqual([]);
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

it("a handler hears of a file that changes in the folder it waits for", async () => {
  await using gateway = await GatewayProcess.prepare({});
  const folder = join(gateway.folder, "cloud");
  const wait = JSON.stringify([{ "file.changed": folder }]);
  gateway.saveHandler(
    "files.js",
    `export const config = { on: ${wait}, to: ["cloud"] };
     export default (event) => event.data.path.endsWith(".csv") ? { type: event.type, subject: event.subject } : undefined;`,
  );
  await gateway.start();
  await new Promise((resolve) => setTimeout(resolve, 500));
  writeFileSync(join(folder, "in.csv"), "1;2");
  await until("the news of the file", () => heard(gateway).some(({ subject }) => subject === join(folder, "in.csv")), {
    withinMs: 20_000,
    tell: () => gateway.logTail(),
  });
});

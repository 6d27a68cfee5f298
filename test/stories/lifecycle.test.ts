import { writeFileSync } from "node:fs";
import { join } from "node:path";
import mqtt from "mqtt";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound } from "./rig/oracle.ts";
import { RawClient } from "./rig/raw-client.ts";
import { sleep, until } from "./rig/wait.ts";

describe("a restart", () => {
  it("keeps retained messages, the queue of a device that is away, and the will of one that never came back", async () => {
    await using gateway = await GatewayProcess.start();
    const url = `mqtt://127.0.0.1:${gateway.mqttPort}`;
    const away = { clientId: "away", clean: false, reconnectPeriod: 0 };

    const subscriber = await mqtt.connectAsync(url, away);
    await subscriber.subscribeAsync("orders/#", { qos: 1 });
    await subscriber.endAsync();
    using _doomed = await RawClient.open(gateway.mqttPort, "doomed", {
      will: { topic: "wills/doomed", payload: Buffer.from("gone"), qos: 1, retain: true },
    });
    const publisher = await mqtt.connectAsync(url, { reconnectPeriod: 0 });
    await publisher.publishAsync("state/pump", "on", { qos: 1, retain: true });
    for (let n = 1; n <= 20; n++) await publisher.publishAsync(`orders/${n}`, String(n), { qos: 1 });
    publisher.end(true);
    // Local delivery comes after the acknowledgement, and is not journaled (broker.ts): the queue has to be there to be kept.
    await until(
      "the queue of the device that is away",
      async () => (await gateway.metric("sluice_broker_queued")) === 20,
      {
        withinMs: 30_000,
      },
    );
    await sleep(200);

    await gateway.kill9();
    await gateway.start();

    const orders: string[] = [];
    const back = mqtt.connect(url, away);
    back.on("message", (topic, payload) => void (topic.startsWith("orders/") && orders.push(payload.toString())));
    await until("the queued orders", () => orders.length >= 20, { withinMs: 30_000, tell: () => orders });
    expect(orders).toEqual(Array.from({ length: 20 }, (_, i) => String(i + 1)));

    const retained = new Map<string, string>();
    back.on("message", (topic, payload, packet) => void (packet.retain && retained.set(topic, payload.toString())));
    await back.subscribeAsync(["state/#", "wills/#"], { qos: 1 });
    await until("the retained state and the will", () => retained.size === 2, {
      withinMs: 30_000,
      tell: () => [...retained],
    });
    expect(Object.fromEntries(retained)).toEqual({ "state/pump": "on", "wills/doomed": "gone" });
    await back.endAsync(true);
  });

  it("by SIGTERM drains and exits 0; nothing is lost, run twice or even delivered twice", async () => {
    await using gateway = await GatewayProcess.start({ handlers: { "count.ts": countingHandler() } });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 1_500 });
    fleet.start();
    for (let round = 0; round < 3; round++) {
      await fleet.online();
      await sleep(300);
      await gateway.stop("SIGTERM");
      expect(gateway.end, gateway.logTail()).toEqual({ code: 0, signal: null });
      await gateway.start();
    }
    await fleet.settled();
    const ledger = await gateway.drained();
    const finding = expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(join(gateway.folder, "cloud", "events.ndjson")),
      ledger,
    });
    expect(finding.repeats).toBe(0);
  });
});

describe("SIGHUP", () => {
  it("replaces routes by others for the same topics, and every event is for the old or the new one", async () => {
    const routes = (turn: number): object[] =>
      Array.from({ length: 10 }, (_, n) => ({ from: [`other-${n}/#`, `turn-${turn}/#`], to: ["cloud"] })).concat({
        from: ["load/#", `turn-${turn}/#`],
        to: ["cloud"],
      });
    await using gateway = await GatewayProcess.start({ config: { routes: routes(0) } });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 4, ratePerSecond: 2000, qos: () => 2 });
    fleet.start();
    await fleet.online();
    for (let turn = 1; turn <= 5; turn++) {
      gateway.writeConfig({ routes: routes(turn) });
      gateway.signal("SIGHUP");
      await until("the new routes", () => gateway.logged("the config was read again").length === turn, {
        withinMs: 30_000,
        everyMs: 10,
        tell: () => gateway.logTail(),
      });
    }
    await fleet.settled();
    const { uplinks } = await gateway.drained();
    expect(uplinks.cloud?.delivered).toBe(fleet.acked);
    expect(await gateway.metric("sluice_events_unmatched_total")).toBe(0);
  });

  const handler = `
export const config = { topic: "load/{device}", to: ["cloud"], params: { limit: 1 } };
export default (event, ctx) => ({ ...event.data, version: ctx.params.limit });
`;

  it("reloads a valid config under load, and leaves everything as it was when the new one is invalid", async () => {
    await using gateway = await GatewayProcess.start({ handlers: { "limit.js": handler } });
    const cloud = join(gateway.folder, "cloud", "events.ndjson");
    const live = (): number | undefined => readFileUplink(cloud).lines.at(-1)?.data.version;
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 4, ratePerSecond: 400, qos: () => 2 });
    fleet.start();
    await until("outputs", () => live() === 1, { withinMs: 30_000, everyMs: 50, tell: () => gateway.logTail() });

    gateway.writeConfig({ handlers: { settings: { limit: { params: { limit: 2 } } } } });
    gateway.signal("SIGHUP");
    await until("the new parameter", () => live() === 2, {
      withinMs: 30_000,
      everyMs: 50,
      tell: () => gateway.logTail(),
    });

    writeFileSync(gateway.configFile, "gateway: { idd: edge-1 }\n");
    gateway.signal("SIGHUP");
    await until("the refusal", () => gateway.log.some((line) => line.includes("CONFIG_INVALID")), {
      withinMs: 30_000,
      tell: () => gateway.logTail(),
    });
    gateway.writeConfig({
      uplinks: { plant: { kind: "mqtt", url: "mqtts://127.0.0.1:1", tls: { ca: "nowhere.pem" } } },
    });
    gateway.signal("SIGHUP");
    await until("the refusal of the uplink", () => gateway.log.some((line) => line.includes("UPLINK_SETTINGS")), {
      withinMs: 30_000,
      tell: () => gateway.logTail(),
    });
    const before = fleet.acked;
    await until("more acknowledgements", () => fleet.acked > before + 100, { withinMs: 30_000 });
    await fleet.settled();
    const ledger = await gateway.drained();
    expect(live()).toBe(2);
    expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(cloud),
      ledger,
      counted: false,
    });
  });
});

describe("a data folder", () => {
  it("has one gateway: a second one is refused, says why, and does not disturb the first", async () => {
    await using gateway = await GatewayProcess.start({ handlers: { "count.ts": countingHandler() } });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 2, ratePerSecond: 0 });
    fleet.start();
    await fleet.online();
    await fleet.publish(10);

    await using second = await GatewayProcess.prepare({ config: { gateway: { data: gateway.dataFolder } } });
    second.launch();
    await second.exited();
    expect(second.end.code).toBeGreaterThan(0);
    expect(second.logTail()).toContain("JOURNAL_LOCKED");

    await fleet.publish(10);
    const ledger = await gateway.drained();
    expect(ledger.events).toMatchObject({ accepted: 40, done: 40 });
  });
});

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { HttpCloud } from "../doubles/http-cloud.ts";
import type { Behaviour } from "../doubles/http-cloud.ts";
import { parseLines, readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import type { ConfigPart } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound, imbalances } from "./rig/oracle.ts";
import { freePort } from "./rig/ports.ts";
import { chance } from "./rig/story.ts";
import { sleep, until } from "./rig/wait.ts";

const HANDLERS = { "count.ts": countingHandler() };

/** An https uplink whose waits fit into a story. */
function cloudAt(url: string, settings: ConfigPart = {}): ConfigPart {
  return {
    uplinks: {
      cloud: { kind: "https", url, path: undefined, backoff: "50ms", backoffMax: "200ms", timeout: "1s", ...settings },
    },
  };
}

describe("an uplink's outage", () => {
  it("of the whole day, with a kill -9 in it, ends with everything at the cloud in order per key (G3)", async () => {
    const port = await freePort();
    await using gateway = await GatewayProcess.start({
      config: cloudAt(`http://127.0.0.1:${port}/events`),
      handlers: HANDLERS,
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 0 });
    fleet.start();
    await fleet.online();
    await fleet.publish(120);
    await gateway.kill9();
    await gateway.start();
    await fleet.online();
    await fleet.publish(120);
    await until("all outputs", async () => (await gateway.ledger()).events.pending === 0, { withinMs: 30_000 });
    const before = await gateway.ledger();
    expect(before.uplinks.cloud).toMatchObject({ delivered: 0, dropped: 0 });
    expect(imbalances(before)).toEqual([]);

    await using cloud = await HttpCloud.open({ port });
    const ledger = await gateway.drained();
    const finding = expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: parseLines(cloud.lines),
      ledger,
    });
    expect(finding.acked).toBe(1_920);
  });

  it("does not keep outputs from another uplink, nor devices from being acknowledged", async () => {
    await using gateway = await GatewayProcess.start({
      config: {
        uplinks: {
          local: { kind: "file", path: "cloud/local.ndjson" },
          ...(cloudAt(`http://127.0.0.1:${await freePort()}/events`).uplinks as ConfigPart),
        },
      },
      handlers: { "local.ts": countingHandler({ to: "local" }), "cloud.ts": countingHandler({ to: "cloud" }) },
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 4, ratePerSecond: 0 });
    fleet.start();
    await fleet.online();
    await fleet.publish(200);
    const ledger = await gateway.drained(10_000, ["local"]);
    expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(join(gateway.folder, "cloud", "local.ndjson")),
      ledger,
      uplink: "local",
      allDelivered: false,
    });
    expect(ledger.uplinks).toMatchObject({ local: { delivered: 800 }, cloud: { delivered: 0, waiting: 800 } });
  });
});

describe("an uplink that misbehaves", () => {
  const misbehaviours: readonly (readonly [string, Behaviour])[] = [
    ["takes everything and never says so", { at: "take-and-reset" }],
    ["hangs", { at: "hang" }],
    ["resets connections", { at: "reset" }],
    ["answers 500", { at: "refuse", status: 500 }],
    ["answers 429", { at: "refuse", status: 429, retryAfter: "0" }],
  ];

  it("loses nothing by it, and gets everything in order per key once it behaves again (G3)", async () => {
    const random = chance();
    await using cloud = await HttpCloud.open();
    await using gateway = await GatewayProcess.start({
      config: cloudAt(cloud.url, { timeout: "300ms" }),
      handlers: HANDLERS,
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 6, ratePerSecond: 400 });
    fleet.start();
    await fleet.online();
    for (const [, behaviour] of misbehaviours) {
      // Never: nothing gets through meanwhile, except what the cloud takes without saying so.
      const seen = cloud.requests;
      cloud.behave = () => behaviour;
      await until("requests that fail", () => cloud.requests >= seen + 2, { withinMs: 30_000 });
      await sleep(200);
      // Now and then: some get through.
      cloud.behave = () => (random.next() < 0.5 ? behaviour : { at: "take" });
      await sleep(400);
    }
    cloud.behave = () => ({ at: "take" });
    await fleet.settled();
    const ledger = await gateway.drained();
    expectSound({ promises: fleet.promises(), devices: fleet.devices, arrivals: parseLines(cloud.lines), ledger });
  });

  it("answers 400 to one output: that one is rejected and kept, all others arrive, and the ledger tells (G4)", async () => {
    const refused = (event: unknown): boolean => (event as { data: { n: number } }).data.n === 7;
    await using cloud = await HttpCloud.open({
      behave: (_, batch) => (batch.some(refused) ? { at: "refuse", status: 400 } : { at: "take" }),
    });
    await using gateway = await GatewayProcess.start({ config: cloudAt(cloud.url), handlers: HANDLERS });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 2, ratePerSecond: 0 });
    fleet.start();
    await fleet.online();
    await fleet.publish(50);
    const ledger = await gateway.drained();
    expect(imbalances(ledger)).toEqual([]);
    expect(ledger.uplinks.cloud).toMatchObject({ delivered: 98, rejected: 2, waiting: 0 });
    const numbers = parseLines(cloud.lines).lines.map(({ data }) => data.n);
    expect(new Set(numbers)).toEqual(new Set(Array.from({ length: 50 }, (_, i) => i + 1).filter((n) => n !== 7)));
    expect(numbers).toHaveLength(98);

    // An outbox that nobody takes from would let it expire: it stays what it is until the uplink is back.
    const config = readFileSync(gateway.configFile, "utf8");
    const { uplinks: _, ...without } = JSON.parse(config) as Record<string, unknown>;
    writeFileSync(gateway.configFile, JSON.stringify({ ...without, uplinks: {} }));
    gateway.signal("SIGHUP");
    const read = (times: number) => (): boolean => gateway.logged("the config was read again").length === times;
    await until("the config without the uplink", read(1), { withinMs: 30_000, tell: () => gateway.logTail() });
    const { letters } = (await gateway.api("/api/v1/dead")) as { letters: { id: string }[] };
    const one = await gateway.ask("POST", `/api/v1/dead/${letters[0]?.id}/redrive`);
    expect(await one.json()).toMatchObject({ status: 409, code: "UPLINK_UNKNOWN" });
    expect(await gateway.api("/api/v1/dead/redrive", { handler: "count" })).toMatchObject({ count: 0 });
    cloud.behave = () => ({ at: "take" });
    writeFileSync(gateway.configFile, config);
    gateway.signal("SIGHUP");
    await until("the config with it", read(2), { withinMs: 30_000, tell: () => gateway.logTail() });
    expect(await gateway.api("/api/v1/dead/redrive", { handler: "count" })).toMatchObject({ count: 2 });
    expect((await gateway.drained()).uplinks.cloud).toMatchObject({ delivered: 100, rejected: 0, waiting: 0 });
  });
});

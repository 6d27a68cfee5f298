import { join } from "node:path";
import mqtt from "mqtt";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { until } from "./rig/wait.ts";

/** As the design's page shows it. */
const OVERHEAT = `
import type { Handler, HandlerConfig } from "sluice";

export const config = {
  topic: "plant/{line}/{machine}/temperature",
  key: "{machine}",
  to: ["cloud"],
  params: { limit: 80 },
} satisfies HandlerConfig;

export default ((event, ctx) => {
  const { c } = event.data as { c: number };
  if (c <= ctx.params.limit) return;
  ctx.state.count = (ctx.state.count ?? 0) + 1;
  return { machine: event.params.machine, c, count: ctx.state.count };
}) satisfies Handler;
`;

describe("a stock MQTT client's first events", () => {
  it("go through a handler and a route to the cloud as CloudEvents, and the ledger tells what became of each", async () => {
    await using gateway = await GatewayProcess.start({
      config: {
        handlers: { settings: { overheat: { params: { limit: 85 } } } },
        routes: [{ from: "audit/#", to: ["cloud"] }],
      },
      handlers: { "overheat.ts": OVERHEAT },
    });
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.mqttPort}`, {
      clientId: "press-7",
      reconnectPeriod: 0,
    });
    for (const c of [82, 86, 90]) {
      await client.publishAsync("plant/a/press-7/temperature", JSON.stringify({ c }), { qos: 1 });
    }
    await client.publishAsync("audit/door", JSON.stringify({ open: true }), { qos: 2 });
    await client.publishAsync("nobody/wants/this", "x", { qos: 1 });
    await client.endAsync();

    const ledger = await gateway.drained();
    expect(ledger).toMatchObject({
      events: { accepted: 4, done: 4, dead: 0, expired: 0, dropped: 0, pending: 0 },
      uplinks: { cloud: { emitted: 3, delivered: 3, expired: 0, dropped: 0, rejected: 0, waiting: 0 } },
    });
    expect(await gateway.status()).toMatchObject({ unmatched: 1 });

    const { lines } = await until("three lines", () => readFileUplink(join(gateway.folder, "cloud", "events.ndjson")), {
      withinMs: 15_000,
    });
    const overheats = lines.filter(({ source }) => source === "//edge-test/overheat") as unknown as Record<
      string,
      unknown
    >[];
    expect(overheats.map(({ data }) => data)).toEqual([
      { machine: "press-7", c: 86, count: 1 },
      { machine: "press-7", c: 90, count: 2 },
    ]);
    for (const line of overheats) {
      expect(line).toMatchObject({ specversion: "1.0", sluicekey: "press-7" });
      expect(line.id).toMatch(/^[^.]+\.overheat\.0$/);
    }
    expect(new Set(lines.map(({ id }) => id)).size).toBe(3);
    const audit = lines.find(({ source }) => source !== "//edge-test/overheat");
    expect(audit?.data).toEqual({ open: true });
  });
});

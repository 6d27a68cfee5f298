import { describe, expect, it, onTestFinished } from "vitest";
import type { Uplinks } from "#src/uplinks/uplinks.ts";
import { FakeMqttCloud } from "../doubles/fake-mqtt-cloud.ts";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";
import { idOf, openUplink } from "./opened.ts";

interface Opened {
  readonly cloud: FakeMqttCloud;
  readonly outbox: MemoryOutbox;
  readonly lines: string[];
  start(settings?: Record<string, unknown>): Uplinks;
}

async function opened(): Promise<Opened> {
  const cloud = await FakeMqttCloud.open();
  onTestFinished(() => cloud.close());
  const outbox = new MemoryOutbox();
  const lines: string[] = [];
  return {
    cloud,
    outbox,
    lines,
    start: (settings = {}) => openUplink({ outbox, lines, settings: { kind: "mqtt", url: cloud.url, ...settings } }),
  };
}

const ids = (cloud: FakeMqttCloud): string[] =>
  cloud.arrived.map(({ payload }) => (JSON.parse(payload.toString()) as { id: string }).id);

describe("an mqtt uplink", () => {
  it("publishes at QoS 1 under its own client id, with its credentials and topic", async () => {
    const { cloud, outbox, start } = await opened();
    outbox.emit({ handler: 7 });
    start({ username: "box", password: "s3cret" });
    await outbox.drained();
    expect(cloud.connects).toHaveLength(1);
    expect(cloud.connects[0]).toMatchObject({ clientId: "sluice-edge-1-cloud", username: "box", protocolVersion: 4 });
    expect(cloud.arrived[0]).toMatchObject({ topic: "edge-1/handler-7", retain: false });
    expect(ids(cloud)).toEqual([idOf(outbox, 0)]);
  });

  it("fills in the topic template, and lets nothing break out of it", async () => {
    const { cloud, outbox, start } = await opened();
    outbox.emit({ key: "m-1", subject: "hall/1", topic: "own/topic", type: "t" });
    outbox.emit({ key: "a/#/+/b\u0000", subject: "", topic: "" });
    start({ topic: "up/{topic}/{key}/{subject}" });
    await outbox.drained();
    expect(cloud.arrived.map(({ topic }) => topic)).toEqual(["up/own/topic/m-1/hall/1", "up//a/_/_/b_/"]);
  });

  it("gives an output without a topic of its own the default one where the template is {topic}", async () => {
    const { cloud, outbox, start } = await opened();
    outbox.emit({ topic: "alarms/7" });
    outbox.emit();
    start({ topic: "{topic}" });
    await outbox.drained();
    expect(cloud.arrived.map(({ topic }) => topic)).toEqual(["alarms/7", "edge-1/handler-1"]);
  });

  it("sends payloads of every length whole, in raw format as they are", async () => {
    const { cloud, outbox, start } = await opened();
    const lengths = [0, 1, 100, 103, 104, 105, 127, 128, 16_000, 16_383, 16_384, 2_097_151, 2_097_152];
    for (const length of lengths) outbox.emit({ data: Buffer.alloc(length, 0x61), json: false });
    start({ format: "raw", topic: "t" });
    await outbox.drained();
    expect(cloud.arrived.map(({ payload }) => payload.length)).toEqual(lengths);
  });

  it("has no more than `inflight` messages unacknowledged", async () => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "silent" };
    outbox.emitMany(500);
    start({ inflight: 100 });
    await outbox.until(() => cloud.arrived.length >= 90);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(cloud.unacknowledgedMost).toBeLessThanOrEqual(100);
  });

  it("copes with acknowledgements that come in another order", async () => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "swapping" };
    outbox.emitMany(600);
    const uplinks = start();
    await outbox.drained();
    expect(ids(cloud)).toEqual(outbox.entries.map(({ seq }) => idOf(outbox, seq)));
    expect(uplinks.figures()["cloud"]?.faults).toBe(0);
  });

  it("uses packet ids again and again without mixing them up", async () => {
    const { cloud, outbox, start } = await opened();
    const data = Buffer.from("1");
    outbox.emitMany(70_000, { data });
    start({ format: "raw", topic: "t" });
    await outbox.drained();
    expect(cloud.arrived).toHaveLength(70_000);
  });

  it("keeps what it writes ahead bounded towards a server that does not read", async () => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "deaf" };
    outbox.emitMany(5000, { data: JSON.stringify("x".repeat(2000)) });
    const uplinks = start({ timeout: "300ms" });
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 1);
    expect(outbox.takenMost).toBeLessThanOrEqual(2048);
    cloud.behaviour = { at: "well" };
    await outbox.drained();
    expect(outbox.count("delivered")).toBe(5000);
  });

  it.each([
    [1, "UPLINK_DENIED"],
    [2, "UPLINK_DENIED"],
    [3, "UPLINK_BUSY"],
    [5, "UPLINK_DENIED"],
  ])("understands return code %i of CONNACK", async (code, expected) => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "refusing", code };
    outbox.emitMany(3);
    const uplinks = start();
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 1);
    expect(uplinks.status()[0]?.fault?.code).toBe(expected);
    expect(outbox.receipts.size).toBe(0);
  });

  it("sends nothing out of order and gives nothing up while every message is hung up on", async () => {
    const { cloud, outbox, lines, start } = await opened();
    cloud.behaviour = { at: "resetting", after: 0 };
    outbox.emitMany(50);
    const uplinks = start({ backoff: "1ms", backoffMax: "4ms" });
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 40);
    expect(outbox.receipts.size).toBe(0);
    expect(uplinks.status()[0]?.fault?.code).toBe("UPLINK_HUNG_UP");
    expect(lines.filter((line) => line.includes("uplink is down"))).toHaveLength(1);
    cloud.behaviour = { at: "well" };
    await outbox.drained();
    expect(outbox.count("delivered")).toBe(50);
  });

  it("finds several poisoned messages next to each other", async () => {
    const { cloud, outbox, start } = await opened();
    for (let i = 0; i < 60; i++) {
      const bad = i >= 20 && i < 23;
      outbox.emit({ data: JSON.stringify(bad ? "poison" : "fine"), handler: bad ? 2 : 1 });
    }
    cloud.poison = "poison";
    start({ backoff: "1ms", backoffMax: "4ms" });
    await outbox.drained();
    const rejected = outbox.order.filter(({ verdict }) => verdict === "rejected");
    expect(rejected.map(({ seq }) => seq)).toEqual([20, 21, 22]);
    expect(rejected[0]?.failure?.code).toBe("UPLINK_POISON");
    expect(outbox.count("delivered")).toBe(57);
    // Order per key holds for what arrived, repeats aside.
    for (const key of ["key-0", "key-1", "key-2", "key-3", "key-4"]) {
      const firsts = [...new Set(ids(cloud))];
      const mine = outbox.entries
        .filter((entry) => entry.key === key)
        .map(({ seq }) => firsts.indexOf(idOf(outbox, seq)));
      const seen = mine.filter((at) => at >= 0);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    }
  });

  it("rejects what no MQTT packet can carry, by itself", async () => {
    const { cloud, outbox, start } = await opened();
    outbox.emit();
    outbox.emit({ topic: "x".repeat(70_000) });
    outbox.emit();
    start({ topic: "a/{topic}" });
    await outbox.drained();
    expect(outbox.receipts.get(1)).toMatchObject({ verdict: "rejected", failure: { code: "UPLINK_REJECTED" } });
    expect(ids(cloud)).toEqual([idOf(outbox, 0), idOf(outbox, 2)]);
  });
});

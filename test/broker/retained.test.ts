import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { publishPacket, RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";
import type { TestBroker } from "../doubles/test-broker.ts";

const retain = { retain: true } as const;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function keptBytes(): number {
  collect();
  return process.memoryUsage().arrayBuffers;
}

async function retained(
  it: TestBroker,
  filter: string,
  qos: 0 | 1 | 2 = 0,
): Promise<[topic: string, payload: string, qos: number][]> {
  const device = await RawMqtt.login(it.port, { clientId: "asker" });
  device.send(subscribePacket(1, [filter, qos]));
  await device.next();
  await device.ping();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await device.ping();
  const got = device.packets.map((one) => {
    if (one.cmd !== "publish" || !one.retain) throw new Error(`not retained: ${JSON.stringify(one)}`);
    return [one.topic, one.payload.toString(), one.qos] as [string, string, number];
  });
  device.cut();
  return got.toSorted(([a], [b]) => a.localeCompare(b));
}

async function publish(it: TestBroker, ...packets: Buffer[]): Promise<void> {
  const device = await RawMqtt.login(it.port, { clientId: "publisher" });
  device.send(...packets);
  await device.ping();
  await expect.poll(() => it.ingress.staged).toBe(0);
  device.cut();
}

it("a retained message reaches later subscribers, at the lower QoS, and survives a restart", async () => {
  await using it = await openBroker();
  await publish(
    it,
    publishPacket("a/1", "one", 1, 1, retain),
    publishPacket("a/2", "two", 0, undefined, retain),
    publishPacket("a/3", "not", 0),
  );
  await it.restart();
  expect(await retained(it, "a/+", 2)).toEqual([
    ["a/1", "one", 1],
    ["a/2", "two", 0],
  ]);
  expect(await retained(it, "a/1", 0)).toEqual([["a/1", "one", 0]]);
});

it("a retained message keeps the memory of its own bytes, and not of those that came with it (G7)", async () => {
  await using it = await openBroker();
  const before = keptBytes();
  const device = await RawMqtt.login(it.port, { clientId: "publisher" });
  for (let n = 1; n <= 300; n++) {
    device.send(
      publishPacket(`own/${n}`, "x", 1, n, retain),
      publishPacket("other", Buffer.alloc(30_000), 1, 1000 + n),
    );
    await device.ping();
    // What else goes on between two of them, from the same pools of small buffers.
    for (let i = 0; i < 3; i++) Buffer.from("y".repeat(30_000));
  }
  await expect.poll(() => it.ingress.staged).toBe(0);
  device.cut();
  // V8 gives such memory back on a thread of its own, some time after it has been collected. What is kept stays.
  await expect.poll(() => keptBytes() - before, { timeout: 5000 }).toBeLessThan(300 * 16_384);
});

it("the last one counts, an empty payload removes it, also after a restart", async () => {
  await using it = await openBroker();
  await publish(
    it,
    publishPacket("a", "1", 1, 1, retain),
    publishPacket("a", "2", 1, 2, retain),
    publishPacket("b", "x", 1, 3, retain),
    publishPacket("b", "", 1, 4, retain),
  );
  expect(await retained(it, "#")).toEqual([["a", "2", 0]]);
  await it.restart();
  expect(await retained(it, "#")).toEqual([["a", "2", 0]]);
  expect(it.broker.figures()).toMatchObject({ retained: 1, retainedBytes: 2 });
});

it("an online subscriber sees it as an ordinary message [MQTT-3.3.1-9], in order with those that are not retained", async () => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port);
  device.send(subscribePacket(1, ["a", 1]));
  await device.next();
  device.send(...Array.from({ length: 20 }, (_, i) => publishPacket("a", `${i}`, 1, i + 1, { retain: i % 2 === 0 })));
  const got = (await device.take(40)).filter((one) => one.cmd === "publish");
  expect(got.map((one) => [one.payload.toString(), one.retain])).toEqual(
    Array.from({ length: 20 }, (_, i) => [`${i}`, false]),
  );
});

it("retained messages are bounded in number and bytes: what does not fit is delivered and not retained", async () => {
  await using it = await openBroker({ retainedMax: 2, retainedBytesMax: "100B" });
  await publish(
    it,
    publishPacket("a", "1", 1, 1, retain),
    publishPacket("b", "2", 1, 2, retain),
    publishPacket("c", "no third", 1, 3, retain),
    publishPacket("a", Buffer.alloc(200), 1, 4, retain),
  );
  expect(await retained(it, "#")).toEqual([
    ["a", "1", 0],
    ["b", "2", 0],
  ]);
  expect(it.broker.figures()).toMatchObject({ retained: 2, retainedRefused: 2 });
  expect(it.ingress.events).toHaveLength(4);
  await publish(it, publishPacket("a", "", 1, 1, retain), publishPacket("c", "now", 1, 2, retain));
  expect(await retained(it, "c")).toEqual([["c", "now", 0]]);
});

it("thousands of retained messages reach a subscriber that reads slowly, all of them", async () => {
  await using it = await openBroker({ outboundMax: "256KB", inflightPerDeviceMax: 1000 });
  const payload = Buffer.alloc(2000);
  await publish(it, ...Array.from({ length: 4000 }, (_, i) => publishPacket(`r/${i}`, payload, 1, i + 1, retain)));
  await expect.poll(() => it.broker.figures().retained).toBe(4000);
  const device = await RawMqtt.login(it.port, { clientId: "slow" });
  device.socket.pause();
  device.send(subscribePacket(1, ["r/#", 1]));
  await new Promise((resolve) => setTimeout(resolve, 200));
  device.socket.resume();
  await device.until(() => device.packets.length === 4001);
  expect(it.broker.figures()).toMatchObject({ outboundDropped: 0, outboundDisconnects: 0 });
});

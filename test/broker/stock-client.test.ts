import { connectAsync } from "mqtt";
import type { IClientOptions, MqttClient } from "mqtt";
import { expect, it } from "vitest";
import { openBroker } from "../doubles/test-broker.ts";

const open = (port: number, options: IClientOptions = {}): Promise<MqttClient> =>
  connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...options });

type Received = [topic: string, payload: string, qos: number, retain: boolean];

const received = (client: MqttClient): Promise<Received> =>
  new Promise((resolve) => {
    client.once("message", (topic, payload, packet) => resolve([topic, payload.toString(), packet.qos, packet.retain]));
  });

it("a stock client publishes and subscribes at every QoS", async () => {
  await using it = await openBroker();
  const client = await open(it.port);
  expect(await client.subscribeAsync("plant/+/temperature", { qos: 2 })).toMatchObject([{ qos: 2 }]);
  for (const qos of [0, 1, 2] as const) {
    const message = received(client);
    await client.publishAsync(`plant/${qos}/temperature`, `${qos}`, { qos });
    expect(await message).toEqual([`plant/${qos}/temperature`, `${qos}`, qos, false]);
  }
  expect(it.ingress.events.map((event) => event.qos)).toEqual([0, 1, 2]);
  await client.unsubscribeAsync("plant/+/temperature");
  await client.publishAsync("plant/3/temperature", "unheard", { qos: 1 });
  expect(it.broker.figures().subscriptions).toBe(0);
  await client.endAsync();
});

it("a message that nobody subscribed to never reaches aedes", async () => {
  await using it = await openBroker();
  const client = await open(it.port);
  await client.subscribeAsync("other/#");
  for (let i = 0; i < 10; i++) await client.publishAsync("plant/a", "x", { qos: 1 });
  expect(it.broker.figures()).toMatchObject({ localDelivered: 0, published: [0, 10, 0] });
  await client.endAsync();
});

it("a subscriber gets messages in the order in which they were sent", async () => {
  await using it = await openBroker();
  const [publisher, subscriber] = await Promise.all([open(it.port), open(it.port)]);
  const got: number[] = [];
  subscriber.on("message", (_topic, payload) => got.push(Number(payload)));
  await subscriber.subscribeAsync("n", { qos: 1 });
  await Promise.all(Array.from({ length: 500 }, (_, i) => publisher.publishAsync("n", `${i}`, { qos: 1 })));
  await expect.poll(() => got.length).toBe(500);
  expect(got).toEqual(Array.from({ length: 500 }, (_, i) => i));
  await Promise.all([publisher.endAsync(), subscriber.endAsync()]);
});

it("a QoS 1 message is not lost when a QoS 0 one overtakes it on its way to the same subscriber", async () => {
  await using it = await openBroker();
  const [publisher, subscriber] = await Promise.all([open(it.port), open(it.port)]);
  const got = new Set<string>();
  subscriber.on("message", (_topic, payload) => got.add(payload.toString()));
  await subscriber.subscribeAsync("#", { qos: 1 });
  for (let i = 0; i < 100; i++) {
    publisher.publish("a", `one ${i}`, { qos: 1 });
    publisher.publish("b", `nought ${i}`, { qos: 0 });
  }
  await expect.poll(() => got.size).toBe(200);
  await Promise.all([publisher.endAsync(), subscriber.endAsync()]);
});

it("a device whose filters overlap gets one copy, at the highest QoS that was granted [MQTT-3.3.5-1]", async () => {
  await using it = await openBroker();
  const client = await open(it.port);
  const got: number[] = [];
  client.on("message", (_topic, _payload, packet) => got.push(packet.qos));
  await client.subscribeAsync({ "a/#": { qos: 0 }, "a/+": { qos: 1 }, "+/b": { qos: 0 } });
  await client.publishAsync("a/b", "x", { qos: 2 });
  await client.publishAsync("last/b", "x", { qos: 1 });
  await expect.poll(() => got.length).toBe(2);
  expect(got).toEqual([1, 0]);
  await client.endAsync();
});

it("MQTT 5 is refused with return code 1", async () => {
  await using it = await openBroker();
  await expect(open(it.port, { protocolVersion: 5 })).rejects.toMatchObject({ code: 1 });
});

it("a client without an id gets one of its own, and its events bear it", async () => {
  await using it = await openBroker();
  const client = await open(it.port, { clientId: "" });
  await client.publishAsync("a", "x", { qos: 1 });
  expect(it.ingress.events[0]?.device).toMatch(/^auto-[0-9a-f-]{36}$/);
  await client.endAsync();
});

it("the broker itself publishes to local devices, and refuses topics that no device could publish to", async () => {
  await using it = await openBroker();
  const client = await open(it.port);
  await client.subscribeAsync("#", { qos: 1 });
  const message = received(client);
  await it.broker.publish("alarm/oven", Buffer.from("hot"), { qos: 1, retain: true });
  expect(await message).toEqual(["alarm/oven", "hot", 1, false]);
  for (const topic of ["a/#", "$SYS/x", "", "a/+"]) {
    await expect(it.broker.publish(topic, Buffer.from("x"), { qos: 0, retain: false })).rejects.toMatchObject({
      code: "BROKER_TOPIC_INVALID",
    });
  }
  expect(it.ingress.events).toEqual([]);
  await client.endAsync();
});

it("devices are told of as they come and go", async () => {
  const seen: string[] = [];
  await using it = await openBroker({}, { onDevice: (what, device) => seen.push(`${device} ${what}`) });
  const client = await open(it.port, { clientId: "pump" });
  await client.endAsync();
  await expect.poll(() => seen).toEqual(["pump connected", "pump disconnected"]);
});

import { expect, it } from "vitest";
import { ackPacket, packet, publishPacket, RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";
import type { TestBroker } from "../doubles/test-broker.ts";

const persistent = { clientId: "panel", clean: false } as const;

const sessionPresent = async (it: TestBroker, options: object = persistent): Promise<[boolean, RawMqtt]> => {
  const device = await RawMqtt.open(it.port);
  device.send(
    packet({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: 4,
      keepalive: 0,
      clean: false,
      clientId: "panel",
      ...options,
    }),
  );
  const connack = await device.next();
  return [connack.cmd === "connack" && connack.sessionPresent, device];
};

async function subscribed(it: TestBroker, ...filters: [string, 0 | 1 | 2][]): Promise<RawMqtt> {
  const device = await RawMqtt.login(it.port, persistent);
  device.send(subscribePacket(1, ...filters));
  expect(await device.next()).toMatchObject({ cmd: "suback" });
  return device;
}

async function publish(it: TestBroker, topic: string, payloads: readonly string[], qos: 1 | 2 = 1): Promise<void> {
  const publisher = await RawMqtt.login(it.port, { clientId: "publisher" });
  publisher.send(...payloads.map((payload, i) => publishPacket(topic, payload, qos, i + 1)));
  await publisher.take(payloads.length);
  await expect.poll(() => it.broker.figures().localPending).toBe(0);
  publisher.cut();
}

const payloadOf = (one: unknown): string => String((one as { payload: Buffer }).payload);

it("sessionPresent is 1 for a session without subscriptions too [MQTT-3.2.2-2], and 0 for a clean one", async () => {
  await using it = await openBroker();
  const present: boolean[] = [];
  for (const clean of [false, false, true, false]) {
    const [was, device] = await sessionPresent(it, { clean });
    present.push(was);
    device.cut();
  }
  expect(present).toEqual([false, true, false, false]);
});

it("a persistent session gets what was published while it was away, in order, also after a restart", async () => {
  await using it = await openBroker();
  const device = await subscribed(it, ["a/#", 1]);
  device.cut();
  await expect.poll(() => it.broker.figures().devices).toBe(0);
  await publish(it, "a/b", ["1", "2", "3"]);
  await it.restart();
  await publish(it, "a/c", ["4", "5"]);
  expect(it.broker.figures()).toMatchObject({ queued: 5, sessions: 1, subscriptions: 1 });
  const [was, again] = await sessionPresent(it);
  expect(was).toBe(true);
  const got = await again.take(5);
  expect(got.map(payloadOf)).toEqual(["1", "2", "3", "4", "5"]);
  again.send(...got.map((one) => ackPacket("puback", one.messageId as number)));
  await expect.poll(() => it.broker.figures().queued).toBe(0);
});

it("what was sent and not acknowledged comes again with its packet id and DUP [MQTT-4.4.0-1]", async () => {
  await using it = await openBroker();
  const device = await subscribed(it, ["a", 1]);
  await publish(it, "a", ["1", "2"]);
  const first = await device.take(2);
  device.send(ackPacket("puback", first[0]?.messageId as number));
  await expect.poll(() => it.broker.figures().queued).toBe(1);
  device.cut();
  await it.restart();
  const again = await RawMqtt.login(it.port, persistent);
  expect(await again.next()).toMatchObject({ cmd: "publish", dup: true, messageId: first[1]?.messageId });
});

it("a QoS 2 delivery goes on at PUBREL after a reconnect", async () => {
  await using it = await openBroker();
  const device = await subscribed(it, ["a", 2]);
  await publish(it, "a", ["1"], 2);
  const { messageId } = await device.next();
  device.send(ackPacket("pubrec", messageId as number));
  expect(await device.next()).toMatchObject({ cmd: "pubrel", messageId });
  device.cut();
  await it.restart();
  const again = await RawMqtt.login(it.port, persistent);
  expect(await again.next()).toMatchObject({ cmd: "pubrel", messageId });
  again.send(ackPacket("pubcomp", messageId as number));
  await expect.poll(() => it.broker.figures().queued).toBe(0);
});

it("messages that come while a queue is replayed come after it, and none twice", async () => {
  await using it = await openBroker();
  const device = await subscribed(it, ["a", 1]);
  device.cut();
  const before = Array.from({ length: 300 }, (_, i) => `${i}`);
  const during = Array.from({ length: 300 }, (_, i) => `${300 + i}`);
  await publish(it, "a", before.slice(0, 100));
  await publish(it, "a", before.slice(100, 200));
  await publish(it, "a", before.slice(200));
  const again = await RawMqtt.open(it.port);
  const publisher = await RawMqtt.login(it.port, { clientId: "live" });
  again.send(packet({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, keepalive: 0, ...persistent }));
  publisher.send(...during.map((payload, i) => publishPacket("a", payload, 1, i + 1)));
  const got = (await again.take(601)).filter((one) => one.cmd === "publish").map(payloadOf);
  expect(got).toEqual([...before, ...during]);
});

it("subscriptions and unsubscriptions survive a restart, and QoS 0 messages do not queue", async () => {
  await using it = await openBroker();
  const device = await subscribed(it, ["a/#", 1], ["a/b", 1], ["zero", 0], ["$share/g/a", 1]);
  device.send(packet({ cmd: "unsubscribe", messageId: 2, unsubscriptions: ["a/#"] }));
  expect(await device.next()).toMatchObject({ cmd: "unsuback" });
  device.cut();
  await it.restart();
  await publish(it, "a/b", ["covered once, still here"]);
  await publish(it, "a/x", ["no"]);
  await publish(it, "zero", ["no"]);
  await publish(it, "$share/g/a", ["no"]);
  expect(it.broker.figures()).toMatchObject({ queued: 1, subscriptions: 2 });
  const again = await RawMqtt.login(it.port, persistent);
  expect(payloadOf(await again.next())).toBe("covered once, still here");
});

it("a queue is bounded: the oldest go, and are counted", async () => {
  await using it = await openBroker({ queueMax: 3 });
  (await subscribed(it, ["a", 1])).cut();
  await publish(it, "a", ["1", "2", "3", "4", "5"]);
  expect(it.broker.figures()).toMatchObject({ queued: 3, queueDropped: 2 });
  const again = await RawMqtt.login(it.port, persistent);
  expect((await again.take(3)).map(payloadOf)).toEqual(["3", "4", "5"]);
});

it("a queue is bounded: or the newest go", async () => {
  await using it = await openBroker({ queueMax: 3, whenQueueFull: "drop-newest" });
  (await subscribed(it, ["a", 1])).cut();
  await publish(it, "a", ["1", "2", "3", "4", "5"]);
  const again = await RawMqtt.login(it.port, persistent);
  expect((await again.take(3)).map(payloadOf)).toEqual(["1", "2", "3"]);
});

it("a device that reads and never acknowledges does not grow its queue beyond the limit", async () => {
  await using it = await openBroker({ queueMax: 10 });
  const device = await subscribed(it, ["a", 1]);
  await publish(
    it,
    "a",
    Array.from({ length: 50 }, (_, i) => `${i}`),
  );
  expect((await device.take(50)).map(payloadOf)).toHaveLength(50);
  expect(it.broker.figures()).toMatchObject({ queued: 10, queueDropped: 40 });
  await device.ping();
});

it("the number of sessions is bounded: a further one gets CONNACK 3", async () => {
  await using it = await openBroker({ sessionsMax: 1 });
  const one = await RawMqtt.login(it.port, persistent);
  const two = await RawMqtt.open(it.port);
  two.send(
    packet({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, keepalive: 0, clean: false, clientId: "second" }),
  );
  expect(await two.next()).toMatchObject({ cmd: "connack", returnCode: 3 });
  await two.closed();
  await one.ping();
  expect(it.broker.figures().refusedLogins.sessionsMax).toBe(1);
});

it("a session whose device stays away expires, with its queue and its filters", async () => {
  let nowMs = Date.now();
  const clock = { now: () => nowMs, monotonic: () => performance.now() };
  await using it = await openBroker({ sessionExpiry: "1h" }, { clock });
  (await subscribed(it, ["a", 1])).cut();
  await publish(it, "a", ["1"]);
  nowMs += 59 * 60_000;
  await it.restart();
  expect(it.broker.figures().sessions).toBe(1);
  nowMs += 2 * 60_000;
  await it.restart();
  await expect
    .poll(() => it.broker.figures())
    .toMatchObject({ sessions: 0, queued: 0, subscriptions: 0, sessionsExpired: 1 });
});

it("a further filter beyond subscriptionsPerDeviceMax is refused with 0x80", async () => {
  await using it = await openBroker({ subscriptionsPerDeviceMax: 2 });
  const device = await RawMqtt.login(it.port);
  device.send(subscribePacket(1, ["a", 0], ["b", 0], ["c", 0]), subscribePacket(2, ["a", 1]));
  expect(await device.next()).toMatchObject({ cmd: "suback", granted: [0, 0, 128] });
  expect(await device.next()).toMatchObject({ cmd: "suback", granted: [1] });
});

it("$share and $SYS subscriptions are refused and logged, and others in the same packet granted", async () => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port);
  device.send(subscribePacket(1, ["$share/g/a", 1], ["a", 1], ["$SYS/#", 0]));
  expect(await device.next()).toMatchObject({ granted: [128, 1, 128] });
  const lines = it.logged.map((line) => String(line["msg"]));
  expect(lines).toContain("shared subscriptions are not supported: subscribe to the filter itself");
  expect(lines).toContain("topics that start with $ are closed to devices");
});

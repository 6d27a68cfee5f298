import { once } from "node:events";
import { connect } from "node:net";
import { expect, it } from "vitest";
import { brokerSettings } from "#src/broker/settings.ts";
import { connectPacket, packet, publishPacket, RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";

it("at devicesMax a further device gets CONNACK 3, and one that is known may come back", async () => {
  await using it = await openBroker({ devicesMax: 2 });
  await RawMqtt.login(it.port, { clientId: "a" });
  await RawMqtt.login(it.port, { clientId: "b" });
  const third = await RawMqtt.open(it.port);
  third.send(connectPacket({ clientId: "c" }));
  expect(await third.next()).toMatchObject({ cmd: "connack", returnCode: 3 });
  await third.closed();
  await RawMqtt.login(it.port, { clientId: "b" });
  expect(it.broker.figures()).toMatchObject({ devices: 2, refusedLogins: { devicesMax: 1 } });
});

it("logins beyond connectRateMax wait their turn, and all get in", async () => {
  await using it = await openBroker({ connectRateMax: 20 });
  const begun = performance.now();
  await Promise.all(Array.from({ length: 20 }, (_, i) => RawMqtt.login(it.port, { clientId: `d${i}` })));
  expect(it.broker.figures().devices).toBe(20);
  // 5 in each quarter of a second.
  expect(performance.now() - begun).toBeGreaterThan(400);
});

it("connections that have not logged in are bounded, and closed after connectTimeout", async () => {
  await using it = await openBroker({ halfOpenMax: 3, connectTimeout: "300ms" });
  const idle: RawMqtt[] = [];
  for (let n = 1; n <= 3; n++) {
    idle.push(await RawMqtt.open(it.port));
    await expect.poll(() => it.broker.figures().halfOpen).toBe(n);
  }
  idle[0]?.send(connectPacket().subarray(0, 5));
  idle.push(await RawMqtt.open(it.port));
  await idle[0]?.closed();
  expect(it.broker.figures()).toMatchObject({ halfOpen: 3, refusedLogins: { connectTimeout: 0, halfOpenMax: 1 } });
  await Promise.all(idle.map((device) => device.closed()));
  expect(it.broker.figures()).toMatchObject({ halfOpen: 0, refusedLogins: { connectTimeout: 3, halfOpenMax: 1 } });
});

it("connections that say nothing, however many are opened again and again, keep no device out (R3)", async () => {
  await using it = await openBroker({ halfOpenMax: 3 });
  const open = new Set<RawMqtt>();
  let isOver = false;
  const silent = Array.from({ length: 5 }, async () => {
    while (!isOver) {
      const one = await RawMqtt.open(it.port);
      if (isOver) one.cut();
      open.add(one);
      await one.closed();
      open.delete(one);
    }
  });
  for (let n = 1; n <= 5; n++) {
    // Between its connection and its CONNECT others may come; then it tries again, as devices do.
    const login = (): Promise<RawMqtt | undefined> =>
      RawMqtt.login(it.port, { clientId: `honest-${n}` }).catch(() => undefined);
    while ((await login()) === undefined);
  }
  isOver = true;
  expect(it.broker.figures().devices).toBe(5);
  for (const one of open) one.cut();
  await Promise.all(silent);
});

it("one whose login is under way is not crowded out by those that come later (R3)", async () => {
  await using it = await openBroker({ halfOpenMax: 2, connectRateMax: 4 });
  const first = await RawMqtt.login(it.port, { clientId: "first" });
  // Of those, one goes in at each tick; the other one waits its turn.
  const [second, third] = [await RawMqtt.open(it.port), await RawMqtt.open(it.port)];
  second.send(connectPacket({ clientId: "second" }));
  third.send(connectPacket({ clientId: "third" }));
  await first.ping();
  await first.ping();
  const late = await RawMqtt.open(it.port);
  await expect.poll(() => it.broker.figures().devices).toBe(3);
  expect([first.isClosed, second.isClosed, third.isClosed]).toEqual([false, false, false]);
  late.cut();
});

it("a new connection of a device ends the old one [MQTT-3.1.4-2]", async () => {
  await using it = await openBroker();
  const first = await RawMqtt.login(it.port, { clientId: "twin" });
  const second = await RawMqtt.login(it.port, { clientId: "twin" });
  await first.closed();
  second.send(subscribePacket(1, ["a", 0]), publishPacket("a", "x"));
  expect((await second.take(2)).map((one) => one.cmd)).toEqual(["suback", "publish"]);
  expect(it.broker.figures().devices).toBe(1);
});

it("of many connections of one device at a time one stays, and it works", async () => {
  await using it = await openBroker();
  const all = await Promise.all(Array.from({ length: 30 }, () => RawMqtt.open(it.port)));
  for (const [i, one] of all.entries()) one.send(connectPacket({ clientId: "twin", clean: i % 2 === 0 }));
  await expect.poll(() => all.filter((one) => !one.isClosed).length, { timeout: 5000 }).toBe(1);
  const left = all.find((one) => !one.isClosed);
  left?.send(publishPacket("a", "x", 1, 9), subscribePacket(2, ["b", 1]));
  await left?.until(() => left.packets.length >= 3);
  expect(left?.packets.map((one) => one.cmd).toSorted()).toEqual(["connack", "puback", "suback"]);
  expect(it.broker.figures()).toMatchObject({ devices: 1, halfOpen: 0 });
});

it("a device that is silent for one and a half keepalives is disconnected, one that pings is not", async () => {
  await using it = await openBroker();
  const silent = await RawMqtt.login(it.port, { clientId: "silent", keepalive: 1 });
  const lively = await RawMqtt.login(it.port, { clientId: "lively", keepalive: 1 });
  const pings = setInterval(() => lively.send(packet({ cmd: "pingreq" })), 500);
  await silent.closed();
  await new Promise((resolve) => setTimeout(resolve, 500));
  clearInterval(pings);
  expect(lively.isClosed).toBe(false);
  expect(it.broker.figures().keepaliveExpired).toBe(1);
});

it("access decides: CONNACK 5, publishes thrown away, subscriptions refused", async () => {
  const access = {
    connect: (device: string) =>
      device === "stranger" ? ({ at: "denied", returnCode: 5 } as const) : ({ at: "granted" } as const),
    publish: (_device: string, topic: string) => topic !== "secret",
    subscribe: (_device: string, filter: string) => filter !== "secret",
  };
  await using it = await openBroker({}, { access });
  const stranger = await RawMqtt.open(it.port);
  stranger.send(connectPacket({ clientId: "stranger" }));
  expect(await stranger.next()).toMatchObject({ cmd: "connack", returnCode: 5 });
  await stranger.closed();
  const device = await RawMqtt.login(it.port);
  device.send(publishPacket("secret", "x", 1, 1), publishPacket("open", "x", 1, 2), subscribePacket(3, ["secret", 0]));
  expect((await device.take(3)).map((one) => one.cmd).toSorted()).toEqual(["puback", "puback", "suback"]);
  expect(it.ingress.events.map((event) => event.topic)).toEqual(["open"]);
  expect(it.broker.figures()).toMatchObject({ deniedTopics: 1, refusedSubscriptions: 1 });
});

it.each([
  ["mqtt://0.0.0.0:0", "BROKER_LISTENER_OPEN"],
  ["mqtt://192.0.2.7:0", "BROKER_LISTENER_OPEN"],
  ["mqtt://[::]:0", "BROKER_LISTENER_OPEN"],
  ["mqtts://127.0.0.1:0", "BROKER_LISTENER_INVALID"],
  ["127.0.0.1:1883", "BROKER_LISTENER_INVALID"],
  ["mqtt://127.0.0.1:0/path", "BROKER_LISTENER_INVALID"],
])("a listener on %s is refused with %s (B5)", async (url, code) => {
  const good = brokerSettings.parse({ listeners: [{ url: "mqtt://127.0.0.1:0" }] });
  expect(brokerSettings.safeParse({ listeners: [{ url }] }).success).toBe(false);
  const settings = { ...good, listeners: [...good.listeners, { url }] };
  await expect(openBroker({}, { settings })).rejects.toMatchObject({ code, where: url });
});

it("a port that is taken is a fault, and leaves nothing open", async () => {
  await using it = await openBroker();
  const settings = brokerSettings.parse({
    listeners: [{ url: "mqtt://127.0.0.1:0" }, { url: `mqtt://127.0.0.1:${it.port}` }],
  });
  await expect(openBroker({}, { settings })).rejects.toMatchObject({ code: "BROKER_LISTENER_FAILED" });
});

it("closing acknowledges what is in flight, and then disconnects", async () => {
  const it = await openBroker();
  it.ingress.commitAfterMs = 100;
  const device = await RawMqtt.login(it.port);
  device.send(...Array.from({ length: 10 }, (_, i) => publishPacket("a", "x", 1, i + 1)));
  await device.until(() => it.ingress.staged === 10);
  await it.broker.close(2000);
  await device.closed();
  expect(device.packets).toHaveLength(10);
  const socket = connect(it.port, "127.0.0.1");
  await once(socket, "error");
});

it("closing does not wait for a disk that hangs longer than its deadline", async () => {
  const it = await openBroker();
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port);
  device.send(publishPacket("a", "x", 1, 1));
  await device.ping();
  await it.broker.close(200);
  await device.closed();
  expect(device.packets).toEqual([]);
});

import { expect, it } from "vitest";
import { packet, RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";

const will = { topic: "status/pump", payload: Buffer.from("gone"), qos: 1, retain: true } as const;

it("a device that is lost leaves its will: an event, a local message, retained", async () => {
  await using it = await openBroker();
  const watcher = await RawMqtt.login(it.port, { clientId: "watcher" });
  watcher.send(subscribePacket(1, ["status/#", 1]));
  await watcher.next();
  const device = await RawMqtt.login(it.port, { clientId: "pump", will });
  device.cut();
  expect(await watcher.next()).toMatchObject({ cmd: "publish", topic: "status/pump" });
  expect(it.ingress.events).toEqual([{ topic: "status/pump", device: "pump", payload: "gone", qos: 1, retain: true }]);
  expect(it.broker.figures()).toMatchObject({ wills: 1, retained: 1 });
});

it("a device that says DISCONNECT leaves none [MQTT-3.14.4-3], also when it closes in the same breath", async () => {
  await using it = await openBroker();
  for (let i = 0; i < 20; i++) {
    const device = await RawMqtt.login(it.port, { clientId: `pump-${i}`, clean: i % 2 === 0, will });
    device.send(subscribePacket(1, ["a", 1]), packet({ cmd: "disconnect" }));
    device.socket.end();
    await device.closed();
  }
  await expect.poll(() => it.broker.figures().devices).toBe(0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(it.ingress.events).toEqual([]);
});

it("a device that breaks MQTT, or is silent for one and a half keepalives, leaves it", async () => {
  await using it = await openBroker();
  const broken = await RawMqtt.login(it.port, { clientId: "broken", will });
  const silent = await RawMqtt.login(it.port, { clientId: "silent", keepalive: 1, will });
  broken.send(Buffer.from([0xf0, 0]));
  await Promise.all([broken.closed(), silent.closed()]);
  await expect.poll(() => it.ingress.events.map((event) => event.device)).toEqual(["broken", "silent"]);
});

it("the will of a device that was connected when the gateway died is published after the restart, once", async () => {
  await using it = await openBroker();
  await RawMqtt.login(it.port, { clientId: "pump", will });
  // The old broker is not closed: as far as the disk knows, it died here.
  await it.crash();
  await expect.poll(() => it.ingress.events.map((event) => event.payload)).toEqual(["gone"]);
  await it.restart();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(it.ingress.events).toHaveLength(1);
});

it("a will waits while the journal has no room, and is counted when it is refused", async () => {
  await using it = await openBroker();
  it.ingress.admission = "later";
  (await RawMqtt.login(it.port, { clientId: "one", will })).cut();
  await expect.poll(() => it.broker.figures().devices).toBe(0);
  it.ingress.makeRoom();
  await expect.poll(() => it.ingress.events.length).toBe(1);
  it.ingress.admission = "refused";
  (await RawMqtt.login(it.port, { clientId: "two", will })).cut();
  await expect.poll(() => it.broker.figures().refusedWills).toBe(1);
});

it("a will on a $ topic is not published", async () => {
  await using it = await openBroker();
  (await RawMqtt.login(it.port, { clientId: "one", will: { ...will, topic: "$SYS/x" } })).cut();
  await expect.poll(() => it.broker.figures().refusedWills).toBe(1);
  expect(it.ingress.events).toEqual([]);
});

import { expect, it } from "vitest";
import { packet, publishPacket, RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";

const CHUNK = 65_536;

it("a device that floods is held at its limit in flight, and others go on (I2, B4)", async () => {
  await using it = await openBroker({ inflightPerDeviceMax: 20 });
  it.ingress.commitAfterMs = undefined;
  const flooder = await RawMqtt.login(it.port, { clientId: "flooder" });
  const other = await RawMqtt.login(it.port, { clientId: "other" });
  // 8 MB: more than all the buffers on the way.
  const flood = Array.from({ length: 8000 }, (_, i) => publishPacket("flood", Buffer.alloc(1000), 1, (i % 65_535) + 1));
  flooder.send(...flood);
  await other.until(() => it.ingress.staged >= 20);
  other.send(publishPacket("calm", "x", 1, 1));
  await other.ping();
  await other.ping();
  expect(it.ingress.staged).toBe(21);
  expect(it.broker.figures().held).toBe(1);
  expect(flooder.socket.writableLength).toBeGreaterThan(1_000_000);

  it.ingress.commit(21);
  expect(await other.next()).toMatchObject({ cmd: "puback", messageId: 1 });
  await flooder.until(() => it.ingress.staged >= 20);
  expect(it.ingress.staged).toBe(20);

  it.ingress.commitAfterMs = 0;
  it.ingress.commit();
  await flooder.until(() => flooder.packets.length === 8000);
  expect(flooder.packets.every((one, i) => one.messageId === (i % 65_535) + 1)).toBe(true);
});

it("reading goes on below half of the limit, so that the socket is not started and stopped for each packet", async () => {
  await using it = await openBroker({ inflightPerDeviceMax: 20 });
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port);
  device.send(...Array.from({ length: 40 }, (_, i) => publishPacket("a", "x", 1, i + 1)));
  await device.until(() => it.ingress.staged === 20);
  it.ingress.commit(9);
  await device.take(9);
  expect(it.ingress.staged).toBe(11);
  it.ingress.commit(1);
  await device.until(() => it.ingress.staged === 20);
});

it("a ping is answered through a hold that ends within the keepalive", async () => {
  await using it = await openBroker({ inflightPerDeviceMax: 10 });
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port, { keepalive: 1 });
  device.send(...Array.from({ length: 30 }, (_, i) => publishPacket("a", "x", 1, i + 1)));
  await device.until(() => it.ingress.staged === 10);
  const ping = device.ping();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(device.isClosed).toBe(false);
  it.ingress.commitAfterMs = 0;
  it.ingress.commit();
  await ping;
});

it("a device that is held beyond its keepalive is disconnected", async () => {
  await using it = await openBroker({ inflightPerDeviceMax: 10 });
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port, { keepalive: 1 });
  device.send(...Array.from({ length: 30 }, (_, i) => publishPacket("a", "x", 1, i + 1)));
  await device.closed();
  expect(it.broker.figures().keepaliveExpired).toBe(1);
});

it("when the journal says later, nothing is lost and order holds; all go on when there is room", async () => {
  await using it = await openBroker();
  it.ingress.stagedMax = 7;
  const devices = await Promise.all([0, 1, 2].map((n) => RawMqtt.login(it.port, { clientId: `d${n}` })));
  for (const device of devices)
    device.send(...Array.from({ length: 100 }, (_, i) => publishPacket("a", `${i}`, 1, i + 1)));
  for (const device of devices) {
    const acks = await device.take(100);
    expect(acks.map((one) => one.messageId)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  }
  for (const n of [0, 1, 2]) {
    const payloads = it.ingress.events
      .filter((event) => event.device === `d${n}`)
      .map((event) => Number(event.payload));
    expect(payloads).toEqual(Array.from({ length: 100 }, (_, i) => i));
  }
});

it("while the journal says later, at most a chunk of each device's bytes is taken from its socket", async () => {
  await using it = await openBroker();
  it.ingress.admission = "later";
  const device = await RawMqtt.login(it.port);
  const flood = Array.from({ length: 8000 }, () => publishPacket("a", Buffer.alloc(1000), 0));
  device.send(...flood);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(it.ingress.staged).toBe(0);
  expect(device.socket.writableLength).toBeGreaterThan(CHUNK);
  it.ingress.makeRoom();
  await device.until(() => it.ingress.events.length === 8000);
});

it("when the journal refuses, QoS 0 is dropped and counted, QoS 1 ends the connection without an acknowledgement", async () => {
  await using it = await openBroker();
  it.ingress.admission = "refused";
  const device = await RawMqtt.login(it.port);
  device.send(publishPacket("a", "x"), publishPacket("a", "y"));
  await device.ping();
  expect(it.broker.figures().refusedQos0).toBe(2);
  device.send(publishPacket("a", "z", 1, 1));
  await device.closed();
  expect(device.packets).toEqual([]);
  expect(it.broker.figures().refusedConnections).toBe(1);
  expect(it.logged.some((line) => String(line["msg"]).includes("cannot be stored"))).toBe(true);
});

it("local delivery is bounded in messages times subscribers: what somebody wants waits in its socket, the rest goes on", async () => {
  await using it = await openBroker({ localMax: 100, inflightPerDeviceMax: 10_000 });
  const subscribers = await Promise.all(
    Array.from({ length: 50 }, (_, i) => RawMqtt.login(it.port, { clientId: `s${i}` })),
  );
  for (const one of subscribers) one.send(subscribePacket(1, ["loud", 0]));
  await Promise.all(subscribers.map((one) => one.next()));
  it.ingress.commitAfterMs = undefined;
  const loud = await RawMqtt.login(it.port, { clientId: "loud" });
  const quiet = await RawMqtt.login(it.port, { clientId: "quiet" });
  loud.send(...Array.from({ length: 200 }, (_, i) => publishPacket("loud", `${i}`, 1, i + 1)));
  await loud.until(() => it.ingress.staged > 0);
  quiet.send(...Array.from({ length: 200 }, (_, i) => publishPacket("quiet", "x", 1, i + 1)));
  await quiet.ping();
  expect(it.ingress.staged).toBe(202);
  expect(it.broker.figures()).toMatchObject({ localPending: 100, held: 1 });
  it.ingress.commitAfterMs = 0;
  it.ingress.commit();
  await Promise.all(subscribers.map((one) => one.until(() => one.packets.length === 200)));
  for (const one of subscribers) {
    expect(one.packets.map((got) => String((got as { payload: Buffer }).payload))).toEqual(
      Array.from({ length: 200 }, (_, i) => `${i}`),
    );
  }
  await expect.poll(() => it.broker.figures().localPending).toBe(0);
});

it("places in the local delivery are given back when a message is not taken, or lost", async () => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port);
  device.send(subscribePacket(1, ["a", 0]));
  await device.next();
  it.ingress.admission = "refused";
  device.send(publishPacket("a", "x"));
  await device.ping();
  it.ingress.admission = "taken";
  it.ingress.isFailing = true;
  device.send(publishPacket("a", "x", 1, 1));
  await device.closed();
  expect(it.broker.figures().localPending).toBe(0);
});

it.each([
  ["PINGREQs", packet({ cmd: "pingreq" })],
  ["PUBRELs of nothing", packet({ cmd: "pubrel", messageId: 7 })],
])("a chunk full of %s gives others their turn in between", async (_what, one) => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port, { clientId: "busy" });
  const count = 4000;
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  device.send(Buffer.concat(Array.from({ length: count }, () => one)));
  setImmediate(turn);
  await device.until(() => device.packets.length === count);
  isOver = true;
  // One read takes 64 KB, some of them two: without turns of others the whole is done in a handful.
  expect(turns).toBeGreaterThan(count / 256);
});

it("devices that subscribe to thousands of filters at once take turns, and others go on between them", async () => {
  await using it = await openBroker();
  const filters = Array.from({ length: 1000 }, (_, i): [string, 0] => [`${"level/".repeat(20)}${i}`, 0]);
  const many = await Promise.all(
    Array.from({ length: 20 }, (_, i) => RawMqtt.login(it.port, { clientId: `many-${i}` })),
  );
  const other = await RawMqtt.login(it.port, { clientId: "other" });
  for (const device of many) device.send(subscribePacket(1, ...filters));
  await many[0]?.until(() => many.some(({ packets }) => packets.length > 0));
  await other.ping();
  expect(many.filter(({ packets }) => packets.length > 0).length).toBeLessThan(many.length / 2);
  await Promise.all(many.map((device) => device.until(() => device.packets.length > 0)));
  for (const { packets } of many) expect(packets).toMatchObject([{ cmd: "suback", messageId: 1 }]);
});

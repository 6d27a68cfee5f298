import { Level } from "level";
import { expect, it, vi } from "vitest";
import { ackPacket, publishPacket, RawMqtt } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";

const persistent = { clientId: "meter", clean: false } as const;

it("a repeat is not accepted again, with DUP or without, and is answered (I3)", async () => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port, persistent);
  device.send(publishPacket("a", "1", 2, 5));
  await device.next();
  device.send(publishPacket("a", "1", 2, 5, { dup: true }), publishPacket("a", "1", 2, 5));
  expect((await device.take(2)).map((one) => [one.cmd, one.messageId])).toEqual([
    ["pubrec", 5],
    ["pubrec", 5],
  ]);
  expect(it.ingress.events).toHaveLength(1);
  expect(it.broker.figures().repeated).toBe(2);
});

it("a repeat whose first is not committed yet is answered after it (I1)", async () => {
  await using it = await openBroker();
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port, persistent);
  device.send(publishPacket("a", "1", 2, 5), publishPacket("a", "1", 2, 5, { dup: true }));
  await device.ping();
  expect(device.packets).toEqual([]);
  it.ingress.commit();
  await device.take(2);
  expect(it.ingress.events).toHaveLength(1);
});

it("a repeat after a reconnect is not accepted again (I3)", async () => {
  await using it = await openBroker();
  const first = await RawMqtt.login(it.port, persistent);
  first.send(publishPacket("a", "1", 2, 5));
  await first.next();
  first.cut();
  const second = await RawMqtt.login(it.port, persistent);
  second.send(publishPacket("a", "1", 2, 5, { dup: true }));
  expect(await second.next()).toMatchObject({ cmd: "pubrec" });
  second.send(ackPacket("pubrel", 5));
  expect(await second.next()).toMatchObject({ cmd: "pubcomp" });
  expect(it.ingress.events).toHaveLength(1);
});

it("a repeat on a new connection, while the first is still being committed, waits for that commit (R1)", async () => {
  await using it = await openBroker();
  it.ingress.commitAfterMs = undefined;
  const first = await RawMqtt.login(it.port, persistent);
  first.send(publishPacket("a", "1", 2, 5));
  await first.ping();
  first.cut();
  const login = RawMqtt.login(it.port, persistent);
  await new Promise((resolve) => setTimeout(resolve, 50));
  it.ingress.commit();
  const second = await login;
  second.send(publishPacket("a", "1", 2, 5, { dup: true }));
  expect(await second.next()).toMatchObject({ cmd: "pubrec" });
  expect(it.ingress.events).toHaveLength(1);
});

it("a repeat after a restart of the gateway is not accepted again (I3)", async () => {
  await using it = await openBroker();
  const first = await RawMqtt.login(it.port, persistent);
  first.send(publishPacket("a", "1", 2, 5));
  await first.next();
  await it.restart();
  const second = await RawMqtt.login(it.port, persistent);
  second.send(publishPacket("a", "1", 2, 5));
  expect(await second.next()).toMatchObject({ cmd: "pubrec" });
  expect(it.ingress.events).toHaveLength(1);
});

it("after PUBCOMP the packet id is free for the next message", async () => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port, persistent);
  for (const payload of ["1", "2", "3"]) {
    device.send(publishPacket("a", payload, 2, 5));
    await device.next();
    device.send(ackPacket("pubrel", 5));
    expect(await device.next()).toMatchObject({ cmd: "pubcomp", messageId: 5 });
  }
  expect(it.ingress.events.map((event) => event.payload)).toEqual(["1", "2", "3"]);
});

it("a clean session begins without claims [MQTT-3.1.2-6]", async () => {
  await using it = await openBroker();
  const first = await RawMqtt.login(it.port, persistent);
  first.send(publishPacket("a", "1", 2, 5));
  await first.next();
  first.cut();
  const second = await RawMqtt.login(it.port, { ...persistent, clean: true });
  second.send(publishPacket("a", "2", 2, 5));
  await second.next();
  expect(it.ingress.events.map((event) => event.payload)).toEqual(["1", "2"]);
});

it("the messages that wait for PUBREL are bounded: one more closes the connection, and a PUBREL makes room", async () => {
  await using it = await openBroker({ unreleasedPerDeviceMax: 3 });
  const device = await RawMqtt.login(it.port, persistent);
  device.send(...[1, 2, 3].map((id) => publishPacket("a", `${id}`, 2, id)));
  await device.take(3);
  device.send(ackPacket("pubrel", 2), publishPacket("a", "4", 2, 4), publishPacket("a", "1 again", 2, 1));
  expect((await device.take(3)).map((one) => one.cmd)).toEqual(["pubcomp", "pubrec", "pubrec"]);
  device.send(publishPacket("a", "5", 2, 5));
  await device.closed();
  expect(it.ingress.events.map((event) => event.payload)).toEqual(["1", "2", "3", "4"]);
});

it("claims are of one session: one that begins finds none, and its packet ids are for new messages", async () => {
  await using it = await openBroker();
  const leftover = { kind: "topic", topic: "a", device: "meter", payload: Buffer.from("1"), qos: 2 } as const;
  it.ingress.accept({ ...leftover, retain: false, hops: 0, timeMs: 0 }, { committed: () => {} }, 0, 5);
  await expect.poll(() => it.ingress.events.length).toBe(1);
  const device = await RawMqtt.login(it.port, persistent);
  expect(device.packets).toEqual([]);
  device.send(publishPacket("a", "2", 2, 5));
  expect(await device.next()).toMatchObject({ cmd: "pubrec" });
  expect(it.ingress.events.map((event) => event.payload)).toEqual(["1", "2"]);
});

it("claims of clean sessions end with the gateway, also when it ends without a word", async () => {
  await using it = await openBroker();
  const kept = await RawMqtt.login(it.port, persistent);
  const clean = await RawMqtt.login(it.port, { clientId: "auto-1", clean: true });
  for (const device of [kept, clean]) {
    device.send(publishPacket("a", "1", 2, 5));
    await device.next();
  }
  expect([...it.ingress.claimants()]).toEqual(["meter", "auto-1"]);
  await it.crash();
  expect([...it.ingress.claimants()]).toEqual(["meter"]);
  expect([...it.ingress.claimed("meter")]).toEqual([5]);
});

it("a login waits until it is on disk that its session began, or that the one before is gone", async () => {
  await using it = await openBroker();
  const batch = vi.spyOn(Level.prototype, "batch");
  const keysBefore = async (login: () => Promise<unknown>): Promise<string[]> => {
    batch.mockClear();
    await login();
    const writes = batch.mock.calls as unknown as [{ type: string; key: string }[], { sync: boolean }][];
    const synced = writes.slice(0, 1 + writes.findLastIndex(([, { sync }]) => sync));
    return synced.flatMap(([operations]) => operations.map(({ type, key }) => `${type} ${key}`));
  };
  try {
    expect(await keysBefore(() => RawMqtt.login(it.port, persistent))).toContain("put s\0meter");
    expect(await keysBefore(() => RawMqtt.login(it.port, persistent))).toEqual([]);
    expect(await keysBefore(() => RawMqtt.login(it.port, { ...persistent, clean: true }))).toContain("del s\0meter");
    expect(await keysBefore(() => RawMqtt.login(it.port, { clientId: "new", clean: true }))).toEqual([]);
  } finally {
    batch.mockRestore();
  }
});

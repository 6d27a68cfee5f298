import { expect, it } from "vitest";
import { connectPacket, publishPacket, RawMqtt } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";

const length = (bytes: number): Buffer => {
  const digits: number[] = [];
  for (let left = bytes; digits.length === 0 || left > 0; left = Math.floor(left / 128))
    digits.push((left % 128) | (left >= 128 ? 0x80 : 0));
  return Buffer.from(digits);
};

it("a packet of packetMax is taken, whatever pieces it comes in, and one a byte longer closes the connection", async () => {
  await using it = await openBroker({ packetMax: "100KB" });
  const device = await RawMqtt.login(it.port);
  const overhead = publishPacket("a", "", 1, 1).length + 2;
  const largest = publishPacket("a", Buffer.alloc(100 * 1024 - overhead, "x"), 1, 1);
  expect(largest).toHaveLength(100 * 1024);
  device.send(largest);
  expect(await device.next()).toMatchObject({ cmd: "puback" });
  for (let at = 0; at < largest.length; at += 7777) {
    device.send(largest.subarray(at, at + 7777));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(await device.next()).toMatchObject({ cmd: "puback" });
  expect(it.ingress.events.map((event) => event.payload.length)).toEqual([
    100 * 1024 - overhead,
    100 * 1024 - overhead,
  ]);
  device.send(publishPacket("a", Buffer.alloc(100 * 1024 - overhead + 1), 1, 1));
  await device.closed();
  expect(it.broker.figures().oversized).toBe(1);
});

it("a packet that announces too much closes the connection before it comes", async () => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port);
  device.send(Buffer.concat([Buffer.of(0x30), length(256 * 1024 * 1024 - 1)]));
  await device.closed();
});

it("before the login the limit is loginPacketMax", async () => {
  await using it = await openBroker({ loginPacketMax: "1KB" });
  const large = await RawMqtt.open(it.port);
  large.send(connectPacket({ will: { topic: "t", payload: Buffer.alloc(2000), qos: 0, retain: false } }));
  await large.closed();
  const huge = await RawMqtt.open(it.port);
  huge.send(Buffer.concat([Buffer.of(0x10), length(256 * 1024 * 1024 - 1)]));
  await huge.closed();
  expect(it.broker.figures().oversized).toBe(2);
  await RawMqtt.login(it.port);
});

it("of packets that have come in part, and together take more than inboundTotalMax, the one goes that began first (G7)", async () => {
  await using it = await openBroker({ packetMax: "100KB", inboundTotalMax: "150KB" });
  const packet = publishPacket("a", Buffer.alloc(90 * 1024, "x"), 1, 1);
  const part = async (clientId: string, bytes: number): Promise<RawMqtt> => {
    const device = await RawMqtt.login(it.port, { clientId });
    device.send(packet.subarray(0, bytes));
    return device;
  };
  const small = await part("small", 3000);
  const first = await part("first", packet.length - 1);
  await expect.poll(() => it.broker.figures().inboundBytes).toBeGreaterThanOrEqual(90 * 1024);
  const second = await part("second", packet.length - 1);
  await first.closed();
  expect(it.broker.figures()).toMatchObject({ inboundDisconnects: 1, devices: 2 });
  for (const device of [second, small]) {
    device.send(packet.subarray(device === small ? 3000 : packet.length - 1));
    expect(await device.next()).toMatchObject({ cmd: "puback" });
  }
  expect(it.broker.figures()).toMatchObject({ inboundBytes: 0, inboundDisconnects: 1 });
});

it("what a connection leaves in part when it ends is not counted any more", async () => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port);
  device.send(publishPacket("a", Buffer.alloc(90 * 1024, "x"), 1, 1).subarray(0, 80_000));
  await expect.poll(() => it.broker.figures().inboundBytes).toBeGreaterThan(4096);
  device.cut();
  await expect.poll(() => it.broker.figures().inboundBytes).toBe(0);
});

import { expect, it } from "vitest";
import { publishPacket, RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";
import type { TestBroker } from "../doubles/test-broker.ts";

const SOON = { timeout: 10_000 };

/** aedes' own remedy for a device that stalls all others: to cut it off after so long. */
const DRAIN_TIMEOUT_MS = 5000;
const PAYLOAD = Buffer.alloc(10_000);

async function stalled(
  it: TestBroker,
  count: number,
  qos: 0 | 1,
  options: { clean: boolean } = { clean: true },
): Promise<RawMqtt[]> {
  return await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const device = await RawMqtt.login(it.port, { clientId: `stalled-${i}`, ...options });
      device.send(subscribePacket(1, ["flood/#", qos]));
      await device.next();
      device.socket.pause();
      return device;
    }),
  );
}

/** Times from publish to arrival at somebody who reads, on another topic, one after the other. */
async function latencies(it: TestBroker, samples: number, between: () => void): Promise<number[]> {
  const device = await RawMqtt.login(it.port, { clientId: "prompt" });
  device.send(subscribePacket(1, ["calm", 1]));
  await device.next();
  const times: number[] = [];
  for (let i = 0; i < samples; i++) {
    between();
    const begun = performance.now();
    device.send(publishPacket("calm", "x", 1, 1));
    await device.take(2);
    times.push(performance.now() - begun);
  }
  device.cut();
  return times.toSorted((a, b) => a - b);
}

it.each([
  { count: 1, payloadBytes: 10_000, burst: 20, samples: 40 },
  { count: 500, payloadBytes: 2000, burst: 1, samples: 15 },
])(
  "$count devices that subscribe and stop reading delay nobody (B4)",
  async ({ count, payloadBytes, burst, samples }) => {
    await using it = await openBroker({ outboundMax: "64KB", inflightPerDeviceMax: 1000, connectRateMax: 10_000 });
    const devices = await stalled(it, count, 0);
    const flooder = await RawMqtt.login(it.port, { clientId: "flooder" });
    let sent = 0;
    const flood = publishPacket("flood/a", Buffer.alloc(payloadBytes), 1, 1);
    const times = await latencies(it, samples, () => {
      for (let i = 0; i < burst; i++, sent++) flooder.send(flood);
    });
    const p99 = times[Math.floor(times.length * 0.99)] as number;
    console.log(
      `${count} stalled: p50 ${times[times.length >> 1]?.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms for others`,
    );
    // 100 ms is what is promised, and measured where nothing else runs; here only that nobody waits for a timeout.
    expect(p99).toBeLessThan(DRAIN_TIMEOUT_MS);
    await flooder.until(() => flooder.packets.length === sent);
    const figures = it.broker.figures();
    expect(figures.outboundDisconnects).toBe(0);
    if (count === 1) expect(figures.outboundDropped).toBeGreaterThan(0);
    for (const device of devices) device.cut();
  },
);

it("dropped messages are whole: what a device gets after it reads again is well formed", async () => {
  await using it = await openBroker({ outboundMax: "64KB", inflightPerDeviceMax: 1000 });
  const [device] = await stalled(it, 1, 0);
  const flooder = await RawMqtt.login(it.port, { clientId: "flooder" });
  flooder.send(...Array.from({ length: 1000 }, (_, i) => publishPacket("flood/a", PAYLOAD, 1, i + 1)));
  await flooder.take(1000);
  await expect.poll(() => it.broker.figures().outboundDropped, SOON).toBeGreaterThan(0);
  device?.socket.resume();
  await expect
    .poll(() => (it.broker.figures().localPending === 0 ? device?.packets.length : 0), SOON)
    .toBeGreaterThan(0);
  await device?.ping();
  expect(device?.packets.every((one) => one.cmd === "publish" && one.payload.length === PAYLOAD.length)).toBe(true);
  const lines = it.logged.filter((line) => String(line["msg"]).includes("too slowly"));
  expect(lines).toHaveLength(1);
});

it("a QoS 1 message is not dropped: the device is disconnected, and its session keeps the messages", async () => {
  await using it = await openBroker({ outboundMax: "64KB", inflightPerDeviceMax: 1000, queueMax: 5000 });
  const [device] = await stalled(it, 1, 1, { clean: false });
  const flooder = await RawMqtt.login(it.port, { clientId: "flooder" });
  flooder.send(...Array.from({ length: 600 }, (_, i) => publishPacket("flood/a", PAYLOAD, 1, i + 1)));
  await flooder.take(600);
  await expect.poll(() => it.broker.figures().outboundDisconnects, SOON).toBe(1);
  await expect.poll(() => it.broker.figures().localPending, SOON).toBe(0);
  expect(it.broker.figures()).toMatchObject({ devices: 1, queued: 600, queueDropped: 0 });
  device?.cut();
  // It comes back, reads at leisure, and gets all of it: 6 MB through a buffer of 64 KB.
  const again = await RawMqtt.login(it.port, { clientId: "stalled-0", clean: false });
  again.socket.pause();
  await new Promise((resolve) => setTimeout(resolve, 100));
  again.socket.resume();
  await again.until(() => again.packets.length === 600);
  expect(it.broker.figures().outboundDisconnects).toBe(1);
});

it("the bytes waiting for all devices together are bounded", async () => {
  await using it = await openBroker({ outboundMax: "10MB", outboundTotalMax: "4MB", inflightPerDeviceMax: 1000 });
  const devices = await stalled(it, 10, 0);
  const flooder = await RawMqtt.login(it.port, { clientId: "flooder" });
  flooder.send(...Array.from({ length: 700 }, (_, i) => publishPacket("flood/a", PAYLOAD, 1, i + 1)));
  await flooder.take(700);
  await expect.poll(() => it.broker.figures().localPending, SOON).toBe(0);
  expect(it.broker.figures().outboundBytes).toBeLessThan(5 * 1024 ** 2);
  expect(it.broker.figures().outboundDropped).toBeGreaterThan(0);
  for (const device of devices) device.cut();
});

/** Broker.publish: what comes from within the gateway, whose sender lets go of it when the broker says that it has it. */
import { Level } from "level";
import { afterEach, expect, it, vi } from "vitest";
import { RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";
import type { TestBroker } from "../doubles/test-broker.ts";

afterEach(() => void vi.restoreAllMocks());

async function away(it: TestBroker): Promise<void> {
  const device = await RawMqtt.login(it.port, { clientId: "panel", clean: false });
  device.send(subscribePacket(1, ["a/#", 1]));
  await device.next();
  device.cut();
  await expect.poll(() => it.broker.figures().devices).toBe(0);
}

interface Syncs {
  begun: number;
  done: number;
  release: () => void;
}

/** Synced writes wait until they are released. */
function holdSyncs(): Syncs {
  const gate = Promise.withResolvers<void>();
  const syncs: Syncs = { begun: 0, done: 0, release: gate.resolve };
  const batch = Level.prototype.batch as (...args: unknown[]) => Promise<void>;
  vi.spyOn(Level.prototype, "batch").mockImplementation(async function hold(this: unknown, ...args: unknown[]) {
    const { sync } = args[1] as { sync: boolean };
    if (sync) syncs.begun++;
    if (sync) await gate.promise;
    await batch.apply(this, args);
    if (sync) syncs.done++;
  } as never);
  return syncs;
}

it("of QoS 1, publish() resolves only after what it queued for a session that is away is synced", async () => {
  await using it = await openBroker();
  await away(it);
  const syncs = holdSyncs();
  let isResolved = false;
  const published = it.broker.publish("a/b", Buffer.from("x"), { qos: 1, retain: false });
  void published.then(() => (isResolved = true));
  await expect.poll(() => it.broker.figures().queued).toBe(1);
  await expect.poll(() => isResolved || syncs.begun > 0).toBe(true);
  expect(isResolved).toBe(false);
  syncs.release();
  await published;
  expect(syncs.done).toBe(1);
  await it.crash();
  expect(it.broker.figures().queued).toBe(1);
});

it("publishes of one turn share a sync", async () => {
  await using it = await openBroker();
  await away(it);
  const syncs = holdSyncs();
  syncs.release();
  await Promise.all(
    Array.from({ length: 256 }, (_, i) => it.broker.publish("a/b", Buffer.from(`${i}`), { qos: 1, retain: false })),
  );
  expect(it.broker.figures().queued).toBe(256);
  expect(syncs.done).toBeGreaterThan(0);
  expect(syncs.done).toBeLessThanOrEqual(4);
});

it("what nobody keeps waits for no disk", async () => {
  await using it = await openBroker();
  const device = await RawMqtt.login(it.port);
  device.send(subscribePacket(1, ["a", 1]));
  await device.next();
  // What the login wrote is synced with it.
  await it.broker.publish("b", Buffer.from("x"), { qos: 1, retain: false });
  const syncs = holdSyncs();
  await it.broker.publish("a", Buffer.from("x"), { qos: 1, retain: false });
  await it.broker.publish("a", Buffer.from("x"), { qos: 0, retain: false });
  expect((await device.take(2)).map((one) => one.cmd)).toEqual(["publish", "publish"]);
  expect(syncs.begun).toBe(0);
  syncs.release();
});

it("when the broker closes before that, publish() says so", async () => {
  await using it = await openBroker();
  await away(it);
  vi.spyOn(Level.prototype, "batch").mockRejectedValue(new Error("no space left on device"));
  const published = it.broker.publish("a/b", Buffer.from("x"), { qos: 1, retain: false });
  published.catch(() => {});
  await expect.poll(() => it.broker.figures().storeFailures).toBeGreaterThan(0);
  await it.broker.close(100);
  await expect(published).rejects.toMatchObject({ code: "BROKER_STORE_FAILED" });
  await expect(it.broker.publish("a/b", Buffer.from("x"), { qos: 1, retain: false })).rejects.toMatchObject({
    code: "BROKER_STORE_FAILED",
  });
  vi.restoreAllMocks();
  await it.restart();
});

it("publishes to a topic that no device could publish to are refused", async () => {
  await using it = await openBroker();
  for (const topic of ["", "a/#", "$SYS/x"])
    await expect(it.broker.publish(topic, Buffer.of(), { qos: 0, retain: false })).rejects.toMatchObject({
      code: "BROKER_TOPIC_INVALID",
    });
});

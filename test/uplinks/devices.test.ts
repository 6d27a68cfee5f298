/** The uplink to local devices: what the broker's answers mean for the outbox. */
import { expect, it } from "vitest";
import { Fault } from "#src/fault.ts";
import type { OutboxEntry } from "#src/task.ts";
import { openDevices } from "#src/uplinks/devices.ts";

const entries = ["a", "bad", "b", "down", "c", "bad"].map((topic) => ({
  topic,
  data: Buffer.from("{}"),
  qos: 1,
  retain: false,
})) as unknown as OutboxEntry[];

const broker = {
  async publish(topic: string): Promise<void> {
    if (topic === "bad") throw new Fault("BROKER_TOPIC_INVALID", "bad");
    if (topic === "down") throw new Fault("BROKER_STORE_FAILED", "closed");
  },
};

it("rejects what the broker will never take, and keeps what it could not keep and all behind it", async () => {
  const devices = openDevices(() => broker);
  const { signal } = new AbortController();
  expect(await devices.send(entries, signal)).toEqual({
    acked: 3,
    rejected: [{ index: 1, failure: { code: "BROKER_TOPIC_INVALID", message: "bad" } }],
    fault: expect.objectContaining({ code: "BROKER_STORE_FAILED" }),
  });
  expect(await devices.send(entries.slice(0, 3), signal)).toMatchObject({ acked: 3, rejected: [{ index: 1 }] });
  expect(await openDevices(() => undefined).send(entries, signal)).toMatchObject({ acked: 0 });
});

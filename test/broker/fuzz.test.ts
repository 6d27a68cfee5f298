import fc from "fast-check";
import { expect, it } from "vitest";
import { ackPacket, packet, publishPacket, RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";

const topic = fc.stringMatching(/^[a-c/+#$]{0,6}$/);
const id = fc.integer({ min: 0, max: 3 });
const qos = fc.constantFrom<0 | 1 | 2>(0, 1, 2);

/** Packets that are nearly right: the generator refuses few things, the broker many. */
const sound = fc.oneof(
  fc
    .tuple(topic, qos, id)
    .map(([to, q, n]) => publishPacket(to === "" ? "a" : to, "x", q, q === 0 ? undefined : n + 1)),
  fc.tuple(id, topic, qos).map(([n, filter, q]) => subscribePacket(n + 1, [filter, q])),
  fc
    .tuple(fc.constantFrom<"puback" | "pubrec" | "pubrel" | "pubcomp">("puback", "pubrec", "pubrel", "pubcomp"), id)
    .map(([cmd, n]) => ackPacket(cmd, n + 1)),
  fc.constant(packet({ cmd: "pingreq" })),
);
const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((array) => Buffer.from(array));
const flipped = fc.tuple(sound, fc.nat(), fc.integer({ min: 1, max: 255 })).map(([one, at, mask]) => {
  const copy = Buffer.from(one);
  copy[at % copy.length] = (copy[at % copy.length] as number) ^ mask;
  return copy;
});

it("whatever bytes come, the broker lives, and another device is served (B3)", async () => {
  await using it = await openBroker({ connectRateMax: 100_000 });
  const other = await RawMqtt.login(it.port, { clientId: "other" });
  let served = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.boolean(),
      fc.array(
        fc.oneof({ weight: 3, arbitrary: sound }, { weight: 1, arbitrary: flipped }, { weight: 1, arbitrary: bytes }),
        { maxLength: 12 },
      ),
      fc.nat(60),
      async (isLoggedIn, clean, packets, cutAt) => {
        const device = await (isLoggedIn ? RawMqtt.login(it.port, { clientId: "fuzz", clean }) : RawMqtt.open(it.port));
        const all = Buffer.concat(packets);
        device.send(all.subarray(0, cutAt));
        await new Promise((resolve) => setImmediate(resolve));
        device.send(all.subarray(cutAt));
        other.send(publishPacket("still", `${++served}`, 1, (served % 60_000) + 1));
        await other.until(() => other.packets.some((one) => one.messageId === (served % 60_000) + 1));
        other.packets.length = 0;
        device.cut();
      },
    ),
    { numRuns: 300 },
  );
  expect(it.ingress.events.filter((event) => event.topic === "still")).toHaveLength(served);
  await expect.poll(() => it.broker.figures()).toMatchObject({ devices: 1, halfOpen: 0 });
  expect(it.logged.filter((line) => (line["level"] as number) >= 50)).toEqual([]);
});

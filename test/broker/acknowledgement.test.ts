import { expect, it } from "vitest";
import { ackPacket, publishPacket, RawMqtt } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";

it("a QoS 1 publish is acknowledged only after its commit (I1)", async () => {
  await using it = await openBroker();
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port);
  device.send(publishPacket("a/b", "1", 1, 7));
  await device.ping();
  expect(it.ingress.staged).toBe(1);
  expect(device.packets).toEqual([]);
  it.ingress.commit();
  expect(await device.next()).toMatchObject({ cmd: "puback", messageId: 7 });
  expect(it.ingress.events).toEqual([{ topic: "a/b", device: "raw", payload: "1", qos: 1, retain: false }]);
});

it("acknowledgements leave in the order in which the publishes came, whatever the order of the commits (I1)", async () => {
  await using it = await openBroker();
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port);
  device.send(
    ...[1, 2, 3].map((id) => publishPacket("a/b", `${id}`, 1, id)),
    publishPacket("a/c", "4", 2, 4),
    publishPacket("$SYS/x", "5", 1, 5),
  );
  await device.ping();
  it.ingress.commitBackwards();
  expect((await device.take(5)).map((one) => [one.cmd, one.messageId])).toEqual([
    ["puback", 1],
    ["puback", 2],
    ["puback", 3],
    ["pubrec", 4],
    ["puback", 5],
  ]);
});

it("a QoS 2 publish goes PUBREC, PUBREL, PUBCOMP, each after its commit", async () => {
  await using it = await openBroker();
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port);
  device.send(publishPacket("a/b", "x", 2, 9));
  await device.ping();
  it.ingress.commit();
  expect(await device.next()).toMatchObject({ cmd: "pubrec", messageId: 9 });
  device.send(ackPacket("pubrel", 9));
  await device.ping();
  expect(device.packets).toEqual([]);
  it.ingress.commit();
  expect(await device.next()).toMatchObject({ cmd: "pubcomp", messageId: 9 });
});

it("what cannot be committed is never acknowledged: the connection closes", async () => {
  await using it = await openBroker();
  it.ingress.commitAfterMs = undefined;
  const device = await RawMqtt.login(it.port);
  device.send(publishPacket("a", "1", 1, 1), publishPacket("a", "2", 1, 2));
  await device.ping();
  it.ingress.commit(1);
  it.ingress.isFailing = true;
  it.ingress.commit();
  await device.closed();
  expect(device.packets.map((one) => one.messageId)).toEqual([1]);
  expect(it.broker.figures().refusedConnections).toBe(1);
});

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet, reading } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound } from "./rig/oracle.ts";
import { RawClient } from "./rig/raw-client.ts";
import { chance } from "./rig/story.ts";
import { sleep } from "./rig/wait.ts";

const HANDLERS = { "count.ts": countingHandler() };

describe("a QoS 2 message enters the journal once (G1)", () => {
  it("when its device repeats it on a new connection, and after a kill -9, until the device released it", async () => {
    await using gateway = await GatewayProcess.start({ handlers: HANDLERS });
    const publish = (n: number, dup: boolean) =>
      ({
        cmd: "publish",
        topic: "load/meter",
        qos: 2,
        messageId: 7,
        dup,
        retain: false,
        payload: JSON.stringify(reading("meter", n)),
      }) as const;
    const connected = () => RawClient.open(gateway.mqttPort, "meter", { clean: false });

    const first = await connected();
    first.send(publish(1, false));
    await first.expect("pubrec");
    first[Symbol.dispose]();

    const second = await connected();
    second.send(publish(1, true));
    await second.expect("pubrec");
    await gateway.kill9();
    await gateway.start();

    // As mqtt.js does: the repeat bears no DUP.
    const third = await connected();
    third.send(publish(1, false));
    await third.expect("pubrec");
    third.send({ cmd: "pubrel", messageId: 7 });
    await third.expect("pubcomp");
    await gateway.kill9();
    await gateway.start();

    // The PUBCOMP was lost: the release comes again and is answered. Then the packet id is free for another message.
    using fourth = await connected();
    fourth.send({ cmd: "pubrel", messageId: 7 });
    await fourth.expect("pubcomp");
    fourth.send(publish(2, false));
    await fourth.expect("pubrec");
    fourth.send({ cmd: "pubrel", messageId: 7 });
    await fourth.expect("pubcomp");

    const ledger = await gateway.drained();
    expect(ledger.events).toMatchObject({ accepted: 2, done: 2 });
    const { lines } = readFileUplink(join(gateway.folder, "cloud", "events.ndjson"));
    expect(new Map(lines.map(({ id, data }) => [id, data.n])).values().toArray()).toEqual([1, 2]);
  });

  it("under load, with connections that break and gateways that die at random", async () => {
    const random = chance();
    await using gateway = await GatewayProcess.start({ handlers: HANDLERS });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 1_000, qos: () => 2 });
    fleet.start();
    for (let kill = 0; kill < 4; kill++) {
      for (let cut = 0; cut < 8; cut++) {
        await sleep(random.between(20, 80));
        random.pick(fleet.devices).breakLine();
      }
      await gateway.kill9();
      await gateway.start();
    }
    await fleet.settled();
    const ledger = await gateway.drained();
    const finding = expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(join(gateway.folder, "cloud", "events.ndjson")),
      ledger,
    });
    expect(finding.unique).toBe(finding.acked);
    expect(ledger.events.accepted).toBe(finding.acked);
  });
});

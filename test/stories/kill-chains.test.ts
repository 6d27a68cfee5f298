import { join } from "node:path";
import { expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler, relayHandler } from "./rig/handlers.ts";
import { dieAt, steps } from "./rig/last-step.ts";
import { expectSound } from "./rig/oracle.ts";

/** One message is accepted, relayed with its event, delivered to nobody and settled once more: the first eight meet each. */
const COMMITS = [1, 2, 3, 4, 5, 6, 7, 8];

it("a kill around any commit of a chain neither loses nor doubles the event that a handler made (G1, G2, G3, G4)", async () => {
  await using gateway = await GatewayProcess.prepare({
    handlers: { "relay.ts": relayHandler(), "count.ts": countingHandler({ topic: "relay/{device}" }) },
  });
  using fleet = new Fleet({
    port: gateway.mqttPort,
    devices: 2,
    ratePerSecond: 100,
    inflightMax: 1,
    qos: (index) => (index === 0 ? 1 : 2),
  });
  fleet.start();
  for (const step of steps("commit", ["before", "during", "after"], COMMITS)) await dieAt(gateway, { step });
  await gateway.start();
  await fleet.publish(5);
  await fleet.settled();
  const ledger = await gateway.drained();
  const arrivals = readFileUplink(join(gateway.folder, "cloud/events.ndjson"));
  const { unique } = expectSound({
    promises: fleet.promises(),
    devices: fleet.devices,
    arrivals,
    ledger,
    allDelivered: false,
  });
  expect(ledger.events).toMatchObject({ accepted: 2 * unique, dead: 0, dropped: 0 });
});

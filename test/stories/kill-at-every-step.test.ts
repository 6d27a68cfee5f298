import { join } from "node:path";
import { describe, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { dieAt, steps } from "./rig/last-step.ts";
import { expectSound } from "./rig/oracle.ts";

const UPLINK_FILE = "cloud/events.ndjson";

/** One message is three commits (accept, settle, receipt), so the first six synced batches meet each of them twice. */
const COMMITS = [1, 2, 3, 4, 5, 6];

describe("a kill at any one step of accept, settle and deliver loses nothing and tears nothing (G1, G2, G3, G4)", () => {
  it("around each commit: before it, while the store writes it, and after it but before anybody hears of it", async () => {
    await killAtEach(steps("commit", ["before", "during", "after"], COMMITS));
  });

  it("around each acknowledgement to a device", async () => {
    await killAtEach(["puback", "pubrec", "pubcomp"].flatMap((step) => steps(step, ["before", "after"], [1, 3])));
  });

  it("around each write and each sync of the file uplink", async () => {
    await killAtEach(
      ["write", "sync"].flatMap((step) => steps(step, ["before", "after"], [1, 2, 3])),
      UPLINK_FILE,
    );
  });

  it("around the journal's witness of its last commit", async () => {
    await killAtEach(steps("write", ["before", "after"], [1, 2, 4]), "journal.mark");
  });
});

/** One data folder dies at all the steps, one life each; then it must be whole. */
async function killAtEach(each: readonly string[], files = ""): Promise<void> {
  await using gateway = await GatewayProcess.prepare({ handlers: { "count.ts": countingHandler() } });
  using fleet = new Fleet({
    port: gateway.mqttPort,
    devices: 2,
    ratePerSecond: 100,
    inflightMax: 1,
    qos: (index) => (index === 0 ? 1 : 2),
  });
  fleet.start();
  for (const step of each) await dieAt(gateway, { step, files });
  await gateway.start();
  await fleet.publish(5);
  await fleet.settled();
  const ledger = await gateway.drained();
  expectSound({
    promises: fleet.promises(),
    devices: fleet.devices,
    arrivals: readFileUplink(join(gateway.folder, UPLINK_FILE)),
    ledger,
  });
}

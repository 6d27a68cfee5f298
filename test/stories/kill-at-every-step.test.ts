import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound } from "./rig/oracle.ts";

const CRASH_AT = fileURLToPath(new URL("../doubles/crash-at.ts", import.meta.url));
const UPLINK_FILE = "cloud/events.ndjson";

/** One message is three commits (accept, settle, receipt), so the first six synced batches meet each of them twice. */
const COMMITS = [1, 2, 3, 4, 5, 6];

describe("a kill at any one step of accept, settle and deliver loses nothing and tears nothing (G1, G2, G3, G4)", () => {
  it("around each commit: before it, while the store writes it, and after it but before anybody hears of it", async () => {
    await killAtEach(COMMITS.flatMap((nth) => ["before", "during", "after"].map((when) => `commit:${when}:${nth}`)));
  });

  it("around each acknowledgement to a device", async () => {
    await killAtEach(
      ["puback", "pubrec", "pubcomp"].flatMap((step) =>
        ["before", "after"].flatMap((when) => [1, 3].map((nth) => `${step}:${when}:${nth}`)),
      ),
    );
  });

  it("around each write and each sync of the file uplink", async () => {
    await killAtEach(
      ["write", "sync"].flatMap((step) =>
        ["before", "after"].flatMap((when) => [1, 2, 3].map((nth) => `${step}:${when}:${nth}`)),
      ),
      UPLINK_FILE,
    );
  });

  it("around the journal's witness of its last commit", async () => {
    await killAtEach(
      ["before", "after"].flatMap((when) => [1, 2, 4].map((nth) => `write:${when}:${nth}`)),
      "journal.mark",
    );
  });
});

/** One data folder dies at all the steps, one life each; then it must be whole. */
async function killAtEach(steps: readonly string[], files = ""): Promise<void> {
  await using gateway = await GatewayProcess.prepare({ handlers: { "count.ts": countingHandler() } });
  using fleet = new Fleet({
    port: gateway.mqttPort,
    devices: 2,
    ratePerSecond: 100,
    inflightMax: 1,
    qos: (index) => (index === 0 ? 1 : 2),
  });
  fleet.start();
  const mark = join(gateway.folder, "crashed");
  for (const step of steps) {
    rmSync(mark, { force: true });
    gateway.launch({ nodeArgs: ["--import", CRASH_AT], env: { CRASH_AT: step, CRASH_MARK: mark, CRASH_FILES: files } });
    await gateway.exited();
    expect(
      { step, ...gateway.end, reached: existsSync(mark) && readFileSync(mark, "utf8") },
      gateway.logTail(),
    ).toMatchObject({
      signal: "SIGKILL",
      reached: step,
    });
  }
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

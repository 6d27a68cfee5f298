import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "../stories/rig/cloud-lines.ts";
import { Fleet } from "../stories/rig/fleet.ts";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { countingHandler } from "../stories/rig/handlers.ts";
import { expectSound } from "../stories/rig/oracle.ts";
import { freePort } from "../stories/rig/ports.ts";
import { chance } from "../stories/rig/story.ts";
import { sleep, until } from "../stories/rig/wait.ts";
import { straceWords } from "./rig/strace.ts";
import { lostInFile, Toy } from "./rig/toy.ts";
import type { ToyMode } from "./rig/toy.ts";

const SLOW_FSYNC = { calls: "fdatasync,fsync", what: "delay_enter=60000" };
const KILLS = 15;
const KILLS_OF_TOYS = 5;

describe("with every fsync taking 60 ms, kill -9", () => {
  it("shows the rig a toy that acknowledges before the disk, and clears one that acknowledges after", async () => {
    expect(await toyLosses("ack-first")).toBeGreaterThan(0);
    expect(await toyLosses("ack-synced")).toBe(0);
  });

  it(`loses nothing that was acknowledged, of ${KILLS} kills (G1, G2, G4)`, async () => {
    const random = chance();
    await using gateway = await GatewayProcess.start({
      handlers: { "count.ts": countingHandler() },
      wrapper: straceWords(SLOW_FSYNC),
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 12, ratePerSecond: 2_000 });
    fleet.start();
    for (let kill = 1; kill <= KILLS; kill++) {
      const before = fleet.acked;
      await until("new acknowledgements", () => fleet.acked > before, {
        withinMs: 30_000,
        tell: () => gateway.logTail(),
      });
      await sleep(random.next() * 600);
      await gateway.kill9();
      gateway.launch();
    }
    await gateway.ready();
    await fleet.settled();
    const ledger = await gateway.drained();
    const finding = expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(join(gateway.folder, "cloud", "events.ndjson")),
      ledger,
    });
    expect(finding.acked).toBeGreaterThan(KILLS * 20);
  });
});

/** Messages that a toy acknowledged and does not have, summed over some kills. */
async function toyLosses(mode: ToyMode): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-toy-"));
  let lost = 0;
  try {
    for (let kill = 0; kill < KILLS_OF_TOYS && lost === 0; kill++) {
      const port = await freePort();
      const file = join(folder, `${mode}-${kill}`);
      await using toy = new Toy(port, file, mode, straceWords(SLOW_FSYNC));
      using fleet = new Fleet({ port, devices: 12, ratePerSecond: 2_000, qos: () => 1 });
      fleet.start();
      await until("acknowledgements", () => fleet.acked > 200, { withinMs: 30_000, tell: () => fleet.figures() });
      await toy.kill9();
      lost += lostInFile(fleet.promises(), file);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return lost;
}

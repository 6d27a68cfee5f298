import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "../stories/rig/cloud-lines.ts";
import { Fleet } from "../stories/rig/fleet.ts";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { countingHandler } from "../stories/rig/handlers.ts";
import { inLanes } from "../stories/rig/lanes.ts";
import { expectSound } from "../stories/rig/oracle.ts";
import { freePort } from "../stories/rig/ports.ts";
import { chance } from "../stories/rig/story.ts";
import { sleep, until } from "../stories/rig/wait.ts";
import { CuttableDisk } from "./rig/disks.ts";
import { lostInFile, Toy } from "./rig/toy.ts";
import type { ToyMode } from "./rig/toy.ts";

const DISK_BYTES = 512 * 1024 ** 2;
const CUTS = 15;
/** Gateways on what the cuts left that run at the same time. */
const TOGETHER = 2;

describe("a power cut", () => {
  it("shows the rig a toy that acknowledges before the disk, and clears one that acknowledges after", async () => {
    using disk = new CuttableDisk(DISK_BYTES);
    expect(await toyLosses(disk, "ack-first")).toBeGreaterThan(0);
    expect(await toyLosses(disk, "ack-written")).toBeGreaterThan(0);
    expect(await toyLosses(disk, "ack-synced", 10)).toBe(0);
  });

  it(`loses nothing that was acknowledged, of ${CUTS} cuts under load (G1, G2, G4)`, async () => {
    const random = chance();
    using disk = new CuttableDisk(DISK_BYTES);
    const cuts: { readonly image: string; readonly promises: Map<string, readonly number[]> }[] = [];
    const folder = join(disk.folder, "box");
    await using gateway = await GatewayProcess.start({
      folder,
      // Small files, so that cuts also fall into rotations.
      config: { uplinks: { cloud: { maxSize: "128KB", keep: 1_000 } } },
      handlers: { "count.ts": countingHandler() },
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 12, ratePerSecond: 2_500 });
    fleet.start();
    await fleet.online();
    for (let cut = 0; cut < CUTS; cut++) {
      const before = fleet.acked;
      await until("new acknowledgements", () => fleet.acked > before, {
        withinMs: 30_000,
        tell: () => gateway.logTail(),
      });
      await sleep(random.between(20, 300));
      // What is promised before the cut begins must be in it.
      const promises = fleet.promises();
      cuts.push({ promises, image: disk.cut() });
    }
    fleet.pause();
    await gateway.kill9();

    await inLanes(TOGETHER, [...cuts.entries()], async ([index, { image, promises }]) => {
      const after = disk.mountCut(image);
      {
        await using again = await GatewayProcess.start({
          folder: join(after, "box"),
          config: { uplinks: { cloud: { maxSize: "128KB", keep: 1_000 } } },
        });
        const ledger = await again.drained();
        const finding = expectSound(
          {
            promises,
            devices: fleet.devices,
            arrivals: readFileUplink(join(after, "box", "cloud", "events.ndjson")),
            ledger,
          },
          `cut ${index + 1} of ${CUTS}\n${again.logTail()}`,
        );
        expect(finding.acked).toBeGreaterThan(0);
      }
      await disk.unmountCut(after, image);
    });
  });
});

/**
 * Cuts until something that was promised is missing, at most `cutsMax` times. A toy that syncs just after it acknowledged
 * is caught by few of the cuts: in fifty it got away now and then.
 */
async function toyLosses(disk: CuttableDisk, mode: ToyMode, cutsMax = 400): Promise<number> {
  const port = await freePort();
  const file = join(disk.folder, mode);
  await using _toy = new Toy(port, file, mode);
  using fleet = new Fleet({ port, devices: 12, ratePerSecond: 4_000, qos: () => 1 });
  fleet.start();
  let lost = 0;
  for (let cut = 0; cut < cutsMax && lost === 0; cut++) {
    const before = fleet.acked;
    await until("acknowledgements", () => fleet.acked > before + 100, {
      withinMs: 30_000,
      tell: () => fleet.figures(),
    });
    const promises = fleet.promises();
    const image = disk.cut();
    const after = disk.mountCut(image);
    lost += lostInFile(promises, join(after, mode));
    await disk.unmountCut(after, image);
  }
  return lost;
}

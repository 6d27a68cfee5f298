import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { HttpCloud } from "../doubles/http-cloud.ts";
import { parseLines } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound, imbalances, judge } from "./rig/oracle.ts";
import { freePort } from "./rig/ports.ts";
import { sleep, until } from "./rig/wait.ts";

const SIZE_MAX_MB = 8;
/** LevelDB's log and what it has not merged yet come on top of what the journal counts. */
const DISK_BYTES_MAX = (SIZE_MAX_MB + 16) * 1024 ** 2;
/** While as much is written as the box can write, merging lags behind, until LevelDB itself makes writers wait for it. */
const BUSY_DISK_BYTES_MAX = (SIZE_MAX_MB + 128) * 1024 ** 2;

async function gatewayWith(whenFull: "refuse" | "drop-oldest", port: number): Promise<GatewayProcess> {
  return await GatewayProcess.start({
    config: {
      journal: { sizeMax: `${SIZE_MAX_MB}MB`, retain: "0s", whenFull },
      uplinks: {
        cloud: {
          kind: "https",
          path: undefined,
          url: `http://127.0.0.1:${port}/events`,
          backoff: "50ms",
          backoffMax: "200ms",
        },
      },
    },
    handlers: { "count.ts": countingHandler() },
  });
}

function fleetOf(gateway: GatewayProcess): Fleet {
  return new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 4_000, paddingBytes: 2_000, qos: () => 1 });
}

describe("a journal at its size limit", () => {
  it("with whenFull: refuse acknowledges nothing more, keeps all it promised, and goes on when there is room (G1, G7)", async () => {
    const port = await freePort();
    await using gateway = await gatewayWith("refuse", port);
    using fleet = fleetOf(gateway);
    fleet.start();
    await full(fleet);
    const atLimit = await gateway.ledger();
    expect(imbalances(atLimit)).toEqual([]);
    expect(atLimit.events.dropped).toBe(0);
    expect(bytesIn(gateway.dataFolder)).toBeLessThan(DISK_BYTES_MAX);
    fleet.pause();

    await using cloud = await HttpCloud.open({ port });
    await fleet.settled(30_000);
    const ledger = await gateway.drained();
    expectSound({ promises: fleet.promises(), devices: fleet.devices, arrivals: parseLines(cloud.lines), ledger });
  });

  it("with whenFull: drop-oldest goes on acknowledging, and counts each one that it drops (G4, G7)", async () => {
    const port = await freePort();
    await using gateway = await gatewayWith("drop-oldest", port);
    using fleet = fleetOf(gateway);
    fleet.start();
    const messages = (4 * SIZE_MAX_MB * 1024 ** 2) / 2_000;
    await until("four journals full", () => fleet.acked > messages, {
      withinMs: 30_000,
      tell: () => [fleet.figures(), gateway.logTail()],
    });
    expect(bytesIn(gateway.dataFolder)).toBeLessThan(BUSY_DISK_BYTES_MAX);
    await fleet.settled();
    await until("a disk that holds little more than the limit", () => bytesIn(gateway.dataFolder) < DISK_BYTES_MAX, {
      withinMs: 15_000,
      tell: () => [bytesIn(gateway.dataFolder), gateway.logTail()],
    });

    // While outputs are still made, the oldest is dropped for the newest, also one that is on its way to the cloud just now.
    await gateway.drained(30_000, []);
    await using cloud = await HttpCloud.open({ port });
    const ledger = await gateway.drained();
    expect(imbalances(ledger)).toEqual([]);
    const finding = judge({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: parseLines(cloud.lines),
      counted: false,
    });
    expect(finding.wrongs.filter((wrong) => !wrong.startsWith("O1"))).toEqual([]);
    const dropped = ledger.events.dropped + (ledger.uplinks.cloud?.dropped ?? 0);
    expect(dropped).toBeGreaterThan(0);
    // Each event that was accepted is one output at the cloud, or was counted as dropped.
    expect(finding.unique + dropped).toBe(ledger.events.accepted);
    expect(finding.lost).toBeLessThanOrEqual(dropped);
    expect(
      ledger.events.accepted - finding.acked,
      "events that no device was promised, beyond those sent again",
    ).toBeLessThanOrEqual(fleet.devices.reduce((resent, device) => resent + device.resent.size, 0));
  });
});

/** Waits until the gateway has acknowledged nothing for a second. */
async function full(fleet: Fleet): Promise<void> {
  for (let acked = -1; acked !== fleet.acked || acked === 0;) {
    acked = fleet.acked;
    await sleep(1_000);
  }
}

function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((total, entry) => {
      try {
        return total + statSync(join(entry.parentPath, entry.name)).size;
      } catch {
        // Compacted away between the listing and the look.
        return total;
      }
    }, 0);
}

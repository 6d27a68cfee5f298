import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound, imbalances } from "./rig/oracle.ts";
import { chance } from "./rig/story.ts";
import { sleep, until } from "./rig/wait.ts";

const KILLS = 50;
/** A kill comes at most this long after the gateway was started: the earliest hit it while it recovers. */
const LIFE_MS_MAX = 250;
/** One life in this many ends at any instant of its start, ready or not. */
const YOUNG_DEATHS = 5;

describe("an acknowledged event survives kill -9", () => {
  it(`of ${KILLS} kills at random instants under load none loses, doubles or tears anything (G1, G2, G3, G4)`, async () => {
    const random = chance();
    await using gateway = await GatewayProcess.start({
      config: { uplinks: { cloud: { maxSize: "256KB", keep: 1000 } } },
      handlers: { "count.ts": countingHandler() },
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 12, ratePerSecond: 1_500, inflightMax: 10 });
    fleet.start();
    await fleet.online();
    let promised = 0;
    for (let kill = 1; kill <= KILLS; kill++) {
      const isYoung = kill % YOUNG_DEATHS === 0;
      if (!isYoung) {
        const before = fleet.acked;
        await until("new acknowledgements", () => fleet.acked > before, {
          withinMs: 30_000,
          tell: () => gateway.logTail(),
        });
      }
      await sleep(random.next() * LIFE_MS_MAX * (isYoung ? 2 : 1));
      expect(gateway.isUp, gateway.logTail()).toBe(true);
      await gateway.kill9();
      promised = fleet.acked;
      gateway.launch();
    }
    await gateway.ready();
    expect(imbalances(await gateway.ledger())).toEqual([]);
    await fleet.settled();
    const ledger = await gateway.drained();
    const finding = expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(join(gateway.folder, "cloud", "events.ndjson")),
      ledger,
    });
    expect(promised).toBeGreaterThan(KILLS);
    expect(finding.acked).toBeGreaterThanOrEqual(promised);
    expect(gateway.starts).toBe(KILLS + 1);
  });
});

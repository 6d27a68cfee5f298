import { describe, expect, it } from "vitest";
import { parseLines } from "../stories/rig/cloud-lines.ts";
import { Fleet } from "../stories/rig/fleet.ts";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { countingHandler } from "../stories/rig/handlers.ts";
import { expectSound } from "../stories/rig/oracle.ts";
import { freePort } from "../stories/rig/ports.ts";
import { chance } from "../stories/rig/story.ts";
import { sleep, until } from "../stories/rig/wait.ts";
import { Mosquitto } from "./rig/mosquitto.ts";
import { MqttTap } from "./rig/mqtt-tap.ts";

const RESTARTS = 8;

describe("mosquitto upstream", () => {
  it(`killed and restarted ${RESTARTS} times under load: what it acknowledged is everything, in order per key (G3, G4)`, async () => {
    const random = chance();
    await using upstream = new Mosquitto(await freePort());
    await upstream.start();
    await using tap = await MqttTap.open(upstream.port);
    await using gateway = await GatewayProcess.start({
      config: {
        uplinks: {
          cloud: {
            kind: "mqtt",
            path: undefined,
            url: `mqtt://127.0.0.1:${tap.port}`,
            backoff: "50ms",
            backoffMax: "200ms",
            timeout: "2s",
          },
        },
      },
      handlers: { "count.ts": countingHandler() },
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 1_500 });
    fleet.start();
    for (let restart = 1; restart <= RESTARTS; restart++) {
      const before = tap.acknowledged.length;
      await until("outputs upstream", () => tap.acknowledged.length > before + 50, {
        withinMs: 30_000,
        tell: () => [tap.acknowledged.length, gateway.logTail()],
      });
      await sleep(random.between(0, 300));
      await upstream.stop(restart % 3 === 0 ? "SIGTERM" : "SIGKILL");
      await sleep(random.between(0, 400));
      if (restart % 4 === 0) {
        await gateway.kill9();
        gateway.launch();
      }
      await upstream.start();
    }
    await gateway.ready();
    await fleet.settled();
    const ledger = await gateway.drained();
    const finding = expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: parseLines(tap.acknowledged),
      ledger,
    });
    expect(finding.unique).toBeGreaterThan(RESTARTS * 50);
  });
});

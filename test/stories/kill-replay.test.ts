import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { ReplayAnswer } from "#src/control/replay-shapes.ts";
import { sluice } from "../cli/sluice.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { dieAt, steps } from "./rig/last-step.ts";
import { until } from "./rig/wait.ts";

const EVENTS = 600;
/** A step of a replay is a commit that has its outputs, and their receipts are one more. */
const STEPS = steps("commit", ["before", "during", "after"], [1, 2, 3]);

it("a kill around any commit of a replay that is applied neither loses nor doubles what it sends (G2, G3, G4)", async () => {
  await using gateway = await GatewayProcess.start({ handlers: { "count.ts": countingHandler() } });
  using fleet = new Fleet({ port: gateway.mqttPort, devices: 6, ratePerSecond: 400 });
  fleet.start();
  await fleet.publish(EVENTS / 6);
  await fleet.settled();
  await gateway.drained();
  fleet[Symbol.dispose]();
  const path = "/api/v1/handlers/count/replays";
  const known = async (): Promise<ReplayAnswer[]> => ((await gateway.api(path)) as { replays: ReplayAnswer[] }).replays;
  await gateway.stop();
  for (const step of STEPS) {
    // Of a start there is a commit at times: from the first that the replay makes.
    await dieAt(gateway, { step }, async (arm) => {
      const [last] = await known();
      arm();
      if (last === undefined) await gateway.ask("POST", path, { since: new Date(0).toISOString(), apply: true });
      else await gateway.ask("POST", `${path}/${last.id}/resume`);
      await gateway.exited();
    });
  }
  await gateway.start();
  const before = await known();
  expect(before).toHaveLength(1);
  expect(before[0]).toMatchObject({ state: "interrupted" });
  const { out } = await sluice([
    ...["replay", "count", "--json", "--resume", before[0]?.id ?? ""],
    ...["--config", gateway.configFile],
  ]);
  expect(JSON.parse(out)).toMatchObject({ state: "done", events: EVENTS, same: EVENTS, sent: EVENTS });
  const ledger = await gateway.drained();
  expect(ledger.events).toMatchObject({ accepted: EVENTS, done: EVENTS });
  expect(ledger.uplinks["cloud"]).toMatchObject({ emitted: 2 * EVENTS, delivered: 2 * EVENTS });
  const lines = await until(
    "all lines",
    () => {
      const text = readFileSync(join(gateway.folder, "cloud", "events.ndjson"), "utf8")
        .trim()
        .split("\n");
      return text.length >= 2 * EVENTS ? text.map((line) => JSON.parse(line) as { id: string }) : false;
    },
    { withinMs: 10_000, everyMs: 20 },
  );
  // What was sent and not yet acknowledged when it was killed goes out again, under the same id (G3).
  expect(new Set(lines.map(({ id }) => id)).size).toBe(2 * EVENTS);
});

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { ReplayAnswer } from "#src/control/replay-shapes.ts";
import { sluice } from "../cli/sluice.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { until } from "./rig/wait.ts";

const CRASH_AT = fileURLToPath(new URL("../doubles/crash-at.ts", import.meta.url));
const EVENTS = 600;
/** A step of a replay is a commit that has its outputs, and their receipts are one more. */
const STEPS = [1, 2, 3].flatMap((nth) => ["before", "during", "after"].map((when) => `commit:${when}:${nth}`));

it("a kill around any commit of a replay that is applied neither loses nor doubles what it sends (G2, G3, G4)", async () => {
  await using gateway = await GatewayProcess.start({ handlers: { "count.ts": countingHandler() } });
  using fleet = new Fleet({ port: gateway.mqttPort, devices: 6, ratePerSecond: 400 });
  fleet.start();
  await fleet.publish(EVENTS / 6);
  await fleet.settled();
  await gateway.drained();
  fleet[Symbol.dispose]();
  const replay = async (...args: string[]): Promise<ReplayAnswer | undefined> => {
    const { out } = await sluice(["replay", "count", "--json", ...args, "--config", gateway.configFile]);
    return out === "" ? undefined : (JSON.parse(out) as ReplayAnswer);
  };
  const known = async (): Promise<ReplayAnswer[]> =>
    ((await gateway.api("/api/v1/handlers/count/replays")) as { replays: ReplayAnswer[] }).replays;
  await gateway.stop();
  const mark = join(gateway.folder, "crashed");
  for (const step of STEPS) {
    rmSync(mark, { force: true });
    // Commits are counted from the process's start on, and a start has one at times: from the first that a replay may make.
    await gateway.start({ nodeArgs: ["--import", CRASH_AT], env: { CRASH_AT: step, CRASH_MARK: mark } });
    const [last] = await known();
    await Promise.race([
      last === undefined ? replay("--since", "1h", "--apply") : replay("--resume", last.id),
      gateway.exited(),
    ]);
    await gateway.exited();
    expect({ step, ...gateway.end, reached: existsSync(mark) }, gateway.logTail()).toMatchObject({
      signal: "SIGKILL",
      reached: true,
    });
  }
  await gateway.start();
  const before = await known();
  expect(before).toHaveLength(1);
  expect(before[0]).toMatchObject({ state: "interrupted" });
  const done = await replay("--resume", before[0]?.id ?? "");
  expect(done).toMatchObject({ state: "done", events: EVENTS, same: EVENTS, sent: EVENTS });
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

/** The gateway dies while it takes a version on. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { VersionsAnswer } from "#src/control/version-shapes.ts";
import { buildHandler } from "#src/deployments/build.ts";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound } from "./rig/oracle.ts";
import { chance } from "./rig/story.ts";
import { sleep } from "./rig/wait.ts";

const KILLS = 10;

it("kill -9 in the middle of a deploy leaves the old or the new version live, and never neither (G6)", async () => {
  const random = chance();
  const sources = mkdtempSync(join(tmpdir(), "sluice-sources-"));
  await using gateway = await GatewayProcess.start({
    config: { handlers: { defaults: { probation: false } } },
    handlers: { "count.ts": countingHandler({ version: 1 }) },
  });
  const ask = async (method: string, path: string, body?: object): Promise<Response> => {
    const token = readFileSync(join(gateway.folder, "data", "admin.token"), "utf8").trim();
    return await fetch(`${gateway.controlUrl}/api/v1/handlers/count/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
  const deploy = async (version: number): Promise<number | undefined> => {
    const entry = join(sources, "count.ts");
    writeFileSync(entry, countingHandler({ version }));
    const { code, sourceMap } = await buildHandler("count", entry, sources);
    const answer = await ask("POST", "versions", { code, sourceMap, file: "count.ts" }).catch(() => undefined);
    return answer?.ok === true ? ((await answer.json()) as { version: number }).version : undefined;
  };
  const versions = async (): Promise<VersionsAnswer> =>
    (await ask("GET", "versions")).json() as Promise<VersionsAnswer>;
  try {
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 4, ratePerSecond: 200, qos: () => 2 });
    fleet.start();
    const startedMs = performance.now();
    expect(await deploy(2)).toBe(2);
    const deployMs = performance.now() - startedMs;
    const seen = { old: 0, new: 0, answered: 0 };
    for (let version = 3; version < 3 + KILLS; version++) {
      const before = (await versions()).live.version;
      const deploying = deploy(version);
      await sleep(random.between(0, Math.ceil(deployMs * 1.2)));
      await gateway.kill9();
      const answered = await deploying;
      await gateway.start();
      const { live, versions: kept } = await versions();
      expect(kept.map((each) => each.version)).toContain(live.version);
      // What was answered is durable.
      if (answered !== undefined) expect(live.version).toBe(answered);
      if (answered !== undefined) seen.answered++;
      seen[live.version === before ? "old" : "new"]++;
    }
    console.log(
      `killed in ${KILLS} deploys: ${seen.old} times the old version was live, ${seen.new} times the new one`,
    );
    await fleet.settled();
    const ledger = await gateway.drained();
    const arrivals = readFileUplink(join(gateway.folder, "cloud", "events.ndjson"));
    expectSound({ promises: fleet.promises(), devices: fleet.devices, arrivals, ledger });
  } finally {
    rmSync(sources, { recursive: true, force: true });
  }
});

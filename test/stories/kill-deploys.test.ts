/** The gateway dies while it takes a version on, or takes one back. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { VersionsAnswer } from "#src/control/version-shapes.ts";
import { buildHandler } from "#src/deployments/build.ts";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler, failingHandler } from "./rig/handlers.ts";
import { expectSound } from "./rig/oracle.ts";
import { chance } from "./rig/story.ts";
import { sleep, until } from "./rig/wait.ts";

const KILLS = 4;
const KILLS_OF_ROLLBACKS = 3;

interface Stage extends AsyncDisposable {
  readonly gateway: GatewayProcess;
  /** The number that the version got, when the gateway lived to tell. */
  deploy(source: string): Promise<number | undefined>;
  versions(): Promise<VersionsAnswer>;
  /** All that was acknowledged is at the cloud, once. */
  sound(): Promise<void>;
}

async function setUp(defaults: object): Promise<Stage> {
  const sources = mkdtempSync(join(tmpdir(), "sluice-sources-"));
  const gateway = await GatewayProcess.start({
    config: { handlers: { defaults } },
    handlers: { "count.ts": countingHandler({ version: 1 }) },
  });
  const fleet = new Fleet({ port: gateway.mqttPort, devices: 4, ratePerSecond: 200, qos: () => 2 });
  fleet.start();
  const ask = async (method: string, body?: object): Promise<Response> => {
    const token = readFileSync(join(gateway.folder, "data", "admin.token"), "utf8").trim();
    return await fetch(`${gateway.controlUrl}/api/v1/handlers/count/versions`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
  return {
    gateway,
    deploy: async (source) => {
      const entry = join(sources, "count.ts");
      writeFileSync(entry, source);
      const { code, sourceMap } = await buildHandler("count", entry, sources);
      const answer = await ask("POST", { code, sourceMap, file: "count.ts" }).catch(() => undefined);
      return answer?.ok === true ? ((await answer.json()) as { version: number }).version : undefined;
    },
    versions: async () => (await ask("GET")).json() as Promise<VersionsAnswer>,
    sound: async () => {
      await fleet.settled();
      const ledger = await gateway.drained();
      const arrivals = readFileUplink(join(gateway.folder, "cloud", "events.ndjson"));
      expectSound({ promises: fleet.promises(), devices: fleet.devices, arrivals, ledger });
    },
    async [Symbol.asyncDispose]() {
      fleet[Symbol.dispose]();
      await gateway[Symbol.asyncDispose]();
      rmSync(sources, { recursive: true, force: true });
    },
  };
}

it("kill -9 in the middle of a deploy leaves the old or the new version live, and never neither (G6)", async () => {
  const random = chance();
  await using stage = await setUp({ probation: false });
  const { gateway } = stage;
  const startedMs = performance.now();
  expect(await stage.deploy(countingHandler({ version: 2 }))).toBe(2);
  const deployMs = performance.now() - startedMs;
  const seen = { old: 0, new: 0 };
  for (let version = 3; version < 3 + KILLS; version++) {
    const before = (await stage.versions()).live.version;
    const deploying = stage.deploy(countingHandler({ version }));
    await sleep(random.between(0, Math.ceil(deployMs * 1.2)));
    await gateway.kill9();
    const answered = await deploying;
    await gateway.start();
    const { live, versions: kept } = await stage.versions();
    expect(kept.map((each) => each.version)).toContain(live.version);
    // What was answered is durable.
    if (answered !== undefined) expect(live.version).toBe(answered);
    seen[live.version === before ? "old" : "new"]++;
  }
  console.log(`killed in ${KILLS} deploys: ${seen.old} times the old version was live, ${seen.new} times the new one`);
  await stage.sound();
});

it("kill -9 while a version is taken back leaves no event behind: all end on the one before (G6)", async () => {
  const random = chance();
  await using stage = await setUp({ retry: { backoff: "100ms", backoffMax: "300ms" } });
  const { gateway } = stage;
  let failed = 0;
  for (let n = 0; n < KILLS_OF_ROLLBACKS; n++) {
    const deployed = await stage.deploy(failingHandler(100 + n, "n % 10 === 3"));
    expect(deployed).toBeDefined();
    await sleep(random.between(0, 1500));
    await gateway.kill9();
    await gateway.start();
    const { history } = await until(
      "the version before",
      async () => {
        const now = await stage.versions();
        return now.live.version === 1 ? now : undefined;
      },
      { withinMs: 60_000, everyMs: 100, tell: () => gateway.logTail() },
    );
    failed += history.filter(({ what, version }) => what === "rolled-back" && version === deployed).length;
  }
  expect(failed).toBe(KILLS_OF_ROLLBACKS);
  await stage.sound();
  expect((await gateway.ledger()).events.dead).toBe(0);
});

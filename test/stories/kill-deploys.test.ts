/** The gateway dies while it takes a version on, or takes one back; and at each step of a promote and of a candidate's end. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { VersionsAnswer } from "#src/control/version-shapes.ts";
import { buildHandler } from "#src/deployments/build.ts";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler, failingHandler } from "./rig/handlers.ts";
import { dieAt } from "./rig/last-step.ts";
import { expectSound, imbalances } from "./rig/oracle.ts";
import { chance } from "./rig/story.ts";
import { sleep, until } from "./rig/wait.ts";

const KILLS = 4;
const KILLS_OF_ROLLBACKS = 3;

interface Stage extends AsyncDisposable {
  readonly gateway: GatewayProcess;
  readonly fleet: Fleet;
  /** The number that the version got, when the gateway lived to tell. */
  deploy(source: string, more?: { readonly canary: number }): Promise<number | undefined>;
  versions(): Promise<VersionsAnswer>;
  /** All that was acknowledged is at the cloud, once. */
  sound(): Promise<void>;
}

async function setUp(defaults: object): Promise<Stage> {
  const sources = mkdtempSync(join(tmpdir(), "sluice-sources-"));
  const gateway = await GatewayProcess.prepare({
    config: { handlers: { defaults } },
    handlers: { "count.ts": countingHandler({ version: 1 }) },
  });
  const fleet = new Fleet({ port: gateway.mqttPort, devices: 4, ratePerSecond: 200, qos: () => 2 });
  fleet.start();
  const path = "/api/v1/handlers/count/versions";
  return {
    gateway,
    fleet,
    deploy: async (source, more) => {
      const entry = join(sources, "count.ts");
      writeFileSync(entry, source);
      const { code, sourceMap } = await buildHandler("count", entry, sources);
      const body = { code, sourceMap, file: "count.ts", ...more };
      const answer = await gateway.ask("POST", path, body).catch(() => undefined);
      return answer?.ok === true ? ((await answer.json()) as { version: number }).version : undefined;
    },
    versions: async () => (await gateway.api(path)) as VersionsAnswer,
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
  await gateway.start();
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
  await gateway.start();
  let failed = 0;
  for (let n = 0; n < KILLS_OF_ROLLBACKS; n++) {
    const deployed = await stage.deploy(failingHandler(100 + n, "n % 10 === 3"));
    expect(deployed).toBeDefined();
    await sleep(random.between(0, 1500));
    await gateway.kill9();
    await gateway.start();
    // It is live before that has been written down.
    const rolledBack = await until(
      "the version before",
      async () => {
        const { live, history } = await stage.versions();
        const steps = history.filter(({ what, version }) => what === "rolled-back" && version === deployed);
        return live.version === 1 && steps.length > 0 ? steps : undefined;
      },
      { withinMs: 60_000, everyMs: 100, tell: () => gateway.logTail() },
    );
    failed += rolledBack.length;
  }
  expect(failed).toBe(KILLS_OF_ROLLBACKS);
  await stage.sound();
  expect((await gateway.ledger()).events.dead).toBe(0);
});

/** A change of versions is one file: written aside, synced, renamed, and the folder synced. */
const FILES = "deployments/count";
const OF_THE_LIST = ["write:before:1", "sync:before:1", "sync:before:2", "sync:after:2"];
/** Whether it can be written is tried before a version is taken back, by writing it as it is. */
const AFTER_A_LOOK = ["sync:after:2", "write:before:2", "sync:before:3", "sync:before:4", "sync:after:4"];

it("a kill at any step of a promote leaves the candidate tried, or live, and no event lost, doubled or out of order (G2, G6)", async () => {
  await using stage = await setUp({ probation: false });
  const { gateway } = stage;
  let version = 1;
  let last: { readonly step: string; readonly live: number } | undefined;
  /** What the life before left: before the list has its name nothing of the promote is there, after that all of it. */
  const look = async (): Promise<VersionsAnswer> => {
    const now = await stage.versions();
    if (last === undefined) return now;
    const { step, live } = last;
    const isPromoted = step.startsWith("sync") && step.endsWith("2");
    const seen = { step, live: now.live.version, candidate: now.candidate?.version };
    expect(seen).toEqual({ step, live: isPromoted ? version : live, candidate: isPromoted ? undefined : version });
    return now;
  };
  for (const step of OF_THE_LIST) {
    await dieAt(gateway, { step, files: FILES }, async (arm) => {
      const { candidate, live } = await look();
      if (candidate === undefined) await stage.deploy(countingHandler({ version: ++version }), { canary: 0.5 });
      last = { step, live: live.version };
      arm();
      await gateway.ask("POST", "/api/v1/handlers/count/promote", {});
    });
  }
  await gateway.start();
  await look();
  await stage.sound();
});

it("a kill at any step of a candidate's end leaves no event behind that it failed at: all end on the live version, once (G2, G6)", async () => {
  await using stage = await setUp({ probation: false, retry: { triesMax: 1 } });
  const { gateway, fleet } = stage;
  let version = 1;
  const ofLetters = ["commit:during:1", "commit:after:1"].map((step) => ({ step, rows: "del:0x21" }));
  const ofTheList = AFTER_A_LOOK.map((step) => ({ step, files: FILES }));
  for (const last of [...ofLetters, ...ofTheList]) {
    await dieAt(gateway, last, async (arm) => {
      const { candidate } = await stage.versions();
      if (candidate === undefined) await stage.deploy(failingHandler(++version, "n % 4 === 0"), { canary: 1 });
      await until("dead letters", async () => (await gateway.ledger()).events.dead > 3, { withinMs: 20_000 });
      arm();
      await gateway.ask("POST", "/api/v1/handlers/count/rollback", {});
    });
  }
  await gateway.start();
  const { candidate, live } = await stage.versions();
  expect([live.version, candidate]).toEqual([1, undefined]);
  await fleet.settled();
  const ledger = await gateway.drained();
  expect(ledger.events).toMatchObject({ dead: 0, dropped: 0, expired: 0 });
  expect(imbalances(ledger)).toEqual([]);
  const { lines } = readFileUplink(join(gateway.folder, "cloud", "events.ndjson"));
  const unique = [...new Map(lines.map((line) => [line.id, line])).values()];
  const events = unique.map(({ data }) => `${data.device} ${data.n}`);
  expect(new Set(events).size).toBe(events.length);
  expect(ledger.events.done).toBe(events.length);
  for (const [device, numbers] of fleet.promises()) {
    expect(numbers.filter((n) => !events.includes(`${device} ${n}`))).toEqual([]);
  }
  expect(unique.filter(({ data }) => data.n % 4 === 0 && data.version !== 1)).toEqual([]);
});

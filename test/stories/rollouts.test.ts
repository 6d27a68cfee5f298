/** Versions come and go under load, by the command line and by themselves: nothing is lost, and nothing is run twice. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { VersionsAnswer } from "#src/control/version-shapes.ts";
import { sluice } from "../cli/sluice.ts";
import type { Ran } from "../cli/sluice.ts";
import { readFileUplink } from "./rig/cloud-lines.ts";
import type { Counted } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler, failingHandler } from "./rig/handlers.ts";
import { expectSound } from "./rig/oracle.ts";
import type { Finding } from "./rig/oracle.ts";
import { sleep, until } from "./rig/wait.ts";

const SLOW = { withinMs: 60_000, everyMs: 50 };

interface Stage extends AsyncDisposable {
  readonly gateway: GatewayProcess;
  readonly fleet: Fleet;
  run(...args: string[]): Promise<Ran>;
  /** Bundles the source as handler `count` and deploys it. */
  deploy(source: string, ...args: string[]): Promise<Ran>;
  versions(): Promise<VersionsAnswer>;
  lines(): readonly { readonly data: Counted & { version?: number } }[];
  /** The load ends, all is drained, and everything is where it belongs. */
  sound(): Promise<Finding>;
}

async function setUp(devices = 8): Promise<Stage> {
  const gateway = await GatewayProcess.start({
    config: { handlers: { watch: true } },
    handlers: { "count.ts": countingHandler({ version: 1 }) },
  });
  const fleet = new Fleet({ port: gateway.mqttPort, devices, ratePerSecond: 400, qos: () => 2 });
  fleet.start();
  const cloud = join(gateway.folder, "cloud", "events.ndjson");
  const elsewhere = join(gateway.folder, "elsewhere");
  mkdirSync(elsewhere);
  const config = join(gateway.folder, "sluice.yaml");
  const run = (...args: string[]): Promise<Ran> => sluice([...args, "--config", config]);
  const lines: Stage["lines"] = () => readFileUplink(cloud).lines;
  await until("outputs", () => lines().length > 100, SLOW);
  return {
    gateway,
    fleet,
    run,
    deploy: (source, ...args) => {
      writeFileSync(join(elsewhere, "count.ts"), source);
      return run("deploy", join(elsewhere, "count.ts"), ...args);
    },
    versions: async () => JSON.parse((await run("versions", "count", "--json")).out) as VersionsAnswer,
    lines,
    sound: async () => {
      await fleet.settled();
      const ledger = await gateway.drained();
      return expectSound({
        promises: fleet.promises(),
        devices: fleet.devices,
        arrivals: readFileUplink(cloud),
        ledger,
      });
    },
    async [Symbol.asyncDispose]() {
      fleet[Symbol.dispose]();
      await gateway[Symbol.asyncDispose]();
    },
  };
}

describe("a version that fails", () => {
  it("on a few of its events is rolled back by itself, and every event ends on the version before (G6)", async () => {
    await using stage = await setUp();
    const ran = await stage.deploy(failingHandler(2, "n % 20 === 7"), "--wait", "-m", "one in twenty");
    expect([ran.code, ran.err]).toEqual([1, expect.stringMatching(/did not stay: \d+ of \d+ events failed/)]);
    await sleep(500);
    const finding = await stage.sound();
    expect(finding).toMatchObject({ unique: finding.acked, lost: 0, doubled: 0 });
    // What failed ran on the version before, and so did all that came after the verdict.
    const bad = stage.lines().filter(({ data }) => data.n % 20 === 7);
    expect(bad.length).toBeGreaterThan(10);
    expect(new Set(bad.map(({ data }) => data.version))).toEqual(new Set([1]));
    expect(stage.lines().some(({ data }) => data.version === 2)).toBe(true);
    const { live, history, versions } = await stage.versions();
    expect(live.version).toBe(1);
    expect(versions.map(({ version, message }) => [version, message])).toEqual([
      [1, undefined],
      [2, "one in twenty"],
    ]);
    expect(history.map(({ what, version }) => [what, version])).toEqual([
      ["live", 1],
      ["live", 2],
      ["rolled-back", 2],
    ]);
    expect((await stage.gateway.status()).ledger.events.dead).toBe(0);
    const status = await stage.run("status");
    expect(status.out).toContain("version 2 was rolled back to version 1");
  });
});

describe("a canary", () => {
  it("gets its share of the keys, and becomes live when it is promoted", async () => {
    await using stage = await setUp(40);
    expect(await stage.deploy(countingHandler({ version: 2 }), "--canary", "25%")).toMatchObject({ code: 0 });
    const from = stage.lines().length;
    await until("outputs of all devices", () => stage.lines().length > from + 1500, SLOW);
    const tried = new Set<string>();
    const all = new Set<string>();
    for (const { data } of stage.lines().slice(from)) {
      all.add(data.device);
      // A key stays on its side; what ran before is still on its way.
      if (data.version === 2) tried.add(data.device);
      else expect(tried).not.toContain(data.device);
    }
    expect(all.size).toBe(40);
    expect(tried.size / all.size).toBeGreaterThan(0.05);
    expect(tried.size / all.size).toBeLessThan(0.5);
    expect((await stage.versions()).candidate).toMatchObject({ version: 2, share: 0.25 });
    expect((await stage.run("promote", "count", "-m", "fine")).err).toContain("count 2 is live");
    await until(
      "all on the new version",
      () =>
        stage
          .lines()
          .slice(-50)
          .every(({ data }) => data.version === 2),
      SLOW,
    );
    const finding = await stage.sound();
    expect(finding).toMatchObject({ unique: finding.acked, lost: 0, doubled: 0 });
  });

  it("that throws is dropped by itself, and its events end on the live version", async () => {
    await using stage = await setUp(20);
    const ran = await stage.deploy(failingHandler(2, "n % 5 === 0"), "--canary", "50%", "--wait");
    expect(ran.code).toBe(1);
    await sleep(300);
    const finding = await stage.sound();
    expect(finding).toMatchObject({ unique: finding.acked, lost: 0, doubled: 0 });
    const { candidate, live, history } = await stage.versions();
    expect([candidate, live.version]).toEqual([undefined, 1]);
    expect(history.map(({ what }) => what)).toEqual(["live", "canary", "dropped"]);
    const tail = await stage.run("tail", "count", "--level", "error", "--since", "10m", "-n", "3");
    const told = tail.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { what: string; message?: string });
    expect(told.map(({ what }) => what)).toEqual(["live", "canary", "dropped"]);
    expect(told.at(-1)?.message).toMatch(/ events failed/);
  });
});

describe("a shadow", () => {
  it("changes nothing, and says what would be different", async () => {
    await using stage = await setUp();
    expect(await stage.deploy(failingHandler(2, "n % 10 === 0"), "--shadow")).toMatchObject({ code: 0 });
    const compared = await until(
      "comparisons",
      async () => {
        const { candidate } = await stage.versions();
        return (candidate?.shadow?.events ?? 0) > 300 ? candidate?.shadow : undefined;
      },
      { ...SLOW, everyMs: 300 },
    );
    // The version stands in each output, so none is the same.
    expect(compared).toMatchObject({ version: 2, same: 0 });
    expect(compared?.differences.failed).toBeGreaterThan(10);
    expect(compared?.differences.outputs).toBeGreaterThan(100);
    const text = await stage.run("versions", "count");
    expect(text.out).toContain("SHADOW 2");
    expect(text.out).toContain("of version 2");
    const finding = await stage.sound();
    expect(finding).toMatchObject({ unique: finding.acked, lost: 0, doubled: 0 });
    expect(stage.lines().every(({ data }) => data.version === 1)).toBe(true);
    expect((await stage.run("rollback", "count")).err).toContain("count 1 is live");
  });
});

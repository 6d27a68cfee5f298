import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { HttpCloud } from "../doubles/http-cloud.ts";
import { parseLines, readFileUplink } from "../stories/rig/cloud-lines.ts";
import { Fleet } from "../stories/rig/fleet.ts";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { countingHandler } from "../stories/rig/handlers.ts";
import { inLanes } from "../stories/rig/lanes.ts";
import { expectSound } from "../stories/rig/oracle.ts";
import { freePort } from "../stories/rig/ports.ts";
import { seededRandom } from "../stories/rig/random.ts";
import { chance } from "../stories/rig/story.ts";
import { sleep, until } from "../stories/rig/wait.ts";
import { SmallDisk } from "./rig/disks.ts";
import { straceWords } from "./rig/strace.ts";

const DISK_BYTES = 96 * 1024 ** 2;
const FILLINGS = 8;
const EIO_SEEDS = 6;
/** Gateways whose disk fails that run at the same time. */
const TOGETHER = 2;

describe("a disk that is full", () => {
  it(`${FILLINGS} times at random instants, some with a kill -9 in it, costs nothing that was acknowledged (G1, G4, G7)`, async () => {
    const random = chance();
    using disk = new SmallDisk(DISK_BYTES);
    const folder = join(disk.folder, "box");
    await using gateway = await GatewayProcess.start({
      folder,
      config: { uplinks: { cloud: { backoff: "50ms", backoffMax: "200ms" } } },
      handlers: { "count.ts": countingHandler() },
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 1_000, paddingBytes: 300 });
    fleet.start();
    await fleet.online();
    for (let filling = 1; filling <= FILLINGS; filling++) {
      await sleep(random.between(50, 400));
      disk.fill(random.between(0, 64) * 1024);
      await sleep(random.between(100, 1_500));
      expect(gateway.isUp, gateway.logTail()).toBe(true);
      const isKilled = filling % 3 === 0;
      if (isKilled) await gateway.kill9();
      disk.free();
      if (isKilled) gateway.launch();
      const before = fleet.acked;
      await until("acknowledgements once there is room", () => fleet.acked > before + 20, {
        withinMs: 30_000,
        tell: () => [fleet.figures(), gateway.logTail()],
      });
    }
    await gateway.ready();
    await fleet.settled();
    const ledger = await gateway.drained();
    expectSound(
      {
        promises: fleet.promises(),
        devices: fleet.devices,
        arrivals: readFileUplink(join(folder, "cloud", "events.ndjson")),
        ledger,
      },
      gateway.logTail(60),
    );
  });
});

describe("a disk that the journal itself would fill", () => {
  it("while the uplink is down keeps room for what is delivered to go when it is back, also after a restart (G1, G4, G7)", async () => {
    using disk = new SmallDisk(DISK_BYTES / 2);
    const folder = join(disk.folder, "box");
    const port = await freePort();
    const cloud = {
      kind: "https",
      path: undefined,
      url: `http://127.0.0.1:${port}/`,
      backoff: "50ms",
      backoffMax: "200ms",
    };
    await using gateway = await GatewayProcess.start({
      folder,
      config: { uplinks: { cloud } },
      handlers: { "count.ts": countingHandler() },
    });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 5_000, paddingBytes: 2_000 });
    fleet.start();
    const isFull = async (): Promise<boolean> => (await gateway.metric("sluice_journal_full")) === 1;
    await until("a full disk", isFull, {
      withinMs: 60_000,
      everyMs: 100,
      tell: () => [fleet.figures(), disk.freeBytes],
    });
    expect(await (await fetch(`${gateway.controlUrl}/readyz`)).text()).toContain(
      "left: events are refused until it has",
    );
    // What was on its way took of the reserve, and so does the store for a moment; all of it was written.
    expect(gateway.logged("cannot be written")).toEqual([]);
    fleet.pause();
    await gateway.kill9();
    gateway.launch();
    await until("the end of its start", () => gateway.logged("the gateway is ready").length === 2, {
      withinMs: 30_000,
    });
    await using http = await HttpCloud.open({ port });
    await fleet.settled(60_000);
    const before = fleet.acked;
    fleet.resume();
    await until("new acknowledgements", () => fleet.acked > before + 500, {
      withinMs: 60_000,
      tell: () => gateway.logTail(),
    });
    await fleet.settled(60_000);
    const ledger = await gateway.drained(60_000);
    const arrivals = parseLines(http.lines);
    expectSound({ promises: fleet.promises(), devices: fleet.devices, arrivals, ledger }, gateway.logTail(60));
  });
});

describe("a disk that fails", () => {
  it(`with EIO on the journal's writes and syncs at random, ${EIO_SEEDS} times, costs nothing that was acknowledged (G1, G4)`, async () => {
    const random = chance();
    const sufferings = Array.from({ length: EIO_SEEDS }, (_, seed) => ({
      calls: seed % 3 === 0 ? "fdatasync,fsync" : seed % 3 === 1 ? "write" : "fdatasync,fsync,write,pwrite64",
      every: random.between(40, 150),
      first: random.between(30, 120),
      random: seededRandom(random.between(1, 2 ** 31)).next,
    }));
    const failures = await inLanes(TOGETHER, sufferings, async (suffering) => {
      const folder = mkdtempSync(join(tmpdir(), "sluice-eio-"));
      try {
        return await sufferEio(folder, suffering);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
    const all = failures.reduce((sum, some) => sum + some, 0);
    expect(all, "no failure was injected: the rig proves nothing").toBeGreaterThan(EIO_SEEDS);
  });
});

interface Suffering {
  readonly calls: string;
  readonly first: number;
  readonly every: number;
  readonly random: () => number;
}

/** Returns how many calls failed. */
async function sufferEio(folder: string, { calls, first, every, random }: Suffering): Promise<number> {
  const record = join(folder, "strace.txt");
  const data = join(folder, "data");
  // The store numbers its files; those that a short life can make are named ahead.
  const files = Array.from({ length: 400 }, (_, i) => String(i + 1).padStart(6, "0")).flatMap((n) => [
    `${n}.log`,
    `${n}.ldb`,
  ]);
  const store = ["", "MANIFEST-000001", "MANIFEST-000002", ...files].map((name) => join(data, "journal", name));
  const mark = join(data, "journal.mark");
  await using gateway = await GatewayProcess.prepare({
    folder,
    config: { uplinks: { cloud: { backoff: "50ms", backoffMax: "200ms" } } },
    handlers: { "count.ts": countingHandler() },
    wrapper: straceWords({ calls, what: `error=EIO:when=${first}+${every}`, paths: [...store, mark], record }),
  });
  await gateway.start();
  using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 1_000 });
  fleet.start();
  const endMs = performance.now() + 4_000;
  while (performance.now() < endMs) {
    await sleep(200 + random() * 1_500);
    expect(gateway.isUp, gateway.logTail()).toBe(true);
    if (random() < 0.3) {
      await gateway.kill9();
      gateway.launch();
    }
  }
  const failures = readFileSync(record, "utf8").split("EIO").length - 1;
  // The disk is replaced: the same folder without the injection.
  await gateway.kill9();
  await using healed = await GatewayProcess.start({ folder, config: gateway.options.config ?? {} });
  for (const device of fleet.devices) device.moveTo(healed.mqttPort);
  await fleet.settled();
  const ledger = await healed.drained();
  expectSound(
    {
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(join(folder, "cloud", "events.ndjson")),
      ledger,
    },
    `EIO on ${calls}, ${first}+${every}, ${failures} failures\n${gateway.logTail(40)}\n${healed.logTail()}`,
  );
  return failures;
}

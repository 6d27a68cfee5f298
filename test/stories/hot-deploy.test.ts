import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound } from "./rig/oracle.ts";
import { sleep, until } from "./rig/wait.ts";

const BROKEN = `export const config = { topic: "load/{device}", to: ["cloud"] };

export default (event) => {
  return { unfinished: ;
};
`;

/** What the API answers to a handler that it does not know, and after that to the question who that was. */
async function refusal(gateway: GatewayProcess, code: string): Promise<readonly [deploy: number, drop: number]> {
  const handler = "/api/v1/handlers/refused";
  const deploy = await gateway.ask("POST", `${handler}/versions`, { code, sourceMap: "", file: "refused.js" });
  return [deploy.status, (await gateway.ask("DELETE", `${handler}/tasks`)).status];
}

describe("saving a handler under load", () => {
  it("takes effect without a restart, and no event is lost or run twice; a broken save changes nothing (G6)", async () => {
    await using gateway = await GatewayProcess.start({
      config: { handlers: { watch: true } },
      handlers: { "count.ts": countingHandler({ version: 1 }) },
    });
    const cloud = join(gateway.folder, "cloud", "events.ndjson");
    const live = (): number | undefined => readFileUplink(cloud).lines.at(-1)?.data.version;
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 800, qos: () => 2 });
    fleet.start();
    await until("outputs of version 1", () => live() === 1, { withinMs: 30_000, everyMs: 50 });

    gateway.saveHandler("count.ts", countingHandler({ version: 2 }));
    await until("outputs of version 2", () => live() === 2, {
      withinMs: 30_000,
      everyMs: 50,
      tell: () => gateway.logTail(),
    });

    gateway.saveHandler("count.ts", BROKEN);
    // The error leads to the place: file, line and column.
    await until("the error", () => gateway.logged("count.ts:4:24").length > 0, {
      withinMs: 30_000,
      tell: () => gateway.logTail(),
    });
    const before = readFileUplink(cloud).lines.length;
    await until("more outputs", () => readFileUplink(cloud).lines.length > before + 100, {
      withinMs: 30_000,
      everyMs: 50,
    });
    expect(live()).toBe(2);
    // Nor does the journal get to know what is refused: its numbers are not endless.
    for (const config of ['{ topic: "a", secrets: ["none"] }', '{ topic: "a", to: ["none"] }', '{ topic: "a/#/b" }']) {
      const code = `module.exports = { config: ${config}, default: () => undefined };`;
      expect(await refusal(gateway, code)).toEqual([409, 404]);
    }

    gateway.saveHandler("count.ts", countingHandler({ version: 3 }));
    await until("outputs of version 3", () => live() === 3, {
      withinMs: 30_000,
      everyMs: 50,
      tell: () => gateway.logTail(),
    });
    await sleep(100);
    await fleet.settled();
    const ledger = await gateway.drained();
    const arrivals = readFileUplink(cloud);
    const finding = expectSound({ promises: fleet.promises(), devices: fleet.devices, arrivals, ledger });
    expect(finding).toMatchObject({ unique: finding.acked, repeats: 0, doubled: 0 });
    for (const device of fleet.devices) {
      const versions = arrivals.lines
        .filter(({ data }) => data.device === device.options.id)
        .map(({ data }) => data.version ?? 0);
      expect(versions, "an older version ran after a newer one").toEqual(versions.toSorted((a, b) => a - b));
      expect(new Set(versions)).toEqual(new Set([1, 2, 3]));
    }
  });
});

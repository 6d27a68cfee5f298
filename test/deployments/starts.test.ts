/** What a start does not do again, so that a power cut does not keep devices waiting, and what it must. */
import { readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { DeploymentsOptions, LiveHandler } from "../../src/deployments/deployments.ts";
import { Fault } from "../../src/fault.ts";
import { systemClock } from "../../src/time.ts";
import { until } from "../stories/rig/wait.ts";
import { Folder, openDeployments, settings, source } from "./opened.ts";
import type { Opened } from "./opened.ts";

let folder: Folder;
let opened: Opened | undefined;
beforeEach(() => (folder = new Folder()));

/** What lies in the folder was written a minute ago, by the clock of the builds. */
const later = { ...systemClock, now: () => Date.now() + 60_000 };

async function start(handlers: object = {}, more: Partial<DeploymentsOptions> = { clock: later }): Promise<Opened> {
  await opened?.deployments.close();
  opened = await openDeployments(folder, handlers, more);
  return opened;
}

/** False: it was neither built nor loaded before the start was over. */
function isAnew({ live }: Opened): boolean {
  return live.at(-1)?.loadsLater !== true;
}

describe("a start", () => {
  it("neither builds nor loads what is as it was; the second one, for the first has nothing to go by", async () => {
    folder.write("h.ts", source("return 1"));
    expect(isAnew(await start())).toBe(true);
    const again = await start();
    expect(isAnew(again)).toBe(false);
    expect(again.live).toMatchObject([{ name: "h", version: 1, hasServed: true }]);
    expect(readFileSync(join(folder.data, "h", "1.js"), "utf8")).toBe(again.live[0]?.code);
  });

  it("builds what was changed meanwhile, though it is as long and seems as old", async () => {
    folder.write("h.ts", source("return 1"));
    await start();
    const path = join(folder.dir, "h.ts");
    const { atime, mtime } = statSync(path);
    writeFileSync(path, source("return 2"));
    utimesSync(path, atime, mtime);
    const again = await start();
    expect(again.live).toMatchObject([{ version: 2 }]);
    expect(isAnew(again)).toBe(true);
  });

  it("builds what it imports too, when that was changed", async () => {
    folder.write("lib/part.ts", "export const part = 1;\n");
    folder.write("h.ts", `import { part } from "./lib/part.ts";\n${source("return part")}`);
    await start();
    expect(isAnew(await start())).toBe(false);
    folder.write("lib/part.ts", "export const part = 2;\n");
    expect((await start()).live).toMatchObject([{ version: 2 }]);
  });

  it("builds what imports a package that names another file of itself now", async () => {
    const says = (main: string): void => folder.write("node_modules/@own/part/package.json", JSON.stringify({ main }));
    for (const n of [1, 2]) folder.write(`node_modules/@own/part/${n}.js`, `exports.part = ${n};\n`);
    says("1.js");
    folder.write("h.ts", `import { part } from "@own/part";\n${source("return part")}`);
    await start();
    expect(isAnew(await start())).toBe(false);
    says("2.js");
    expect((await start()).live).toMatchObject([{ version: 2 }]);
  });

  it("builds what had been written just before it was read: it may have been written again since", async () => {
    folder.write("h.ts", source("return 1"));
    await start({}, {});
    expect(isAnew(await start({}, {}))).toBe(true);
  });

  it("loads what has other settings now, whose source it does not build", async () => {
    folder.write("h.ts", source("return 1"));
    await start();
    expect(isAnew(await start({ settings: { h: { memory: "48MB" } } }))).toBe(true);
    expect(isAnew(await start({ settings: { h: { memory: "48MB" } } }))).toBe(false);
  });

  it("loads what gets other settings before there was time to load it", async () => {
    for (const name of ["a", "b"]) folder.write(`${name}.ts`, source("return 1"));
    await start();
    const gate = Promise.withResolvers<undefined>();
    const again = await start({}, { clock: later, warm: () => gate.promise });
    const reconfigured = again.deployments.reconfigure(settings(folder, { defaults: { memory: "48MB" } }));
    gate.resolve(undefined);
    await reconfigured;
    const last = again.live.findLast(({ name }) => name === "b");
    expect(last?.settings.memoryBytes).toBe(48 * 1024 * 1024);
    expect(last?.loadsLater).not.toBe(true);
  });

  it("takes on what the API has deployed, whatever lies in the folder", async () => {
    folder.write("h.ts", source("return 1"));
    const first = await start();
    const code = (first.live[0] as LiveHandler).code.replace("return 1", "return 3");
    await first.deployments.deploy({ name: "h", code, sourceMap: "{}", file: "h.ts" });
    expect((await start()).live).toMatchObject([{ version: 2 }]);
    expect((await start()).live).toMatchObject([{ version: 2 }]);
  });

  it("loads afterwards what it did not load, one by one, and tells what does not load any more", async () => {
    for (const name of ["a", "b", "c"]) folder.write(`${name}.ts`, source("return 1"));
    await start();
    const warmed: string[] = [];
    const warm = async ({ name }: LiveHandler): Promise<Fault | undefined> => {
      warmed.push(name);
      return name === "b" ? new Fault("DEPLOY_LOAD_FAILED", "it takes too much", { where: "h.ts" }) : undefined;
    };
    const again = await start({}, { clock: later, warm });
    await until("all are warm", () => warmed.length === 3, { withinMs: 10_000 });
    expect(warmed).toEqual(["a", "b", "c"]);
    await until("it is told", () => again.failed.length > 0, { withinMs: 10_000 });
    expect(again.failed).toMatchObject([["b", { code: "DEPLOY_LOAD_FAILED" }]]);
    await again.deployments.scan();
    expect(again.deployments.figures()).toMatchObject({ live: 3 });
  });
});

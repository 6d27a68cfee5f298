import { mkdirSync, renameSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { FolderWatch } from "../../src/deployments/watch.ts";
import { createLog } from "../../src/log.ts";
import { systemClock } from "../../src/time.ts";
import { patient } from "../sandbox/opened.ts";
import { Folder, openDeployments, source } from "./opened.ts";
import type { Opened } from "./opened.ts";

let folder: Folder;
let opened: Opened;
beforeEach(() => (folder = new Folder()));

const watch = { watch: true };
const codes = (): string[] => opened.live.map(({ name, version }) => `${name}@${version}`);

describe("a watched folder", () => {
  it("takes on what is saved, created, and removed", async () => {
    folder.write("a.ts", source("return 1"));
    opened = await openDeployments(folder, watch);
    folder.write("a.ts", source("return 2"));
    await expect.poll(codes, patient).toEqual(["a@1", "a@2"]);
    folder.write("b/index.ts", source("return 1"));
    await expect.poll(codes, patient).toEqual(["a@1", "a@2", "b@1"]);
    folder.remove("a.ts");
    await expect.poll(() => opened.removed, patient).toEqual(["a"]);
    expect(opened.deployments.handlers.map(({ name }) => name)).toEqual(["b"]);
  });

  it("notices files that handlers import, wherever they are", async () => {
    folder.write("../shared/limit.ts", "export const limit: number = 1;");
    folder.write("a.ts", `import { limit } from "../shared/limit.ts";\n${source("return limit")}`);
    opened = await openDeployments(folder, watch);
    folder.write("../shared/limit.ts", "export const limit: number = 2;");
    await expect.poll(codes, patient).toEqual(["a@1", "a@2"]);
  });

  it("notices the way editors save: aside, then renamed over", async () => {
    folder.write("a.ts", source("return 1"));
    opened = await openDeployments(folder, watch);
    folder.write(".a.ts.swp", source("return 2"));
    renameSync(join(folder.dir, ".a.ts.swp"), join(folder.dir, "a.ts"));
    await expect.poll(codes, patient).toEqual(["a@1", "a@2"]);
  });

  it("reports a broken save, keeps the last good version, and takes on the mended one", async () => {
    folder.write("a.ts", source("return 1"));
    opened = await openDeployments(folder, watch);
    folder.write("a.ts", "export default ((((");
    await expect.poll(() => opened.failed.map(([, { code }]) => code), patient).toEqual(["DEPLOY_BUILD_FAILED"]);
    expect(opened.deployments.handlers.map(({ version }) => version)).toEqual([1]);
    folder.write("a.ts", source("return 3"));
    await expect.poll(codes, patient).toEqual(["a@1", "a@2"]);
  });

  it("tells that a handler is mended whose source is again what is live, once", async () => {
    folder.write("a.ts", source("return 1"));
    opened = await openDeployments(folder);
    folder.write("a.ts", "export default ((((");
    await opened.deployments.scan();
    folder.write("a.ts", source("return 1"));
    await opened.deployments.scan();
    await opened.deployments.scan();
    expect(opened.failed.map(([name]) => name)).toEqual(["a"]);
    expect(opened.mended).toEqual(["a"]);
    expect(codes()).toEqual(["a@1"]);
    expect(opened.deployments.figures().failing).toBe(0);
  });

  it("tells that what never went live and is gone fails no more, nor a name that is taken no more", async () => {
    folder.write("a.ts", "export default ((((");
    folder.write("b.ts", source("return 1"));
    opened = await openDeployments(folder);
    folder.write("b.js", source("return 2"));
    await opened.deployments.scan();
    expect(opened.failed.map(([name]) => name)).toEqual(["a", "b"]);
    folder.remove("a.ts");
    folder.remove("b.js");
    await opened.deployments.scan();
    expect(opened.mended.toSorted()).toEqual(["a", "b"]);
    expect(codes()).toEqual(["b@1"]);
  });

  it("that goes takes no handler along: that it is gone is told once, and that it is back", async () => {
    folder.write("a.ts", source("return 1"));
    const log = createLog({ level: "silent", pretty: false });
    const said: string[] = [];
    log.error = ((_: object, message: string) => void said.push(message)) as typeof log.error;
    log.info = ((_: object, message: string) => void said.push(message)) as typeof log.info;
    opened = await openDeployments(folder, {}, { log });
    renameSync(folder.dir, join(folder.root, "aside"));
    await opened.deployments.scan();
    await opened.deployments.scan();
    expect(opened.failed.map(([, { code }]) => code)).toEqual(["DEPLOY_DIR_UNREADABLE"]);
    expect(opened.deployments.handlers.map(({ name }) => name)).toEqual(["a"]);
    renameSync(join(folder.root, "aside"), folder.dir);
    await opened.deployments.scan();
    expect(said).toEqual([
      "handler live",
      "the handlers' folder cannot be read any more; what is live goes on",
      "the handlers' folder is read again",
    ]);
    expect([opened.removed, opened.mended]).toEqual([[], [""]]);
  });

  it("takes on what could not be stored when there is room again, without another save", async () => {
    let leapMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + leapMs };
    folder.write("a.ts", source("return 1"));
    opened = await openDeployments(folder, watch, { clock });
    const full = join(folder.data, "a", "versions.json.new");
    mkdirSync(full);
    folder.write("a.ts", source("return 2"));
    await expect.poll(() => opened.failed.map(([, { code }]) => code), patient).toEqual(["DEPLOY_STORE_FAILED"]);
    rmdirSync(full);
    leapMs = 10_000;
    await expect.poll(codes, patient).toEqual(["a@1", "a@2"]);
  });

  it("is looked at once more, and no more often, when it changes while it is being looked at (D6)", async () => {
    opened = await openDeployments(folder);
    const seen: boolean[] = [];
    const held = Promise.withResolvers<void>();
    const looks = new FolderWatch(async (noticed) => {
      if (seen.push(noticed) === 1) await held.promise;
      else await new Promise(() => undefined);
    });
    looks.set(new Set([folder.dir]));
    for (let n = 1; n <= 4; n++) {
      folder.write("a.ts", source(`return ${n}`));
      if (n === 1) await expect.poll(() => seen, patient).toEqual([true]);
      // Beyond what makes one notice of several.
      await sleep(80);
    }
    held.resolve();
    await expect.poll(() => seen, patient).toEqual([true, true]);
    looks.close();
  });

  it("does nothing more for a save that changes nothing", async () => {
    folder.write("a.ts", source("return 1"));
    opened = await openDeployments(folder, watch);
    folder.write("a.ts", source("return 1"));
    folder.write("b.ts", source("return 1"));
    await expect.poll(codes, patient).toEqual(["a@1", "b@1"]);
  });

  it("takes on many saves as one, and ends on the last", async () => {
    folder.write("a.ts", source("return 0"));
    opened = await openDeployments(folder, watch);
    for (let n = 1; n <= 10; n++) folder.write("a.ts", source(`return ${n}`));
    await expect.poll(() => opened.deployments.handlers[0]?.code ?? "", patient).toContain("return 10");
  });
});

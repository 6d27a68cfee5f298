/** What lies under a handler's name, or is imported, and could be read without end (D5). */
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { buildHandler } from "../../src/deployments/build.ts";
import { Patience } from "../../src/deployments/patience.ts";
import { configPlace } from "../../src/deployments/places.ts";
import type { Rollout } from "../../src/deployments/rollout.ts";
import { Fault } from "../../src/fault.ts";
import { Folder, openDeployments, source } from "./opened.ts";
import type { Opened } from "./opened.ts";

let folder: Folder;
let opened: Opened | undefined;
beforeEach(() => (folder = new Folder()));

const pipe = (file: string): unknown => execFileSync("mkfifo", [join(folder.dir, file)]);
const failures = (): unknown => opened?.failed.map(([name, { code, where }]) => [name, code, where]);

describe("a handler's name", () => {
  it("that is a pipe, a device or a folder's pipe is refused unread, and the others go live (D5)", async () => {
    pipe("pipe.js");
    symlinkSync("/dev/zero", join(folder.dir, "zero.ts"));
    mkdirSync(join(folder.dir, "inside"));
    pipe("inside/index.ts");
    pipe("no-handler");
    folder.write("well.ts", source("return 1"));
    opened = await openDeployments(folder);
    expect(failures()).toEqual([
      ["inside", "DEPLOY_NOT_A_FILE", "handlers/inside/index.ts"],
      ["pipe", "DEPLOY_NOT_A_FILE", "handlers/pipe.js"],
      ["zero", "DEPLOY_NOT_A_FILE", "handlers/zero.ts"],
    ]);
    expect(opened.live.map(({ name }) => name)).toEqual(["well"]);
  });

  it("that became a pipe leaves the last good version live, also across a restart (D1)", async () => {
    folder.write("a.ts", source("return 1"));
    opened = await openDeployments(folder);
    folder.remove("a.ts");
    pipe("a.ts");
    await opened.deployments.scan();
    expect(failures()).toEqual([["a", "DEPLOY_NOT_A_FILE", "handlers/a.ts"]]);
    await opened.deployments.close();
    opened = await openDeployments(folder);
    expect(opened.live.map(({ name, version }) => [name, version])).toEqual([["a", 1]]);
  });

  it("that is larger than a bundle may be is refused unread", async () => {
    folder.write("large.js", "");
    truncateSync(join(folder.dir, "large.js"), 8 * 1024 * 1024 + 1);
    opened = await openDeployments(folder);
    expect(failures()).toEqual([["large", "DEPLOY_TOO_LARGE", "handlers/large.js"]]);
  });

  it("may be a link to a file or to a folder", async () => {
    folder.write("../elsewhere/one.ts", source("return 1"));
    folder.write("../elsewhere/two/index.ts", source("return 2"));
    symlinkSync("../elsewhere/one.ts", join(folder.dir, "one.ts"));
    symlinkSync("../elsewhere/two", join(folder.dir, "two"));
    opened = await openDeployments(folder);
    expect(opened.failed).toEqual([]);
    expect(opened.live.map(({ name }) => name)).toEqual(["one", "two"]);
  });
});

describe("an import", () => {
  it.each([
    ["pipe.ts", "no regular file"],
    ["zero.ts", "no regular file"],
    ["large.json", "larger than 8388608 bytes"],
  ])("of %s is refused at its place, for it is %s (D5)", async (file, why) => {
    folder.write("lib/large.json", "");
    truncateSync(join(folder.dir, "lib/large.json"), 8 * 1024 * 1024 + 1);
    pipe("lib/pipe.ts");
    symlinkSync("/dev/zero", join(folder.dir, "lib/zero.ts"));
    folder.write("a.ts", `\nimport x from "./lib/${file}";\nexport default () => x;\n`);
    opened = await openDeployments(folder);
    expect(failures()).toEqual([["a", "DEPLOY_BUILD_FAILED", "handlers/a.ts:2:15"]]);
    expect(opened.failed[0]?.[1].message).toContain(why);
  });
});

describe("the data folder", () => {
  it.each(["as text", "as a handler", "by a link"])(
    "is not read, %s: the admin's token would be in a bundle (D5)",
    async (how) => {
      folder.write("../data/admin.token", "deadbeef");
      if (how === "as a handler") symlinkSync("../data/admin.token", join(folder.dir, "a.ts"));
      else {
        symlinkSync("../data", join(folder.dir, ".link"));
        const from = how === "by a link" ? "./.link/admin.token" : "../data/admin.token";
        folder.write("a.ts", `import t from "${from}" with { type: "text" };\n${source("return t")}`);
      }
      opened = await openDeployments(folder);
      expect(opened.live).toEqual([]);
      expect(opened.failed[0]?.[1].message).toContain('"admin.token" cannot be imported: it is in the data folder');
    },
  );
});

describe("builds that come to no end", () => {
  const failing = (code: "DEPLOY_TIMEOUT" | "DEPLOY_BUILD_FAILED"): Rollout =>
    ({ fault: new Fault(code, "") }) as unknown as Rollout;
  let nowMs = 0;
  const clock = { monotonic: () => nowMs };

  it("take a bounded part of a start, however many they are, and are tried again after it", () => {
    const patience = new Patience(clock);
    let tookMs = 0;
    for (let n = 1; n <= 100; n++) {
      const buildMs = patience.buildMs(true);
      tookMs += buildMs;
      const known = failing("DEPLOY_TIMEOUT");
      patience.failed(known, known.fault as Fault, { tookMs: buildMs, isOpening: true });
      expect(patience.isOver(known, true)).toBe(true);
    }
    expect(tookMs).toBeLessThan(50_000);
    expect(patience.hasHurried).toBe(true);
    expect(patience.buildMs(false)).toBe(10_000);
  });

  it("are tried again once a minute at the most when something else is saved; what is wrong otherwise, each time", () => {
    const patience = new Patience(clock);
    const [stuck, wrong] = [failing("DEPLOY_TIMEOUT"), failing("DEPLOY_BUILD_FAILED")];
    for (const known of [stuck, wrong]) patience.failed(known, known.fault as Fault, { tookMs: 0, isOpening: false });
    expect([patience.isOver(stuck, true), patience.isOver(wrong, true), patience.isOver(wrong, false)]).toEqual([
      false,
      true,
      false,
    ]);
    nowMs += 60_000;
    expect([patience.isOver(stuck, true), patience.isOver(stuck, false)]).toEqual([true, false]);
  });
});

describe("a build", () => {
  /** esbuild's resolver reads manifests itself. */
  const stuck = (): void => {
    mkdirSync(join(folder.dir, "node_modules/stuck"), { recursive: true });
    pipe("node_modules/stuck/package.json");
    folder.write("a.ts", 'import x from "stuck";\nexport default () => x;\n');
  };

  it("that does not end is given up at its deadline, and the next one has a builder (D5)", async () => {
    stuck();
    folder.write("b.ts", source("return 1"));
    const build = (name: string): Promise<unknown> =>
      buildHandler(name, join(folder.dir, `${name}.ts`), folder.root, { timeoutMs: name === "a" ? 300 : 10_000 });
    await expect(build("a")).rejects.toMatchObject({ code: "DEPLOY_TIMEOUT", where: "handlers/a.ts" });
    await expect(build("b")).resolves.toMatchObject({ inputs: [join(folder.dir, "b.ts")] });
  });

  it("that does not end is given up when the gateway closes", async () => {
    opened = await openDeployments(folder);
    stuck();
    const scanned = opened.deployments.scan();
    // Until the build is under way.
    await sleep(300);
    await opened.deployments.close();
    await scanned;
    expect(opened.failed).toEqual([]);
  }, 8000);
});

describe("the place of a setting that is wrong", () => {
  const place = (text: string): string => {
    const sourceMap = JSON.stringify({
      version: 3,
      sources: ["h.ts"],
      sourcesContent: [text],
      names: [],
      mappings: "",
    });
    return configPlace({ file: "h.ts", sourceMap }, ["nowhere"]);
  };

  it.each(["/*", '"', "'", "`", "[/[/*]/]"])(
    "is found where a million of %s begin and none ends, or as many end",
    (text) => {
      expect(place(`export const config = {\n  ${text.repeat(Math.floor(1_000_000 / text.length))}`)).toBe("h.ts:1:14");
    },
  );

  it("is the file where the text is longer than anybody writes", () => {
    expect(place(`export const config = {\n${" ".repeat(1024 * 1024)}`)).toBe("h.ts");
  });
});

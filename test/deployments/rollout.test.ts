/** Which version is live, which is tried beside it, and how that lasts. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { buildHandler } from "../../src/deployments/build.ts";
import type { Deployed, DeploymentsOptions } from "../../src/deployments/deployments.ts";
import { Fault } from "../../src/fault.ts";
import { closeSandbox, Folder, openDeployments, settings, source } from "./opened.ts";
import type { Opened } from "./opened.ts";

let folder: Folder;
let opened: Opened;
const takenBack: unknown[] = [];
beforeEach(() => {
  folder = new Folder();
  takenBack.length = 0;
});
afterEach(async () => {
  vi.useRealTimers();
  await opened.deployments.close();
  folder.clear();
});
afterAll(closeSandbox);

async function open(handlers: object = {}, more: Partial<DeploymentsOptions> = {}): Promise<Opened> {
  opened = await openDeployments(folder, handlers, {
    takeBack: async (...asked) => {
      takenBack.push(asked.slice(0, 2));
      return 1;
    },
    ...more,
  });
  return opened;
}

async function again(handlers: object = {}): Promise<Opened> {
  await opened.deployments.close();
  return open(handlers);
}

/** As the command line does it. */
async function deploy(body: string, more: { share?: number; config?: string; name?: string } = {}): Promise<Deployed> {
  const { share, config, name = "h" } = more;
  const dir = join(folder.root, "elsewhere");
  mkdirSync(dir, { recursive: true });
  const entry = join(dir, `${name}.ts`);
  writeFileSync(entry, config === undefined ? source(body) : source(body, config));
  const { code, sourceMap } = await buildHandler(name, entry, folder.root, {});
  return opened.deployments.deploy({
    name,
    code,
    sourceMap,
    file: `elsewhere/${name}.ts`,
    share,
    author: "ada",
    message: body,
  });
}

async function save(body: string): Promise<void> {
  folder.write("h.ts", source(body));
  await opened.deployments.scan();
}

const live = (): number | undefined => opened.live.at(-1)?.version;
const codeOf = (thrown: unknown): unknown => (thrown as { code?: unknown }).code;
const history = (): string[] =>
  opened.deployments.versions("h").history.map(({ what, version }) => `${version} ${what}`);

describe("a version that comes after another one", () => {
  it("is on probation, until whoever runs it says that it has passed", async () => {
    await open();
    await save("return 1");
    expect(opened.live.at(-1)?.probation).toBeUndefined();
    await save("return 2");
    expect(opened.live.at(-1)).toMatchObject({ version: 2, probation: { eventsMax: 200, errors: 0.01 } });
    opened.deployments.judged("h", 2, { at: "passed" });
    await opened.deployments.scan();
    expect(opened.live.at(-1)).toMatchObject({ version: 2 });
    expect(opened.live.at(-1)?.probation).toBeUndefined();
    expect(history()).toEqual(["1 live", "2 live", "2 passed"]);
  });

  it("is on probation again after a restart, and not when it had passed", async () => {
    await open();
    await save("return 1");
    await save("return 2");
    await again();
    expect(opened.live).toMatchObject([{ version: 2, probation: { eventsMax: 200 } }]);
    opened.deployments.judged("h", 2, { at: "passed" });
    await opened.deployments.scan();
    await again();
    expect(opened.live.map(({ version, probation }) => [version, probation])).toEqual([[2, undefined]]);
  });

  it("is on probation where it was written while the gateway was off", async () => {
    await open();
    await save("return 1");
    await opened.deployments.close();
    folder.write("h.ts", source("return 2"));
    await open();
    expect(opened.live).toMatchObject([{ version: 2, probation: { eventsMax: 200 } }]);
    opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await opened.deployments.scan();
    expect(live()).toBe(1);
  });

  it("passes when its time is over", async () => {
    await open({ defaults: { probation: { time: "300ms" } } });
    await save("return 1");
    await save("return 2");
    expect(opened.live.at(-1)?.probation).toBeDefined();
    await expect.poll(() => opened.live.at(-1)?.probation, { timeout: 5000 }).toBeUndefined();
    await expect.poll(() => history().at(-1)).toBe("2 passed");
  });

  it("is not watched where nobody wants that", async () => {
    await open({ defaults: { probation: false } });
    await save("return 1");
    await save("return 2");
    expect(opened.live.at(-1)?.probation).toBeUndefined();
  });
});

describe("a version that is rejected", () => {
  it("makes way for the one before, also across restarts, until its source changes (R3)", async () => {
    await open();
    await save("return 1");
    await save("return 2");
    opened.deployments.judged("h", 2, { at: "rejected", reason: "3 of 20 events failed" });
    await opened.deployments.scan();
    expect(opened.live.at(-1)).toMatchObject({ version: 1, hasServed: true });
    expect(opened.live.at(-1)?.probation).toBeUndefined();
    expect(takenBack).toEqual([["h", 2]]);
    expect(opened.failed.map(([name, fault]) => [name, fault.code])).toEqual([["h", "HANDLER_ROLLED_BACK"]]);
    expect(opened.failed[0]?.[1].message).toContain("3 of 20 events failed");
    expect(opened.deployments.figures()).toMatchObject({ rollbacks: 1, failing: 1 });
    await again();
    expect(live()).toBe(1);
    folder.write("h.ts", source("return 2"));
    await opened.deployments.scan();
    expect(live()).toBe(1);
    await save("return 3");
    expect(opened.live.at(-1)).toMatchObject({ version: 3, probation: { eventsMax: 200 } });
    expect(opened.deployments.figures().failing).toBe(0);
  });

  it("makes way for the last one that has passed, not for another that had not", async () => {
    await open();
    for (const n of [1, 2, 3]) await save(`return ${n}`);
    // What the second failed at runs again on the third, which took its place.
    expect(takenBack).toEqual([["h", 2]]);
    opened.deployments.judged("h", 2, { at: "rejected", reason: "late" });
    opened.deployments.judged("h", 3, { at: "rejected", reason: "X" });
    await opened.deployments.scan();
    expect(live()).toBe(1);
    expect(takenBack).toEqual([
      ["h", 2],
      ["h", 3],
    ]);
  });

  it("is run again where its verdict comes to nothing, for it hands nothing out until then", async () => {
    await open();
    await save("return 1");
    const before = opened.live.length;
    opened.deployments.judged("h", 1, { at: "rejected", reason: "X" });
    await opened.deployments.scan();
    expect(opened.live.slice(before)).toMatchObject([{ version: 1 }]);
  });

  it("is taken back before that is remembered, so that a kill in between has it all happen once more", async () => {
    let seen: number | undefined;
    await open(
      {},
      {
        takeBack: async () => {
          seen = opened.deployments.versions("h").live;
          throw new Error("the disk is gone");
        },
      },
    );
    await save("return 1");
    await save("return 2");
    opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await opened.deployments.scan();
    expect([seen, live(), opened.deployments.versions("h").live]).toEqual([2, 1, 1]);
  });

  it("is so once: a late verdict changes nothing (R2)", async () => {
    await open();
    await save("return 1");
    await save("return 2");
    for (let n = 0; n < 3; n++) opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await opened.deployments.scan();
    opened.deployments.judged("h", 1, { at: "rejected", reason: "X" });
    opened.deployments.judged("gone", 1, { at: "passed" });
    await opened.deployments.scan();
    expect(live()).toBe(1);
    expect(opened.deployments.figures().rollbacks).toBe(1);
  });

  it("goes on, unwatched, when the one before is damaged", async () => {
    await open();
    await save("return 1");
    await save("return 2");
    writeFileSync(join(folder.data, "h", "1.js"), "garbage");
    opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await opened.deployments.scan();
    expect(opened.live.at(-1)?.version).toBe(2);
    expect(opened.live.at(-1)?.probation).toBeUndefined();
  });
});

describe("rolling back by hand", () => {
  it("goes to the version before, or to any that is kept, and says why", async () => {
    await open({ defaults: { probation: false } });
    for (const n of [1, 2, 3]) await save(`return ${n}`);
    expect(await opened.deployments.rollBack("h", undefined, { author: "ada", message: "too hot" })).toBe(2);
    expect(live()).toBe(2);
    expect(opened.deployments.versions("h").history.at(-1)).toMatchObject({
      what: "rolled-back",
      why: "too hot",
      author: "ada",
    });
    expect(await opened.deployments.rollBack("h", 1, {})).toBe(1);
    await again({ defaults: { probation: false } });
    expect(live()).toBe(1);
  });

  it("counts a version as proven only when it is what was replaced", async () => {
    await open({ defaults: { probation: false } });
    for (const n of [1, 2, 3]) await save(`return ${n}`);
    await opened.deployments.rollBack("h", 1, {});
    expect(opened.live.at(-1)).toMatchObject({ version: 1, hasServed: false });
    await opened.deployments.rollBack("h", 3, {});
    expect(opened.live.at(-1)).toMatchObject({ version: 3, hasServed: false });
  });

  it("is refused with what there is", async () => {
    await open();
    await save("return 1");
    const refused = async (name: string, version?: number): Promise<unknown> =>
      opened.deployments.rollBack(name, version, {}).catch(codeOf);
    expect(await refused("h")).toBe("DEPLOY_NO_VERSION");
    expect(await refused("h", 7)).toBe("DEPLOY_NO_VERSION");
    expect(await refused("h", 1)).toBe("DEPLOY_SAME");
    expect(await refused("nobody")).toBe("CONTROL_NOT_FOUND");
    expect(live()).toBe(1);
  });
});

describe("a deploy", () => {
  it("of a handler that the folder does not have stays across restarts, until it is removed", async () => {
    await open();
    expect(await deploy("return 1")).toEqual({ version: 1, at: "live", before: undefined });
    expect(opened.deployments.versions("h").versions).toMatchObject([
      { version: 1, author: "ada", message: "return 1" },
    ]);
    await opened.deployments.scan();
    await again();
    expect(live()).toBe(1);
    expect(await opened.deployments.remove("h", {})).toBe(0);
    expect(opened.removed).toEqual(["h"]);
    await again();
    expect(opened.live).toEqual([]);
    // Numbers go on.
    expect(await deploy("return 2")).toMatchObject({ version: 2 });
  });

  it("goes over what the folder has, until that changes", async () => {
    await open();
    await save("return 1");
    expect(await deploy("return 2")).toEqual({ version: 2, at: "live", before: 1 });
    await again();
    expect(live()).toBe(2);
    expect(await opened.deployments.remove("h", {})).toBe(0);
    expect(live()).toBe(1);
  });

  it("of what does not load, has no trigger, or no name, changes nothing", async () => {
    await open();
    await deploy("return 1");
    const refused = (body: string, more: object = {}): Promise<unknown> => deploy(body, more).catch(codeOf);
    expect(await refused("return 2", { config: "{}" })).toBe("DEPLOY_NO_TRIGGER");
    expect(await refused("}; throw 1; {")).toBe("DEPLOY_LOAD_FAILED");
    expect(await refused("return 2", { name: "Not-a-name" })).toBe("DEPLOY_NAME_INVALID");
    expect(await refused("return 2", { name: "other", config: "{}" })).toBe("DEPLOY_NO_TRIGGER");
    expect(live()).toBe(1);
    expect(opened.deployments.versions("h").versions).toHaveLength(1);
  });

  it("that cannot be remembered is not live, for after a restart it would not be", async () => {
    await open();
    await save("return 1");
    mkdirSync(join(folder.data, "h", "versions.json.new"));
    expect(await deploy("return 2").catch(codeOf)).toBe("DEPLOY_STORE_FAILED");
    expect(live()).toBe(1);
  });

  it("that cannot go live at a start does when the config is mended", async () => {
    await open();
    await deploy("return 1");
    await opened.deployments.close();
    let isBroken = true;
    const seen: number[] = [];
    await open(
      {},
      {
        live: async ({ version }) => {
          if (isBroken) throw new Fault("OUTPUT_UPLINK_UNKNOWN", "no uplink is named cloud");
          seen.push(version);
        },
      },
    );
    expect(opened.deployments.figures()).toMatchObject({ live: 0, failing: 1 });
    isBroken = false;
    await opened.deployments.reconfigure(settings(folder, {}));
    expect(seen).toEqual([1]);
    expect(opened.deployments.figures()).toMatchObject({ live: 1, failing: 0 });
  });

  it("that is refused again and again does not fill the disk", async () => {
    await open();
    await deploy("return 0");
    for (let n = 1; n <= 15; n++) {
      expect(await deploy(`return ${n}`, { share: 0.5, config: '{ topic: "other" }' }).catch(codeOf)).toBe(
        "DEPLOY_OTHER_TRIGGERS",
      );
    }
    expect(opened.deployments.versions("h").versions.length).toBeLessThanOrEqual(12);
  });

  it("of a handler in the folder cannot be removed by itself", async () => {
    await open();
    await save("return 1");
    expect(await opened.deployments.remove("h", {}).catch(codeOf)).toBe("DEPLOY_IN_FOLDER");
  });
});

describe("a version that is tried beside the live one", () => {
  it("is handed over with its share, stays across restarts, and becomes live when it is promoted", async () => {
    await open();
    await deploy("return 1");
    expect(await deploy("return 2", { share: 0.1 })).toEqual({ version: 2, at: "canary", before: 1 });
    expect(opened.live.at(-1)).toMatchObject({ version: 1, candidate: { version: 2, share: 0.1 } });
    await again();
    expect(opened.live.at(-1)).toMatchObject({ version: 1, candidate: { version: 2, share: 0.1 } });
    expect(await opened.deployments.promote("h", { message: "fine" })).toEqual({ version: 2, at: "live", before: 1 });
    expect(opened.live.at(-1)).toMatchObject({ version: 2, candidate: undefined, probation: { eventsMax: 200 } });
    expect(history()).toEqual(["1 live", "2 canary", "2 live"]);
    await again();
    expect(opened.live.at(-1)).toMatchObject({ version: 2, candidate: undefined });
  });

  it("is dropped when it is rejected, or taken back, and the live one goes on", async () => {
    await open();
    await deploy("return 1");
    await deploy("return 2", { share: 0.5 });
    opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await opened.deployments.scan();
    expect(opened.live.at(-1)).toMatchObject({ version: 1, candidate: undefined });
    expect(takenBack).toEqual([["h", 2]]);
    await deploy("return 3", { share: 0 });
    expect(opened.live.at(-1)).toMatchObject({ version: 1, candidate: { version: 3, share: 0 } });
    expect(await opened.deployments.rollBack("h", undefined, { message: "seen enough" })).toBe(1);
    expect(opened.live.at(-1)).toMatchObject({ version: 1, candidate: undefined });
    expect(history()).toEqual(["1 live", "2 canary", "2 dropped", "3 shadow", "3 dropped"]);
    expect(await opened.deployments.promote("h", {}).catch(codeOf)).toBe("DEPLOY_NO_CANDIDATE");
  });

  it("that cannot run any more does not keep the live one from starting (R1)", async () => {
    await open();
    await deploy("return 1");
    await deploy("return 2", { share: 0.5 });
    await opened.deployments.close();
    const seen: unknown[] = [];
    await open(
      {},
      {
        live: async ({ version, candidate }) => {
          if (candidate !== undefined) throw new Fault("OUTPUT_UPLINK_UNKNOWN", "no uplink is named cloud");
          seen.push(version);
        },
      },
    );
    expect(seen).toEqual([1]);
    expect(opened.deployments.versions("h")).toMatchObject({ live: 1 });
    expect(opened.deployments.versions("h").candidate).toBeUndefined();
    expect(history().at(-1)).toBe("2 dropped");
    expect(takenBack).toEqual([["h", 2]]);
  });

  it("that is replaced is taken back", async () => {
    await open();
    await deploy("return 1");
    await deploy("return 2", { share: 0.5 });
    await deploy("return 3", { share: 0.5 });
    expect(takenBack).toEqual([["h", 2]]);
    await save("return 4");
    expect(takenBack).toEqual([
      ["h", 2],
      ["h", 3],
    ]);
  });

  it("is gone when another version goes live", async () => {
    await open();
    await save("return 1");
    await deploy("return 2", { share: 0.5 });
    await save("return 3");
    expect(opened.live.at(-1)).toMatchObject({ version: 3, candidate: undefined });
    await again();
    expect(opened.live.at(-1)).toMatchObject({ version: 3, candidate: undefined });
  });

  it("is refused where nothing is live, on probation, with other triggers, or when it is the live one", async () => {
    await open();
    const refused = (body: string, config?: string): Promise<unknown> =>
      deploy(body, { share: 0.5, ...(config === undefined ? {} : { config }) }).catch(codeOf);
    expect(await refused("return 1")).toBe("DEPLOY_NOTHING_LIVE");
    await deploy("return 1");
    expect(await refused("return 1")).toBe("DEPLOY_SAME");
    expect(await refused("return 2", '{ topic: "b" }')).toBe("DEPLOY_OTHER_TRIGGERS");
    await deploy("return 3");
    expect(await refused("return 4")).toBe("DEPLOY_ON_PROBATION");
    expect(opened.live.at(-1)).toMatchObject({ version: 3, candidate: undefined });
  });
});

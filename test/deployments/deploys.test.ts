/** Versions that the API brings: live, or tried beside the live one. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Fault } from "../../src/fault.ts";
import { settings } from "./opened.ts";

import { again, codeOf, deploy, eachWithItsFolder, history, live, open, save, stage, takenBack } from "./rollouts.ts";

eachWithItsFolder();

describe("a deploy", () => {
  it("of a handler that the folder does not have stays across restarts, until it is removed", async () => {
    await open();
    expect(await deploy("return 1")).toEqual({ version: 1, at: "live", before: undefined });
    expect((await stage.opened.deployments.versions("h")).versions).toMatchObject([
      { version: 1, author: "ada", message: "return 1" },
    ]);
    await stage.opened.deployments.scan();
    await again();
    expect(live()).toBe(1);
    expect(await stage.opened.deployments.remove("h", {})).toBe(0);
    expect(stage.opened.removed).toEqual(["h"]);
    await again();
    expect(stage.opened.live).toEqual([]);
    // Numbers go on.
    expect(await deploy("return 2")).toMatchObject({ version: 2 });
  });

  it("of a handler that is gone can be gone back to, also after a restart", async () => {
    await open();
    await deploy("return 1");
    await deploy("return 2");
    await stage.opened.deployments.remove("h", { author: "ada", message: "a mistake" });
    await again();
    expect(await stage.opened.deployments.versions("h")).toMatchObject({ live: 0, versions: [{}, {}] });
    expect((await stage.opened.deployments.versions("h")).history.at(-1)).toMatchObject({
      ...{ what: "removed", version: 2, author: "ada", why: "a mistake" },
    });
    const back = (version?: number) => stage.opened.deployments.rollBack("h", version, {}).catch(codeOf);
    expect(await back(7)).toBe("DEPLOY_NO_VERSION");
    expect(stage.opened.live).toEqual([]);
    expect(await back()).toBe(2);
    expect((await history()).slice(-2)).toEqual(["2 removed", "2 live"]);
    await again();
    expect(live()).toBe(2);
    await stage.opened.deployments.remove("h", {});
    expect(await back(1)).toBe(1);
    expect(await stage.opened.deployments.rollBack("never", undefined, {}).catch(codeOf)).toBe("CONTROL_NOT_FOUND");
    expect(await stage.opened.deployments.versions("never").catch(codeOf)).toBe("CONTROL_NOT_FOUND");
    expect(await stage.opened.deployments.versions("../admin.token").catch(codeOf)).toBe("CONTROL_NOT_FOUND");
  });

  it("of a handler whose source has gone, or fails from the start, can be gone back to as well", async () => {
    await open();
    await save("return 1");
    stage.folder.remove("h.ts");
    await stage.opened.deployments.scan();
    expect(stage.opened.removed).toEqual(["h"]);
    expect(await stage.opened.deployments.rollBack("h", undefined, {})).toBe(1);
    await stage.opened.deployments.scan();
    await again();
    expect(live()).toBe(1);
    // The source is news again only when it is another one.
    await save("return 1");
    await save("return 2");
    expect(live()).toBe(2);
  });

  it("goes over what the folder has, until that changes", async () => {
    await open();
    await save("return 1");
    expect(await deploy("return 2")).toEqual({ version: 2, at: "live", before: 1 });
    await again();
    expect(live()).toBe(2);
    expect(await stage.opened.deployments.remove("h", {})).toBe(0);
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
    expect((await stage.opened.deployments.versions("h")).versions).toHaveLength(1);
  });

  it("of what would be another content on disk, or could be taken for another one, is refused (D2)", async () => {
    await open();
    const bundle = { name: "h", file: "h.js", share: undefined };
    const code = 'exports.config = { topic: "a" }; exports.default = () => "half"; //';
    for (const [text, sourceMap] of [
      [`${code}\ud800`, ""],
      [code, "\udc00"],
      [code, "a\0b"],
    ] as const) {
      expect(await stage.opened.deployments.deploy({ ...bundle, code: text, sourceMap }).catch(codeOf)).toBe(
        "DEPLOY_BUILD_FAILED",
      );
    }
    expect(await stage.opened.deployments.deploy({ ...bundle, code, sourceMap: "" })).toMatchObject({ version: 1 });
  });

  it("that cannot be remembered is not live, for after a restart it would not be", async () => {
    await open();
    await save("return 1");
    mkdirSync(join(stage.folder.data, "h", "versions.json.new"));
    expect(await deploy("return 2").catch(codeOf)).toBe("DEPLOY_STORE_FAILED");
    expect(live()).toBe(1);
  });

  it("that cannot be stored leaves nothing of itself, and is stored when there is room", async () => {
    await open();
    await deploy("return 1");
    mkdirSync(join(stage.folder.data, "h", "2.js", "something"), { recursive: true });
    expect(await deploy("return 2").catch(codeOf)).toBe("DEPLOY_STORE_FAILED");
    expect(readdirSync(join(stage.folder.data, "h")).filter((file) => file.endsWith(".new"))).toEqual([]);
    rmSync(join(stage.folder.data, "h", "2.js"), { recursive: true });
    expect(await deploy("return 2")).toMatchObject({ version: 2, at: "live" });
  });

  it("is not taken back by hand where that cannot be remembered: after a restart it would be live again", async () => {
    await open();
    await deploy("return 1");
    await deploy("return 2");
    mkdirSync(join(stage.folder.data, "h", "versions.json.new"));
    expect(await stage.opened.deployments.rollBack("h", 1, {}).catch(codeOf)).toBe("DEPLOY_STORE_FAILED");
    expect([live(), (await stage.opened.deployments.versions("h")).live]).toEqual([2, 2]);
  });

  it("that is taken back by a verdict is so, and shown so, also where that cannot be remembered", async () => {
    await open();
    await deploy("return 1");
    await deploy("return 2");
    mkdirSync(join(stage.folder.data, "h", "versions.json.new"));
    stage.opened.deployments.judged("h", 2, { at: "rejected", reason: "it fails" });
    await stage.opened.deployments.scan();
    expect([live(), (await stage.opened.deployments.versions("h")).live]).toEqual([1, 1]);
  });

  it("that cannot go live at a start does when the config is mended", async () => {
    await open();
    await deploy("return 1");
    await stage.opened.deployments.close();
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
    expect(stage.opened.deployments.figures()).toMatchObject({ live: 0, failing: 1 });
    isBroken = false;
    await stage.opened.deployments.reconfigure(settings(stage.folder, {}));
    expect(seen).toEqual([1]);
    expect(stage.opened.deployments.figures()).toMatchObject({ live: 1, failing: 0 });
  });

  it("that is refused again and again does not fill the disk", async () => {
    await open();
    await deploy("return 0");
    for (let n = 1; n <= 15; n++) {
      expect(await deploy(`return ${n}`, { share: 0.5, config: '{ topic: "other" }' }).catch(codeOf)).toBe(
        "DEPLOY_OTHER_TRIGGERS",
      );
    }
    expect((await stage.opened.deployments.versions("h")).versions.length).toBeLessThanOrEqual(12);
  });

  it("of a handler in the folder cannot be removed by itself", async () => {
    await open();
    await save("return 1");
    expect(await stage.opened.deployments.remove("h", {}).catch(codeOf)).toBe("DEPLOY_IN_FOLDER");
  });
});

describe("a version that is tried beside the live one", () => {
  it("is handed over with its share, stays across restarts, and becomes live when it is promoted", async () => {
    await open();
    await deploy("return 1");
    expect(await deploy("return 2", { share: 0.1 })).toEqual({ version: 2, at: "canary", before: 1 });
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 1, candidate: { version: 2, share: 0.1 } });
    await again();
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 1, candidate: { version: 2, share: 0.1 } });
    expect(await stage.opened.deployments.promote("h", { message: "fine" })).toEqual({
      version: 2,
      at: "live",
      before: 1,
    });
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 2, candidate: undefined, probation: { eventsMax: 200 } });
    expect(await history()).toEqual(["1 live", "2 canary", "2 live"]);
    await again();
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 2, candidate: undefined });
  });

  it("is dropped when it is rejected, or taken back, and the live one goes on", async () => {
    await open();
    await deploy("return 1");
    await deploy("return 2", { share: 0.5 });
    stage.opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await stage.opened.deployments.scan();
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 1, candidate: undefined });
    expect(takenBack).toEqual([["h", 2]]);
    await deploy("return 3", { share: 0 });
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 1, candidate: { version: 3, share: 0 } });
    expect(await stage.opened.deployments.rollBack("h", undefined, { message: "seen enough" })).toBe(1);
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 1, candidate: undefined });
    expect(await history()).toEqual(["1 live", "2 canary", "2 dropped", "3 shadow", "3 dropped"]);
    expect(await stage.opened.deployments.promote("h", {}).catch(codeOf)).toBe("DEPLOY_NO_CANDIDATE");
  });

  it("that cannot run any more does not keep the live one from starting (R1)", async () => {
    await open();
    await deploy("return 1");
    await deploy("return 2", { share: 0.5 });
    await stage.opened.deployments.close();
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
    expect(await stage.opened.deployments.versions("h")).toMatchObject({ live: 1 });
    expect((await stage.opened.deployments.versions("h")).candidate).toBeUndefined();
    expect((await history()).at(-1)).toBe("2 dropped");
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
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 3, candidate: undefined });
    await again();
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 3, candidate: undefined });
  });

  it("is refused where nothing is live, on probation, with other triggers, or when it is the live one", async () => {
    await open();
    const refused = (body: string, config?: string): Promise<unknown> =>
      deploy(body, { share: 0.5, ...(config === undefined ? {} : { config }) }).catch(codeOf);
    expect(await refused("return 1")).toBe("DEPLOY_NOTHING_LIVE");
    await deploy("return 1");
    expect(await refused("return 1")).toBe("DEPLOY_SAME");
    expect(await refused("return 2", '{ topic: "b" }')).toBe("DEPLOY_OTHER_TRIGGERS");
    expect(await refused("return 2", '{ topic: "a", on: ["gateway.started"] }')).toBe("DEPLOY_OTHER_TRIGGERS");
    await deploy("return 3");
    expect(await refused("return 4")).toBe("DEPLOY_ON_PROBATION");
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 4, candidate: undefined });
  });
});

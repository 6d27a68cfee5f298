/** Which version is live, and how that lasts: probation, verdicts, and going back. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { source } from "./opened.ts";

import { again, codeOf, eachWithItsFolder, history, live, open, save, stage, takenBack } from "./rollouts.ts";

eachWithItsFolder();

describe("a version that comes after another one", () => {
  it("is on probation, until whoever runs it says that it has passed", async () => {
    const decided: unknown[] = [];
    await open({}, { decided: (...what) => decided.push(what) });
    await save("return 1");
    expect(stage.opened.live.at(-1)?.probation).toBeUndefined();
    await save("return 2");
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 2, probation: { eventsMax: 200, errors: 0.01 } });
    stage.opened.deployments.judged("h", 2, { at: "passed" });
    await stage.opened.deployments.scan();
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 2 });
    expect(stage.opened.live.at(-1)?.probation).toBeUndefined();
    expect(await history()).toEqual(["1 live", "2 live", "2 passed"]);
    expect(decided).toEqual([["h", { what: "passed", version: 2 }]]);
  });

  it("is on probation again after a restart, and not when it had passed", async () => {
    await open();
    await save("return 1");
    await save("return 2");
    await again();
    expect(stage.opened.live).toMatchObject([{ version: 2, probation: { eventsMax: 200 } }]);
    stage.opened.deployments.judged("h", 2, { at: "passed" });
    await stage.opened.deployments.scan();
    await again();
    expect(stage.opened.live.map(({ version, probation }) => [version, probation])).toEqual([[2, undefined]]);
  });

  it("is on probation where it was written while the gateway was off", async () => {
    await open();
    await save("return 1");
    await stage.opened.deployments.close();
    stage.folder.write("h.ts", source("return 2"));
    await open();
    expect(stage.opened.live).toMatchObject([{ version: 2, probation: { eventsMax: 200 } }]);
    stage.opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await stage.opened.deployments.scan();
    expect(live()).toBe(1);
  });

  it("passes when its time is over", async () => {
    await open({ defaults: { probation: { time: "300ms" } } });
    await save("return 1");
    await save("return 2");
    expect(stage.opened.live.at(-1)?.probation).toBeDefined();
    await expect.poll(() => stage.opened.live.at(-1)?.probation, { timeout: 5000 }).toBeUndefined();
    await expect.poll(async () => (await history()).at(-1)).toBe("2 passed");
  });

  it("is not watched where nobody wants that", async () => {
    await open({ defaults: { probation: false } });
    await save("return 1");
    await save("return 2");
    expect(stage.opened.live.at(-1)?.probation).toBeUndefined();
  });
});

describe("a version that is rejected", () => {
  it("makes way for the one before, also across restarts, until its source changes (R3)", async () => {
    await open();
    await save("return 1");
    await save("return 2");
    stage.opened.deployments.judged("h", 2, { at: "rejected", reason: "3 of 20 events failed" });
    await stage.opened.deployments.scan();
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 1, hasServed: true });
    expect(stage.opened.live.at(-1)?.probation).toBeUndefined();
    expect(takenBack).toEqual([["h", 2]]);
    expect(stage.opened.failed.map(([name, fault]) => [name, fault.code])).toEqual([["h", "HANDLER_ROLLED_BACK"]]);
    expect(stage.opened.failed[0]?.[1].message).toContain("3 of 20 events failed");
    expect(stage.opened.deployments.figures()).toMatchObject({ rollbacks: 1, failing: 1 });
    await again();
    expect(live()).toBe(1);
    stage.folder.write("h.ts", source("return 2"));
    await stage.opened.deployments.scan();
    expect(live()).toBe(1);
    await save("return 3");
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 3, probation: { eventsMax: 200 } });
    expect(stage.opened.deployments.figures().failing).toBe(0);
  });

  it("makes way for the last one that has passed, not for another that had not", async () => {
    await open();
    for (const n of [1, 2, 3]) await save(`return ${n}`);
    // What the second failed at runs again on the third, which took its place.
    expect(takenBack).toEqual([["h", 2]]);
    stage.opened.deployments.judged("h", 2, { at: "rejected", reason: "late" });
    stage.opened.deployments.judged("h", 3, { at: "rejected", reason: "X" });
    await stage.opened.deployments.scan();
    expect(live()).toBe(1);
    expect(takenBack).toEqual([
      ["h", 2],
      ["h", 3],
    ]);
  });

  it("is run again where its verdict comes to nothing, for it hands nothing out until then", async () => {
    await open();
    await save("return 1");
    const before = stage.opened.live.length;
    stage.opened.deployments.judged("h", 1, { at: "rejected", reason: "X" });
    await stage.opened.deployments.scan();
    expect(stage.opened.live.slice(before)).toMatchObject([{ version: 1 }]);
  });

  it("is taken back before that is remembered, so that a kill in between has it all happen once more", async () => {
    const remembered = (): unknown =>
      (JSON.parse(readFileSync(join(stage.folder.data, "h", "versions.json"), "utf8")) as { live: unknown }).live;
    let seen: unknown;
    await open(
      {},
      {
        takeBack: async () => {
          seen = remembered();
          throw new Error("the disk is gone");
        },
      },
    );
    await save("return 1");
    await save("return 2");
    stage.opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await stage.opened.deployments.scan();
    expect([seen, live(), remembered()]).toEqual([2, 1, 1]);
  });

  it("is so once: a late verdict changes nothing (R2)", async () => {
    await open();
    await save("return 1");
    await save("return 2");
    for (let n = 0; n < 3; n++) stage.opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await stage.opened.deployments.scan();
    stage.opened.deployments.judged("h", 1, { at: "rejected", reason: "X" });
    stage.opened.deployments.judged("gone", 1, { at: "passed" });
    await stage.opened.deployments.scan();
    expect(live()).toBe(1);
    expect(stage.opened.deployments.figures().rollbacks).toBe(1);
  });

  it("goes on, unwatched, when the one before is damaged", async () => {
    await open();
    await save("return 1");
    await save("return 2");
    writeFileSync(join(stage.folder.data, "h", "1.js"), "garbage");
    stage.opened.deployments.judged("h", 2, { at: "rejected", reason: "X" });
    await stage.opened.deployments.scan();
    expect(stage.opened.live.at(-1)?.version).toBe(2);
    expect(stage.opened.live.at(-1)?.probation).toBeUndefined();
  });
});

describe("rolling back by hand", () => {
  it("goes to the version before, or to any that is kept, and says why", async () => {
    await open({ defaults: { probation: false } });
    for (const n of [1, 2, 3]) await save(`return ${n}`);
    expect(await stage.opened.deployments.rollBack("h", undefined, { author: "ada", message: "too hot" })).toBe(2);
    expect(live()).toBe(2);
    expect((await stage.opened.deployments.versions("h")).history.at(-1)).toMatchObject({
      what: "rolled-back",
      why: "too hot",
      author: "ada",
    });
    expect(await stage.opened.deployments.rollBack("h", 1, {})).toBe(1);
    await again({ defaults: { probation: false } });
    expect(live()).toBe(1);
  });

  it("counts a version as proven only when it is what was replaced", async () => {
    await open({ defaults: { probation: false } });
    for (const n of [1, 2, 3]) await save(`return ${n}`);
    await stage.opened.deployments.rollBack("h", 1, {});
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 1, hasServed: false });
    await stage.opened.deployments.rollBack("h", 3, {});
    expect(stage.opened.live.at(-1)).toMatchObject({ version: 3, hasServed: false });
  });

  it("is refused with what there is", async () => {
    await open();
    await save("return 1");
    const refused = async (name: string, version?: number): Promise<unknown> =>
      stage.opened.deployments.rollBack(name, version, {}).catch(codeOf);
    expect(await refused("h")).toBe("DEPLOY_NO_VERSION");
    expect(await refused("h", 7)).toBe("DEPLOY_NO_VERSION");
    expect(await refused("h", 1)).toBe("DEPLOY_SAME");
    expect(await refused("nobody")).toBe("CONTROL_NOT_FOUND");
    expect(live()).toBe(1);
  });
});

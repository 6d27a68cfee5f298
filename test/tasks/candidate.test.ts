/** A version beside the live one: on a share of the keys, or as a shadow. */
import { afterEach, describe, expect, it } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunResult } from "../../src/tasks/run.ts";

import { RULES, done, failure, fine, goods, setUp, stage, throwsOnBad } from "./watched.ts";
import type { Behaviour } from "./watched.ts";

afterEach(() => stage.pipeline.close());

describe("a candidate on a share of the keys", () => {
  const candidate = { version: 2, share: 0.5, rules: RULES, to: [], type: "t2" };

  it("runs its keys and no others, and keeps to them", async () => {
    const { attach, publish, settled, runners, figures } = await setUp({ 1: fine, 2: fine });
    await attach({ candidate });
    await publish(goods(300), 40);
    await settled(300);
    const sides = Map.groupBy(runners.ran, ({ key }) => key);
    for (const own of sides.values()) expect(new Set(own.map(({ version }) => version)).size).toBe(1);
    const tried = [...sides.values()].filter(([first]) => first?.version === 2).length;
    expect(tried).toBeGreaterThan(8);
    expect(tried).toBeLessThan(32);
    expect(figures()?.candidate).toMatchObject({ version: 2, share: 0.5 });
  });

  it("that fails too much is dropped, and its events end on the live version", async () => {
    const { attach, publish, ends, settled, verdicts, figures } = await setUp({ 1: fine, 2: throwsOnBad });
    await attach({ candidate });
    await publish(
      Array.from({ length: 200 }, (_, n) => (n % 3 === 0 ? "bad" : "good")),
      40,
    );
    await settled(200);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "rejected" } }]);
    await expect.poll(() => ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
    for (const { task, version } of ends()) if (task.page.includes("<bad>")) expect(version).toBe(1);
    expect(figures()?.candidate).toBeUndefined();
  });

  it("that costs runners does not cost the live version its standing", async () => {
    const crashes: Behaviour = (payload) => (payload === "bad" ? "crash" : done("2"));
    const { attach, publish, settled } = await setUp({ 1: fine, 2: crashes });
    await attach({ candidate });
    await publish(
      Array.from({ length: 40 }, () => "bad"),
      40,
    );
    await settled(40);
    expect(stage.pipeline.figures().handlers[0]).toMatchObject({ proven: true, runnersLost: 0, dead: 0 });
  });

  it("becomes the live one with its books", async () => {
    const { attach, publish, settled, figures } = await setUp({ 1: fine, 2: fine });
    await attach({ candidate });
    await publish(goods(200), 40);
    await settled(200);
    const tried = figures()?.candidate?.done ?? 0;
    expect(tried).toBeGreaterThan(0);
    await attach({ version: 2, probation: RULES });
    expect(figures()).toMatchObject({ live: { version: 2, done: tried } });
  });
});

describe("a shadow", () => {
  const candidate = { version: 2, share: 0, rules: RULES, to: [], type: "t" };

  it("runs what the live version ran, changes nothing, and says what would have been different", async () => {
    const other: Behaviour = (payload, { seq }) =>
      payload === "bad"
        ? failure()
        : payload === "odd"
          ? done("other")
          : done("1", seq % 9 === 0 ? `{"n":${seq}}` : undefined);
    const live: Behaviour = (payload) => (payload === "worse" ? failure(true) : done("1"));
    const { attach, publish, ends, settled, figures, runners, verdicts } = await setUp({ 1: live, 2: other });
    await attach({ candidate });
    const payloads = ["bad", "odd", "worse", ...goods(87)];
    await publish(payloads, 50);
    await settled(90);
    await expect
      .poll(() => {
        const report = figures()?.candidate?.shadow;
        return (report?.events ?? 0) + (report?.skipped ?? 0);
      })
      .toBe(90);
    expect(ends().every(({ version }) => version === 1)).toBe(true);
    expect(ends().filter(({ outcome }) => outcome.at === "dead")).toHaveLength(1);
    const report = figures()?.candidate?.shadow;
    expect(report?.events).toBeGreaterThan(20);
    const { outputs, state, failed, mended } = report?.differences ?? { outputs: 0, state: 0, failed: 0, mended: 0 };
    expect((report?.same ?? 0) + outputs + state + failed + mended).toBe(report?.events);
    expect(state).toBeGreaterThan(0);
    const kept = [outputs, state, failed, mended].map((count) => Math.min(4, count));
    expect(report?.samples.length).toBe(kept.reduce((sum, count) => sum + count));
    expect(runners.ran.some(({ version }) => version === 2)).toBe(true);
    expect(verdicts).toEqual([]);
  });

  it("gets one batch at a time, and what it does not get is counted", async () => {
    const { attach, publish, settled, figures } = await setUp({ 1: fine, 2: fine });
    await attach({ candidate });
    await publish(goods(600), 600);
    await settled(600);
    await sleep(20);
    const report = figures()?.candidate?.shadow;
    expect((report?.events ?? 0) + (report?.skipped ?? 0)).toBe(600);
    expect(report?.same).toBe(report?.events);
  });

  it("that could not be stopped is dropped at once", async () => {
    const stuck: RunResult = {
      at: "failed",
      failure: { code: "SANDBOX_TIMEOUT", message: "" },
      final: false,
      cost: "runner",
    };
    const { attach, publish, settled, verdicts, figures } = await setUp({ 1: fine, 2: () => stuck });
    await attach({ candidate });
    await publish(goods(40));
    await settled(40);
    await expect.poll(() => verdicts).toMatchObject([{ version: 2, verdict: { at: "rejected" } }]);
    expect(figures()?.candidate).toBeUndefined();
  });

  it("that is gone when its last answer comes costs nobody else anything", async () => {
    const { runners, attach, publish, settled, verdicts } = await setUp({ 1: fine, 2: () => "crash" });
    await attach({ candidate });
    runners.holdSlot = "candidate";
    runners.hold = true;
    await publish(goods(10));
    await expect.poll(() => runners.held.length).toBeGreaterThan(0);
    await attach();
    runners.release();
    await publish(goods(10));
    await settled(20);
    expect(verdicts).toEqual([]);
  });

  it("that costs runners is dropped, and no event of the live version pays for it", async () => {
    const { attach, publish, ends, settled, verdicts, figures } = await setUp({ 1: fine, 2: () => "crash" });
    await attach({ candidate });
    await publish(goods(60));
    await settled(60);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "rejected" } }]);
    expect(figures()?.candidate).toBeUndefined();
    expect(ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
  });
});

/** Versions under watch: probation, and what comes late of one that was taken back. */
import { afterEach, describe, expect, it } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import { Probation } from "../../src/tasks/probation.ts";
import { Tally } from "../../src/tasks/tally.ts";
import { systemClock } from "../../src/time.ts";

import { RULES, done, failure, fine, goods, setUp, stage, throwsOnBad } from "./watched.ts";
import type { Behaviour } from "./watched.ts";

afterEach(() => stage.pipeline.close());

describe("a version on probation", () => {
  it("that fails more events than it may is rejected, and they all end on the one before it", async () => {
    const { attach, publish, ends, settled, verdicts } = await setUp({ 1: fine, 2: throwsOnBad });
    await publish(goods(30));
    await settled(30);
    await attach({ version: 2, trust: "fresh", probation: RULES });
    const payloads = Array.from({ length: 100 }, (_, n) => (n % 20 === 3 ? "bad" : "good"));
    await publish(payloads);
    await settled(130);
    expect(verdicts).toEqual([{ version: 2, verdict: { at: "rejected", reason: expect.stringContaining("X: no") } }]);
    await expect.poll(() => ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
    for (const { task, version } of ends()) if (task.page.includes("<bad>")) expect(version).toBe(1);
  });

  it("takes no try from an event that it fails at, and what it gave up runs again when it is rejected", async () => {
    const dies: Behaviour = (payload) =>
      payload === "bad" ? failure() : payload === "worse" ? failure(true) : done("2");
    const { journal, attach, publish, ends, settled, verdicts } = await setUp({ 1: fine, 2: dies });
    await attach({ version: 2, trust: "fresh", probation: RULES });
    await publish(["bad", "worse", ...goods(20)]);
    await settled(22);
    expect(ends().filter(({ outcome }) => outcome.at === "dead")).toMatchObject([{ version: 2 }, { version: 2 }]);
    expect(journal.settlements.every(({ task }) => task.attempt === 0)).toBe(true);
    expect(verdicts).toEqual([]);
    await publish(["bad"]);
    await settled(23);
    await expect.poll(() => ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "rejected" } }]);
  });

  it("is not blamed for what the one before it failed at as well", async () => {
    const { attach, publish, settled, verdicts } = await setUp({ 1: throwsOnBad, 2: throwsOnBad });
    const payloads = Array.from({ length: 100 }, (_, n) => (n % 10 === 3 ? "bad" : "good"));
    await publish(payloads);
    await settled(100);
    await attach({ version: 2, trust: "fresh", probation: RULES });
    await publish(payloads);
    await settled(200);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "passed" } }]);
  });

  it("that costs a runner is rejected at once", async () => {
    const crashes: Behaviour = (payload) => (payload === "bad" ? "crash" : done("2"));
    const { attach, publish, ends, settled, verdicts } = await setUp({ 1: fine, 2: crashes });
    await attach({ version: 2, trust: "fresh", probation: RULES });
    await publish(["good", "bad", "good"]);
    await settled(3);
    expect(verdicts).toEqual([{ version: 2, verdict: { at: "rejected", reason: "it cost a runner" } }]);
    expect(ends().every(({ outcome }) => outcome.at === "done")).toBe(true);
  });

  it("that is slower than it may be is rejected", async () => {
    const { runners, attach, publish, settled, verdicts } = await setUp({ 1: fine, 2: fine });
    runners.tookMs = { 1: 4, 2: 30 };
    await publish(goods(40));
    await settled(40);
    await attach({ version: 2, trust: "fresh", probation: { ...RULES, slower: 5 } });
    await publish(goods(60));
    await settled(100);
    expect(verdicts).toMatchObject([
      { version: 2, verdict: { at: "rejected", reason: expect.stringContaining("7.5 times") } },
    ]);
  });

  it("does not pass before its least time, and what may fail grows with what has run", async () => {
    const { attach, publish, settled, verdicts, figures } = await setUp({ 1: fine, 2: throwsOnBad });
    await attach({ version: 2, trust: "fresh", probation: { ...RULES, leastMs: 700 } });
    await publish(goods(300), 400);
    await expect.poll(() => figures()?.live.done).toBe(300);
    await publish(["bad", "bad", "bad"], 400);
    await expect.poll(() => figures()?.live.probation).toMatchObject({ failures: 3, failuresMax: 6 });
    expect(verdicts).toEqual([]);
    await sleep(700);
    await publish(goods(10), 400);
    await settled(313);
    expect(verdicts).toMatchObject([{ version: 2, verdict: { at: "passed" } }]);
  });

  it("keeps its books when its settings change", async () => {
    const { attach, publish, settled, figures } = await setUp({ 1: fine, 2: throwsOnBad });
    await attach({ version: 2, trust: "fresh", probation: RULES });
    await publish(["bad", ...goods(20)], 30);
    await expect.poll(() => figures()?.live.done).toBe(20);
    await attach({ version: 2, trust: "same", probation: RULES, type: "another" });
    expect(figures()?.live).toMatchObject({ version: 2, done: 20, probation: { failures: 1, failuresMax: 2 } });
    await attach({ version: 1 });
    await settled(21);
  });
});

describe("a version that was taken back", () => {
  it("is not held against the one before when batches of it come back late, and nothing of them is given up", async () => {
    const { runners, attach, publish, ends, settled } = await setUp({ 1: fine, 2: () => failure(true) });
    await attach({ version: 2, trust: "fresh", probation: RULES });
    // Answers of the new version are held up until the one before is live again.
    runners.hold = true;
    await publish(goods(6));
    await expect.poll(() => runners.held.length).toBeGreaterThan(0);
    await attach({ version: 1 });
    runners.release();
    await settled(6);
    expect(ends().every(({ outcome, version }) => outcome.at === "done" && version === 1)).toBe(true);
    expect(stage.pipeline.figures().handlers[0]).toMatchObject({ dead: 0, proven: true });
  });

  it("is judged by what it did itself, however many events that were", () => {
    const own = new Tally(2);
    const probation = new Probation(
      own,
      undefined,
      { eventsMax: 200, leastMs: 0, timeMs: 1e6, errors: 0.01, slower: 0 },
      systemClock,
    );
    for (let batch = 0; batch < 2000; batch++) {
      own.batch(200, {});
      own.done += 200;
      probation.done += 200;
      if (batch % 2 === 0) probation.failed(batch, "X");
    }
    expect(probation.isRejected).toBe(false);
    expect(probation.look()).toMatchObject({ at: "passed" });
  });
});

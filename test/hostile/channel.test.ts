/**
 * A runner that has been taken over says whatever it likes on its channel. It costs that runner: each of its tasks is
 * answered for exactly once (S1), nothing of it is believed (S3), and neither the other runner nor the gateway's thread
 * notices.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BatchResult } from "#src/sandbox/results.ts";
import type { Sandbox } from "#src/sandbox/sandbox.ts";
import { bundle, loadAll, openSandbox, patient, run, shortly, task } from "../sandbox/opened.ts";
import { LIES, SILENCES } from "./battery/lies.ts";
import { liar, lying } from "./rig/liar.ts";
import { printTable } from "./rig/table.ts";

const MEGABYTE = 1024 * 1024;
const GROWTH_MB_MAX = 200;
/** Processor time of the gateway's thread that anything a runner says may cost. */
const THREAD_MS_MAX = 500;
const LIAR = 0;
/** Also those that are silent, each its own. */
const RUNNERS = SILENCES.length;
/** The last. */
const OTHER = RUNNERS;

const handler = bundle("", { settings: { timeoutMs: 50 } });
const told: (readonly [string, string, number, number])[] = [];
let sandbox: Sandbox;
let residentAtFirst = 0;

beforeAll(async () => {
  ({ sandbox } = await openSandbox({ runners: RUNNERS }, { command: liar }));
  await sandbox.wake(OTHER);
  await loadAll(sandbox, handler);
  residentAtFirst = process.memoryUsage.rss();
});

afterAll(async () => {
  await sandbox?.close();
  printTable(["a runner that says", "its tasks", "ms", "gateway's thread ms"], told);
});

describe("a runner that says", () => {
  it.each(LIES)("$name costs itself at most (S1, S3)", async ({ name, code, comes, fatal }) => {
    const before = { pids: sandbox.pids, ...sandbox.figures() };
    const startedMs = performance.now();
    const cpuBefore = process.threadCpuUsage();
    const lied = suffered(LIAR, code);
    const beside = await run(sandbox, handler.id, [task(handler.id)], [], OTHER);
    expect(shortly(beside.results)).toEqual([[]]);
    const results = shortly((await lied).results);
    expect(results).toEqual(comes);
    if (fatal) await expect.poll(() => sandbox.figures().runnersLost, patient).toBe(before.runnersLost + 1);
    const { user, system } = process.threadCpuUsage(cpuBefore);
    const threadMs = (user + system) / 1000;
    const tookMs = performance.now() - startedMs;
    told.push([name, results[0] === "crashed" ? "crashed" : "done", Math.round(tookMs), Math.round(threadMs)]);
    expect(threadMs).toBeLessThan(THREAD_MS_MAX);
    // Its successor knows what its predecessor knew.
    const next = await run(sandbox, handler.id, [task(handler.id)], [], LIAR);
    expect(shortly(next.results)).toEqual([[]]);
    const runnersLost = before.runnersLost + (fatal ? 1 : 0);
    expect(sandbox.figures()).toMatchObject({ runnersLost, batchesInFlight: 0 });
    // It was seen for what it is, and not only because its time was over.
    expect(sandbox.figures().killedForTime).toBe(before.killedForTime);
    expect(sandbox.pids[OTHER]).toBe(before.pids[OTHER]);
    expect(sandbox.pids[LIAR] === before.pids[LIAR]).toBe(!fatal);
    expectUnpolluted();
  });

  it("nothing, or not enough, costs itself when its time is over, and nobody waits for that (S1, S3)", async () => {
    const before = { pids: sandbox.pids, lost: sandbox.figures().runnersLost };
    const startedMs = performance.now();
    const lied = SILENCES.map(async ({ name, code }, runner) => {
      const results = shortly((await suffered(runner, code)).results);
      told.push([name, String(results[0]), Math.round(performance.now() - startedMs), 0]);
      return results;
    });
    const beside = await run(sandbox, handler.id, [task(handler.id)], [], OTHER);
    expect(shortly(beside.results)).toEqual([[]]);
    expect(sandbox.figures().runnersLost).toBe(before.lost);
    expect(await Promise.all(lied)).toEqual(SILENCES.map(({ comes }) => comes));
    await expect.poll(() => sandbox.figures().runnersLost, patient).toBe(before.lost + SILENCES.length);
    expect(sandbox.pids[OTHER]).toBe(before.pids[OTHER]);
  });

  it(`leaves no more than ${GROWTH_MB_MAX} MB of all this on the gateway's side`, () => {
    expect((process.memoryUsage.rss() - residentAtFirst) / MEGABYTE).toBeLessThan(GROWTH_MB_MAX);
  });
});

/** Three tasks of three keys in the hands of the liar. Fails when they are answered for twice. */
async function suffered(runner: number, code: string): Promise<BatchResult> {
  const batch = ["a", "b", "c"].map((key) => task(handler.id, { key, payload: lying(code) }));
  let answered = 0;
  const result = await new Promise<BatchResult>((resolve) => {
    sandbox.run(runner, handler.id, batch, [], (all) => {
      answered++;
      resolve({ ...all, results: [...all.results] });
    });
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(answered).toBe(1);
  return result;
}

function expectUnpolluted(): void {
  const names: string[] = [];
  for (const name in {}) names.push(name);
  expect([names, ({} as { polluted?: unknown }).polluted]).toEqual([[], undefined]);
}

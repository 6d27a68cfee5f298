/** What a handler did lately: quantiles off a histogram, and windows that forget. */
import { expect, it } from "vitest";
import { Recent, WINDOW_MS } from "../../src/tasks/recent.ts";
import { systemClock } from "../../src/time.ts";

function opened(): { recent: Recent; pass: (ms: number) => void } {
  let nowMs = 1000;
  const recent = new Recent({ ...systemClock, monotonic: () => nowMs });
  return { recent, pass: (ms) => void (nowMs += ms) };
}

it("quantiles are within a bucket of the truth, whose bounds are √2 apart", () => {
  const { recent } = opened();
  for (let i = 1; i <= 1000; i++) recent.batch(1, 0, { tookMs: i / 10, cpuMs: 0.01 });
  const { p50Ms, p99Ms, events, cpuMs } = recent.figures();
  expect(p50Ms).toBeGreaterThan(50 / Math.SQRT2);
  expect(p50Ms).toBeLessThan(50 * Math.SQRT2);
  expect(p99Ms).toBeGreaterThan(99 / Math.SQRT2);
  expect(p99Ms).toBeLessThan(99 * Math.SQRT2);
  expect(events).toBe(1000);
  expect(cpuMs).toBeCloseTo(10);
});

it("a batch counts with its mean for each of its events, and what takes for ever is in the last bucket", () => {
  const { recent } = opened();
  recent.batch(98, 1, { tookMs: 98 });
  recent.batch(2, 2, { tookMs: 2e9 });
  const { p50Ms, p99Ms, events, failed, total } = recent.figures();
  expect(p50Ms).toBeGreaterThan(0.7);
  expect(p50Ms).toBeLessThan(Math.SQRT2);
  expect(p99Ms).toBeGreaterThan(100_000);
  expect({ events, failed }).toEqual({ events: 100, failed: 3 });
  expect(total.counts.at(-1)).toBe(2);
  expect(total.counts.reduce((sum, count) => sum + count)).toBe(100);
});

it("what is two windows old is forgotten, and the figures since the start are not", () => {
  const { recent, pass } = opened();
  recent.batch(10, 3, { tookMs: 10 });
  pass(WINDOW_MS);
  recent.batch(5, 0, { tookMs: 5 });
  expect(recent.figures()).toMatchObject({ events: 15, failed: 3, windowMs: WINDOW_MS });
  pass(WINDOW_MS);
  expect(recent.figures()).toMatchObject({ events: 5, failed: 0, windowMs: WINDOW_MS });
  pass(10 * WINDOW_MS);
  expect(recent.figures()).toMatchObject({ events: 0, p50Ms: undefined, windowMs: WINDOW_MS, total: { events: 15 } });
});

it("heap is the most of all that were looked at lately", () => {
  const { recent, pass } = opened();
  recent.batch(1, 0, { heapBytes: 5000 });
  recent.batch(1, 0, { heapBytes: 0 });
  pass(WINDOW_MS);
  recent.batch(1, 0, { heapBytes: 3000 });
  expect(recent.figures().heapBytes).toBe(5000);
  pass(WINDOW_MS);
  expect(recent.figures().heapBytes).toBe(3000);
});

it("of what says no time, events count and quantiles are not known", () => {
  const { recent, pass } = opened();
  recent.batch(4, 0, {});
  recent.batch(0, 0, { tookMs: 5 });
  pass(1000);
  expect(recent.figures()).toMatchObject({ events: 4, p50Ms: undefined, p99Ms: undefined, windowMs: 1000 });
});

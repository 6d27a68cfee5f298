/** When a runner that says nothing is taken for dead, and when it is only slow to get a turn. */
import { describe, expect, it } from "vitest";
import { Pulse } from "../../src/sandbox/pulse.ts";

/** Looks every 15 ms, as the supervisor does; returns the time at which it was given up, or undefined. */
function lostAt(pulse: Pulse, untilMs: number, busyAt: (nowMs: number) => number | undefined): number | undefined {
  for (let nowMs = 0; nowMs <= untilMs; nowMs += 15) if (pulse.isLost(nowMs, () => busyAt(nowMs))) return nowMs;
  return undefined;
}

describe("a silent runner", () => {
  it("whose main thread works without a word is given up within a second", () => {
    expect(lostAt(new Pulse(0), 5000, (nowMs) => nowMs)).toBeLessThanOrEqual(1000);
  });

  it("that gets no turn of the processor is waited for", () => {
    expect(lostAt(new Pulse(0), 9000, () => 0)).toBeUndefined();
    expect(lostAt(new Pulse(0), 9000, (nowMs) => nowMs / 20)).toBeUndefined();
  });

  it("is given up after ten seconds whatever the reason, also where processor time cannot be known", () => {
    expect(lostAt(new Pulse(0), 20_000, () => 0)).toBeGreaterThanOrEqual(9_990);
    expect(lostAt(new Pulse(0), 20_000, () => undefined)).toBeGreaterThanOrEqual(9_990);
  });

  it("that says something begins anew", () => {
    const pulse = new Pulse(0);
    for (let nowMs = 0; nowMs < 20_000; nowMs += 15) {
      if (nowMs % 255 === 0) pulse.heard(nowMs);
      expect(pulse.isLost(nowMs, () => nowMs)).toBe(false);
    }
  });
});

describe("beats", () => {
  it("four a second are fine, also when they come all at once because nobody listened; a flood is nonsense", () => {
    const pulse = new Pulse(0);
    for (let nowMs = 0; nowMs < 10_000; nowMs += 250) pulse.beat(nowMs);
    for (let i = 0; i < 100; i++) pulse.beat(35_000);
    expect(() => {
      for (let i = 0; i < 1000; i++) pulse.beat(36_000);
    }).toThrow("beats without end");
  });
});

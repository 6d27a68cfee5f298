/** The bench measures what is promised: a bar for each figure, an experiment that takes it, a line that explains it. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { EXPERIMENTS } from "../bench/experiments.ts";
import { FIGURES, holds } from "../bench/figures.ts";

/** What docs and release notes speak of. A figure that is left out here is left out there. */
const PROMISED = {
  "rate-vs-aedes": 0.5,
  "rate-vs-node-red": 4,
  "ack-latency": 0.5,
  "cold-handler": 15,
  "runner-killed": 250,
  "idle-memory": 150,
  "idle-handler": 1.5,
  "backlog-memory": 100,
  "backlog-start": 3,
  "many-handlers": 1.25,
  "many-devices": 1.25,
  "save-to-live": 200,
  "deploy-to-live": 1000,
  "test-start": 1000,
  "invoke-round": 1000,
};

describe("the table of figures", () => {
  it("has every promised figure with its bar, and no other", () => {
    expect(Object.fromEntries(FIGURES.map((figure) => [figure.name, figure.bar.value]))).toEqual(PROMISED);
  });

  it("each figure is taken by exactly one experiment", () => {
    const taken = EXPERIMENTS.flatMap((experiment) => experiment.figures);
    expect(taken.toSorted()).toEqual(FIGURES.map((figure) => figure.name).toSorted());
  });

  it("each figure is explained in bench/README.md", () => {
    const readme = readFileSync(new URL("../bench/README.md", import.meta.url), "utf8");
    for (const figure of FIGURES) expect(readme).toContain(`\`${figure.name}\``);
  });

  it("a bar holds at its very value", () => {
    for (const figure of FIGURES) {
      const better = figure.bar.sense === "at least" ? 1.01 : 0.99;
      expect(holds(figure, figure.bar.value)).toBe(true);
      expect(holds(figure, figure.bar.value * better)).toBe(true);
      expect(holds(figure, figure.bar.value / better)).toBe(false);
    }
  });
});

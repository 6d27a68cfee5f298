import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { table } from "../../src/cli/terminal.ts";

describe("a table", () => {
  const lines = (width?: number): string[] =>
    stripVTControlCharacters(
      table(
        ["ID", "n", "why"],
        [
          ["d1", 5, "x".repeat(100)],
          ["d22", "-", "short"],
        ],
        width,
      ),
    ).split("\n");

  it("cuts its last column to the width of the terminal, and nothing where there is none", () => {
    expect(lines()[1]).toBe(`d1   5  ${"x".repeat(100)}`);
    expect(lines(108)[1]).toBe(lines()[1]);
    expect(lines(107)[1]).toBe(`d1   5  ${"x".repeat(98)}…`);
    for (const width of [30, 60, 107]) expect(Math.max(...lines(width).map(({ length }) => length))).toBe(width);
    expect(lines(60)[2]).toBe("d22  -  short");
  });

  it("shows a little of the last column, however narrow the terminal is", () => {
    expect(lines(1)[1]).toBe(`d1   5  ${"x".repeat(19)}…`);
  });
});

import { SourceMap } from "node:module";
import type { SourceMapPayload } from "node:module";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { Positions } from "../../src/sandbox/positions.ts";

const mapOf = (mappings: string, sources: readonly unknown[] = ["a.ts", "b.ts"]): string =>
  JSON.stringify({ version: 3, sources, names: [], mappings });

describe("a source map", () => {
  it("says of every position of a bundle what Node's reader says", async () => {
    const { outputFiles } = await build({
      entryPoints: ["src/tasks/line.ts"],
      ...{ bundle: true, write: false, outfile: "out.js", format: "cjs", platform: "node", sourcemap: "external" },
      minifySyntax: true,
    });
    const [map = "", code = ""] = outputFiles.map(({ text }) => text);
    const nodes = new SourceMap(JSON.parse(map) as SourceMapPayload);
    const ours = Positions.read(map);
    let compared = 0;
    for (const [line, text] of code.split("\n").entries()) {
      for (let column = 0; column <= text.length; column++) {
        const entry = nodes.findEntry(line, column);
        const found = ours?.find(line, column);
        // Where a line has none before it Node's takes the last one of a line before.
        if (!("originalSource" in entry) || entry.generatedLine !== line) expect(found).toBeUndefined();
        else {
          const { originalSource: source, originalLine, originalColumn } = entry;
          expect(found).toEqual({ source, line: originalLine, column: originalColumn });
          compared++;
        }
      }
    }
    expect(compared).toBeGreaterThan(50_000);
    expect(ours?.entry).toBe((JSON.parse(map) as SourceMapPayload).sources.at(-1));
  });

  it("has no position where there is none, and none of a source that there is not", () => {
    const positions = Positions.read(mapOf("EAAA,C,SCCC;;AAAE"));
    expect([0, 2, 3, 12].map((column) => positions?.find(0, column))).toEqual([
      undefined,
      { source: "a.ts", line: 0, column: 0 },
      undefined,
      { source: "b.ts", line: 1, column: 1 },
    ]);
    expect(positions?.find(1, 0)).toBeUndefined();
    expect(positions?.find(2, 0)).toEqual({ source: "b.ts", line: 1, column: 3 });
    for (const line of [-1, 3, 1e9]) expect(positions?.find(line, 0)).toBeUndefined();
    expect(Positions.read(mapOf("AEAA", ["a.ts", { toString: 1 }]))?.find(0, 0)).toBeUndefined();
    expect(Positions.read(mapOf("AAAA", ["a.ts"]))?.find(0, 0)).toEqual({ source: "a.ts", line: 0, column: 0 });
  });

  it.each([
    "",
    "null",
    "[1]",
    '{"version":3,',
    mapOf("AAA!"),
    mapOf("AAAAAAAA"),
    mapOf("ggggggggggA"),
    mapOf("g"),
    "{}",
  ])("that is none is none: %s", (map) => {
    expect(Positions.read(map)).toBeUndefined();
  });

  it("that would take the gateway's time is not read, and no name of a source fills a stack", () => {
    expect(Positions.read(mapOf(`AAAA${",CAAC".repeat(400_000)}`))?.find(0, 5)).toMatchObject({ line: 0, column: 5 });
    expect(Positions.read(mapOf(`AAAA${",CAAC".repeat(450_000)}`))).toBeUndefined();
    expect(Positions.read(mapOf("AAAA", ["x".repeat(8 * 1024 * 1024)]))).toBeUndefined();
    const { source } = Positions.read(mapOf("AAAA", [`a\n    at b${"x".repeat(1000)}`]))?.find(0, 0) ?? { source: "" };
    expect(source).toMatch(/^a {5}at bx+$/);
    expect(source).toHaveLength(300);
  });
});

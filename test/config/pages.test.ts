import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { casesSchemaFile, configPage, faultsPage, metricsPage, schemaFile } from "../../scripts/pages.ts";
import { parseConfig } from "../../src/config.ts";
import { METRICS } from "../../src/control/metric-table.ts";
import { processMetrics } from "../../src/control/metrics.ts";
import { FAULTS } from "../../src/fault.ts";

const root = new URL("../../", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, root), "utf8");

describe("what is written from the code is current (else: npm run generate)", () => {
  it("config/schema.json", () => {
    expect(read("config/schema.json")).toBe(schemaFile());
  });

  it("config/cases.schema.json", () => {
    expect(read("config/cases.schema.json")).toBe(casesSchemaFile());
  });

  it("docs/config.md", () => {
    expect(read("docs/config.md")).toBe(configPage());
  });

  it("docs/metrics.md", async () => {
    const current = metricsPage(await processMetrics());
    // The page is Linux's. Elsewhere prom-client has fewer figures of the process, and those rows alone may be more.
    const here = new Set(current.split("\n"));
    const isForeign = (line: string): boolean =>
      process.platform !== "linux" && !here.has(line) && line.startsWith("| `sluice_process_");
    const page = read("docs/metrics.md").split("\n");
    expect(page.filter((line) => !isForeign(line)).join("\n")).toBe(current);
  });

  it("the order of docs/faults.md", () => {
    expect(read("docs/faults.md")).toBe(faultsPage(read("docs/faults.md")));
  });
});

describe("docs/faults.md", () => {
  const documented = [...read("docs/faults.md").matchAll(/^### ([A-Z0-9_]+)$/gm)].map(([, code]) => code);

  it("has a section for every code", () => {
    expect(Object.keys(FAULTS).filter((code) => !documented.includes(code))).toEqual([]);
  });

  it("has no section for a code that does not exist, and none twice", () => {
    expect(documented.filter((code) => !Object.hasOwn(FAULTS, code ?? ""))).toEqual([]);
    expect(new Set(documented).size).toBe(documented.length);
  });
});

describe("the fault table", () => {
  it("has a remedy for every code", () => {
    const poor = Object.entries(FAULTS).filter(
      ([, { remedy }]) => remedy.length < 10 || !/[.:]$/.test(remedy.slice(-1)),
    );
    expect(poor.map(([code]) => code)).toEqual([]);
  });
});

describe("the table of metrics", () => {
  it("follows Prometheus' names: prefix, base units, _total for what only rises", () => {
    const wrong = METRICS.filter(
      ({ name, type }) =>
        !/^sluice_[a-z0-9_]+$/.test(name) ||
        name.endsWith("_total") !== (type === "counter") ||
        /_(ms|milliseconds|kb|mb)(_|$)/.test(name),
    );
    expect(wrong.map(({ name }) => name)).toEqual([]);
    expect(new Set(METRICS.map(({ name }) => name)).size).toBe(METRICS.length);
  });
});

describe("config/sluice.yaml", () => {
  it("is a good config, and points editors to the schema", () => {
    const text = read("config/sluice.yaml");
    expect(text).toContain("# yaml-language-server: $schema=schema.json");
    expect(parseConfig(text, { file: "/x/config/sluice.yaml", env: {} }).gateway.id).toBe("edge-1");
  });
});

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configFile, configJsonSchema, diffConfig, loadConfig, parseConfig } from "../../src/config.ts";
import type { Config } from "../../src/config.ts";
import type { JsonSchema } from "../../src/config/json-schema.ts";

const file = "/etc/sluice/config/sluice.yaml";

function parse(text: string, env: Record<string, string> = {}): Config {
  return parseConfig(text, { file, env });
}

describe("a good config", () => {
  it("is complete when nothing is set: every default filled in, every path absolute (F4)", () => {
    const config = parse("");
    expect(config.gateway).toEqual({ id: "edge-1", data: "/etc/sluice/data", drain: 8000 });
    expect(config.handlers.dir).toBe("/etc/sluice/handlers");
    expect(config.broker.listeners).toEqual([{ url: "mqtt://127.0.0.1:1883" }]);
    expect(config.journal.sizeMax).toBe(2 * 1024 ** 3);
    expect(config.control.url).toBe("http://127.0.0.1:8080");
  });

  it("counts relative paths from the folder of its file, in every section", () => {
    const config = parse("gateway: { data: ./d }\nuplinks: { c: { kind: file, path: ../out/c.ndjson } }\n");
    expect(config.gateway.data).toBe("/etc/sluice/config/d");
    expect(config.uplinks["c"]).toMatchObject({ path: "/etc/sluice/out/c.ndjson" });
    expect(parse("gateway: { data: /var/lib/sluice }").gateway.data).toBe("/var/lib/sluice");
  });

  it("may leave a section empty", () => {
    expect(parse("gateway:\nuplinks:\n  # none yet\nroutes:\n").uplinks).toEqual({});
  });

  it("cannot be changed by who reads it", () => {
    const config = parse(
      "routes: [{ from: a, to: [] }]".replace("routes: [{ from: a, to: [] }]", "log: { level: warn }"),
    );
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.broker.limits)).toBe(true);
    expect(Object.isFrozen(config.broker.listeners)).toBe(true);
  });

  it("refuses unknown settings in every section that a room has (F3)", () => {
    const open: string[] = [];
    const visit = (schema: JsonSchema, path: string): void => {
      if (schema.properties !== undefined && schema.additionalProperties !== false) open.push(path);
      for (const [name, below] of Object.entries(schema.properties ?? {})) visit(below, `${path}.${name}`);
      if (typeof schema.additionalProperties === "object") visit(schema.additionalProperties, `${path}.*`);
      if (schema.items !== undefined) visit(schema.items, `${path}[]`);
      for (const option of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) visit(option, path);
    };
    visit(configJsonSchema(), "config");
    expect(open).toEqual([]);
  });

  it("says of every setting what it is for", () => {
    const silent: string[] = [];
    const visit = (schema: JsonSchema, path: string): void => {
      for (const [name, below] of Object.entries(schema.properties ?? {})) {
        const options = below.anyOf ?? below.oneOf ?? [];
        const isSaid =
          below.description !== undefined ||
          below.const !== undefined ||
          options.some((option) => option.description !== undefined);
        if (!isSaid) silent.push(`${path}.${name}`);
        visit(below, `${path}.${name}`);
      }
      if (typeof schema.additionalProperties === "object") visit(schema.additionalProperties, `${path}.*`);
      if (schema.items !== undefined) visit(schema.items, `${path}[]`);
      for (const option of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) visit(option, path);
    };
    visit(configJsonSchema(), "config");
    expect(silent).toEqual([]);
  });
});

describe("a variable", () => {
  it("comes from the environment, else from its default, else is a problem with its place", () => {
    const text = "gateway:\n  id: ${SLUICE_ID:edge-1}\n";
    expect(parse(text).gateway.id).toBe("edge-1");
    expect(parse(text, { SLUICE_ID: "north" }).gateway.id).toBe("north");
    expect(() => parse("gateway:\n  id: ${SLUICE_ID}\n")).toThrowError(
      expect.objectContaining({
        problems: [
          expect.objectContaining({
            code: "CONFIG_VARIABLE",
            message: "the environment has no SLUICE_ID",
            line: 2,
            column: 7,
          }),
        ],
      }),
    );
  });

  it("may stand within a text, several times, and $${ is itself", () => {
    const config = parse('uplinks: { c: { kind: file, path: "/${A}/x-${B:y}/$${A}" } }', { A: "a" });
    expect(config.uplinks["c"]).toMatchObject({ path: "/a/x-y/${A}" });
  });

  it("becomes a number or a flag where the schema wants one", () => {
    const text = 'broker: { limits: { devicesMax: "${N}" } }\nhandlers: { watch: "${W}" }';
    const config = parse(text, { N: "12", W: "false" });
    expect(config.broker.limits.devicesMax).toBe(12);
    expect(config.handlers.watch).toBe(false);
    expect(() => parse(text, { N: "many", W: "false" })).toThrow();
    expect(() => parse('broker: { limits: { devicesMax: "12" } }')).toThrow();
  });

  it("reads as YAML would where anything may stand, unless it is quoted", () => {
    const text = 'handlers: { settings: { h: { params:\n    { a: "${A}", b: [x] } } } }';
    expect(parse(text, { A: "85" }).handlers.settings["h"]?.params).toEqual({ a: "85", b: ["x"] });
    const plain =
      "handlers:\n  settings:\n    h:\n      params:\n        a: ${A}\n        b: ${B:true}\n        c: ${C:007}\n        d: x${A}\n";
    expect(parse(plain, { A: "85" }).handlers.settings["h"]?.params).toEqual({ a: 85, b: true, c: "007", d: "x85" });
  });

  it("is never more than one text, whatever it holds (F2)", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (value) => {
        const config = parse('uplinks: { c: { kind: file, path: "/x/${V}" } }\n', { V: `a${value}` });
        expect(Object.keys(config.uplinks)).toEqual(["c"]);
      }),
      { numRuns: 50, examples: [["\nlog: { level: trace }"], ["${HOME}"], ['" }'], ["$&"]] },
    );
    const config = parse('uplinks: { c: { kind: file, path: "/${V}" } }', { V: "${W}", W: "no" });
    expect(config.uplinks["c"]).toMatchObject({ path: "/${W}" });
  });
});

describe("the file", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "sluice-config-"));
    await mkdir(join(folder, "config"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("is the named one, else SLUICE_CONFIG's, else one of the usual places", async () => {
    expect(() => configFile(undefined, {}, folder)).toThrowError(
      expect.objectContaining({ code: "CONFIG_UNREADABLE" }),
    );
    await writeFile(join(folder, "sluice.yaml"), "");
    expect(configFile(undefined, {}, folder)).toBe(join(folder, "sluice.yaml"));
    await writeFile(join(folder, "config/sluice.yaml"), "");
    expect(configFile(undefined, { SLUICE_CONFIG: "" }, folder)).toBe(join(folder, "config/sluice.yaml"));
    expect(configFile(undefined, { SLUICE_CONFIG: "other.yaml" }, folder)).toBe(join(folder, "other.yaml"));
    expect(configFile("named.yaml", { SLUICE_CONFIG: "other.yaml" }, folder)).toBe(join(folder, "named.yaml"));
  });

  it("is refused when it is not there, a folder, or larger than 1 MB", async () => {
    await writeFile(join(folder, "large.yaml"), "#".repeat(1024 * 1024 + 1));
    for (const path of ["missing.yaml", "config", "large.yaml"]) {
      await expect(loadConfig(join(folder, path), {})).rejects.toMatchObject({ code: "CONFIG_UNREADABLE" });
    }
    await writeFile(join(folder, "limit.yaml"), "#".repeat(1024 * 1024));
    await expect(loadConfig(join(folder, "limit.yaml"), {})).resolves.toBeDefined();
  });
});

describe("diffConfig()", () => {
  it("lists each setting that differs, and whether it takes effect now or at the next start", () => {
    const before = parse("log: { level: info }\nuplinks: { c: { kind: file, path: /a } }\n");
    const after = parse(
      "log: { level: warn }\njournal: { sizeMax: 1GB }\nuplinks: { d: { kind: file, path: /a } }\nroutes: [{ from: a, to: [d] }]\n",
    );
    const changes = Object.fromEntries(
      diffConfig(before, after).map(({ setting, takesEffect }) => [setting, takesEffect]),
    );
    expect(changes).toEqual({
      "log.level": "now",
      "journal.sizeMax": "restart",
      "uplinks.c": "now",
      "uplinks.d": "now",
      routes: "now",
    });
    expect(diffConfig(before, before)).toEqual([]);
  });
});

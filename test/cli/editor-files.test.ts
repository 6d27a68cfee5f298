/** `sluice types`: what editors need, and the check of handlers' types. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Home } from "../harness/folder.ts";
import { sluice } from "./sluice.ts";
import type { Ran } from "./sluice.ts";

let home: Home;
beforeEach(async () => {
  home = new Home();
  await sluice(["init"], { cwd: home.root });
});
afterEach(() => home[Symbol.dispose]());

const types = (...args: string[]): Promise<Ran> => sluice(["types", ...args], { cwd: home.root });
const read = (file: string): string => readFileSync(join(home.root, file), "utf8");

describe("sluice types", () => {
  it("writes what is behind, and nothing else", async () => {
    const current = read("types/sluice.d.ts");
    home.write("types/sluice.d.ts", "// of an older version");
    home.write("tsconfig.json", "{}");
    const ran = await types("--json");
    expect(JSON.parse(ran.out)).toMatchObject({ written: ["types/sluice.d.ts"], ok: true });
    expect(read("types/sluice.d.ts")).toBe(current);
    expect(read("tsconfig.json")).toBe("{}");
    expect((await types()).err).toContain("all are current");
  });

  it("has a comment for every member of the types, which editors show", () => {
    const bare = read("types/sluice.d.ts")
      .split("\n")
      .filter(
        (line, index, lines) =>
          /^ {2,4}(?:readonly )?\w+\??[:(].*;$/.test(line) && !/\*\/$|\($/.test(lines[index - 1] ?? ""),
      );
    expect(bare).toEqual([]);
  });
});

describe("sluice types --check", () => {
  it("passes on a fresh folder, and finds a handler's mistake by file, line and column", async () => {
    expect(await types("--check")).toMatchObject({ code: 0, err: "" });
    home.write(
      "handlers/overheat.ts",
      read("handlers/overheat.ts").replace("event.params.machine", "event.parms.machine"),
    );
    const ran = await types("--check");
    expect(ran.out).toMatch(/handlers\/overheat\.ts\(\d+,\d+\): error TS\d+: Property 'parms' does not exist/);
    expect(ran.code).toBe(1);
  });

  it("finds types of another version, and writes nothing", async () => {
    home.write("types/sluice.d.ts", `${read("types/sluice.d.ts")}\n`);
    const ran = await types("--check");
    expect(ran.err).toContain("types/sluice.d.ts is of another version of Sluice");
    expect(ran.code).toBe(1);
    expect(read("types/sluice.d.ts")).toMatch(/\n\n$/);
  });

  it("says what to do where there is no tsconfig.json", async () => {
    using other = new Home();
    other.write("config/sluice.yaml", "handlers: { dir: ../handlers }");
    other.write("handlers/a.ts", "");
    const ran = await sluice(["types", "--check"], { cwd: other.root });
    expect(ran.err).toContain("`sluice types` writes one. [CLI_TYPES]");
    expect(ran.code).toBe(1);
  });
});

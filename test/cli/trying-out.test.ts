/** `sluice test` and `sluice invoke`, as a user runs them: processes, streams, exit codes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSite } from "../doubles/http-site.ts";
import { Home, OVERHEAT } from "../harness/folder.ts";
import { sluice, start } from "./sluice.ts";
import type { Ran } from "./sluice.ts";

const GOOD = `cases:
  - name: says what is too hot
    events: [{ topic: plant/a/press/temperature, data: { c: 91 } }]
    expect:
      outputs:
        - data: { c: 91 }
`;
const BAD = GOOD.replace("- data: { c: 91 }", "- data: { c: 92 }").replace("says", "thinks that it says");

const home = new Home();
beforeAll(() => {
  home.write("handlers/overheat.ts", OVERHEAT);
  home.write("handlers/overheat.cases.yaml", GOOD);
  home.write("handlers/overheat.more.cases.yaml", BAD);
  home.write("handlers/cool/index.ts", `export const config = { topic: "b" }; export default () => {};`);
  home.write("handlers/cool/index.cases.yaml", "cases: [{ name: c, events: [{ topic: b }], expect: { outputs: [] } }]");
  home.write("handlers/plain.ts", `export const config = { topic: "c" }; export default () => {};`);
});
afterAll(() => home[Symbol.dispose]());

const at = (args: string[], input = ""): Promise<Ran> => sluice(args, { cwd: home.root, input });

describe("sluice test", () => {
  it("runs all cases that there are, shows where one differs, and ends with 1", async () => {
    const { code, out, err } = await at(["test"]);
    expect(out).toContain("✓ cool: c");
    expect(out).toContain("✓ overheat: says what is too hot");
    expect(out).toContain("✗ overheat: thinks that it says what is too hot");
    expect(out).toMatch(
      /handlers\/overheat\.more\.cases\.yaml:6 {2}expect\.outputs\[0\]\.data\.c\n\s+expected {2}92\n\s+actual {4}91\n/,
    );
    expect(out).toContain("debug  saw 91");
    expect(out).toMatch(/1 failed, 2 passed/);
    expect(err).toBe("");
    expect(code).toBe(1);
  });

  it.each([
    [["cool"], "1 passed"],
    [["handlers/overheat.cases.yaml"], "1 passed"],
    [["handlers/*.more.*", "cool"], "1 failed, 1 passed"],
  ])("runs those of a handler, of a file, and of a glob: %j", async (patterns, totals) => {
    expect((await at(["test", ...patterns])).out).toContain(`${totals} (`);
  });

  it("prints a line of JSON for each case, and writes JUnit's XML", async () => {
    const { code, out } = await at(["test", "cool", "overheat", "--json", "--junit", "results.xml"]);
    const lines = out.trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { ok: boolean }).ok)).toEqual([true, true, false]);
    expect(JSON.parse(lines[2] ?? "")).toMatchObject({
      handler: "overheat",
      file: "handlers/overheat.more.cases.yaml",
      line: 2,
      differences: [{ line: 6, expected: 92, actual: 91 }],
    });
    expect(readFileSync(join(home.root, "results.xml"), "utf8")).toContain('tests="3" failures="1"');
    expect(code).toBe(1);
  });

  it("says which handlers there are, and which have no cases, with 6", async () => {
    const missing = await at(["test", "overhaet"]);
    expect(missing.err).toContain('there is no handler "overhaet"');
    expect(missing.err).toContain('Did you mean "overheat"?');
    expect(missing.code).toBe(6);
    const without = await at(["test", "plain"]);
    expect(without.err).toContain('there are no cases of "plain"');
    expect(without.code).toBe(6);
  });

  it("refuses a file of cases by file, line and column with 3, and runs the others", async () => {
    using other = new Home();
    other.write("handlers/overheat.ts", OVERHEAT);
    other.write("handlers/overheat.cases.yaml", GOOD);
    other.write("handlers/second.ts", OVERHEAT);
    other.write("handlers/second.cases.yaml", GOOD.replace("events", "event"));
    const { code, out, err } = await sluice(["test"], { cwd: other.root });
    expect(out).toContain("1 passed");
    expect(err).toContain("handlers/second.cases.yaml:3:5: there is no setting `cases[0].event`");
    expect(code).toBe(3);
  });

  it("says of a handler that does not build what a deploy would, with 1", async () => {
    using other = new Home();
    other.write("handlers/overheat.ts", "export default (");
    other.write("handlers/overheat.cases.yaml", GOOD);
    const { code, err } = await sluice(["test"], { cwd: other.root });
    expect(err).toMatch(/handlers\/overheat\.ts:1:17: .*\[DEPLOY_BUILD_FAILED\]/s);
    expect(code).toBe(1);
  });

  it("sends lines of stdin to the handler that is named, with a topic or without", async () => {
    const lines = 'plant/b/saw/temperature {"c": 99}\n\n{"c": 1}\nplant/a/press/temperature {"c": 100}\n{"c": 101}\n';
    const { code, out, err } = await at(["test", "overheat"], lines);
    expect(out.replaceAll(/,"at":"[^"]*"/g, "")).toBe(
      `→ cloud  {"machine":"saw","c":99,"count":1}
→ cloud  {"machine":"press","c":100,"count":1}
→ cloud  {"machine":"machine","c":101,"count":1}
`,
    );
    expect(err).toContain("debug  saw 1\n");
    expect(code).toBe(0);
  });

  it("says of lines what failed and what is not wanted, and ends with 1", async () => {
    const { code, err } = await at(["test", "overheat"], "plant/a/press/power 5\nplant/a/press/temperature null\n");
    expect(err).toContain("the handler does not want this event");
    expect(err).toMatch(
      /TypeError.*\n\s+at overheat_default \(handlers\/overheat\.ts:4:\d+\) \[HANDLER_THREW\] \(would be tried again\)/,
    );
    expect(code).toBe(1);
  });

  it("runs the cases when whoever started it left a stdin open that says nothing", async () => {
    const running = start(["test", "cool"], { cwd: home.root });
    expect((await running.ended).out).toContain("1 passed");
  });

  it("runs again when the handler is saved", async () => {
    using other = new Home();
    other.write("handlers/overheat.ts", OVERHEAT);
    other.write("handlers/overheat.cases.yaml", GOOD);
    const watching = start(["test", "--watch"], { cwd: other.root });
    await watching.said("waiting for a change");
    other.write("handlers/overheat.ts", OVERHEAT.replace("c <=", "c >="));
    await watching.printed("1 failed");
    other.write(
      "handlers/overheat.cases.yaml",
      GOOD.replace("says what is too hot", "is mended").replace(/outputs:[^]*/, "outputs: []\n"),
    );
    await watching.printed("✓ overheat: is mended");
    watching.child.kill("SIGINT");
    expect((await watching.ended).code).toBe(130);
  });
});

describe("sluice invoke", () => {
  it("prints what goes out on stdout, and the log, time and state on stderr", async () => {
    const { code, out, err } = await at(["invoke", "overheat", "-t", "plant/a/press/temperature", "-m", '{"c": 91}']);
    expect(out).toMatch(/^→ cloud {2}\{"machine":"press","c":91,"count":1,"at":"[^"]+"\}\n$/);
    expect(err).toContain("debug  saw 91\n");
    expect(err).toMatch(
      /handlers\/overheat\.ts: done in [\d.]+ ms, [\d.]+ ms of processor, [\d.]+ (KB|MB) of heap, state of press: \{"count":1\}\n/,
    );
    expect(code).toBe(0);
  });

  it("takes a file, a payload from stdin or a file, a state and params, and prints JSON", async () => {
    const payload = home.write("payload.json", '{"c": 60}');
    const given = ["--state", '{"count":4}', "--params", '{"limit":50}', "--json"];
    for (const source of [["-f", payload], ["-s"]]) {
      const { code, out } = await at(["invoke", "handlers/overheat.ts", ...source, ...given], '{"c": 60}');
      expect(JSON.parse(out)).toMatchObject({
        at: "done",
        key: "machine",
        outputs: [{ to: ["cloud"], data: { c: 60, count: 5 } }],
        published: [{ topic: "alarm/machine", data: "on", retain: true }],
        state: { count: 5 },
        tookMs: expect.any(Number) as number,
        heapBytes: expect.any(Number) as number,
      });
      expect(code).toBe(0);
    }
  });

  it("that fails points into the source, says what would be next, and ends with 1", async () => {
    const { code, out, err } = await at(["invoke", "overheat", "-m", "null"]);
    expect(out).toBe("");
    expect(err).toMatch(
      /TypeError[^\n]*\n\s+at overheat_default \(handlers\/overheat\.ts:4:\d+\) \[HANDLER_THREW\] \(would be tried again\)/,
    );
    expect(code).toBe(1);
    const last = await at(["invoke", "overheat", "-m", "null", "--attempt", "5"]);
    expect(last.err).toContain("(a dead letter)");
  });

  it("fetches for real what is granted, and nothing else", async () => {
    await using site = await openSite({ "/": (answer) => answer.end("hello") });
    const text = (origin: string): string =>
      `export const config = { topic: "a", to: "cloud", fetch: ["${origin}"] };
      export default async () => (await fetch("${site.origin}/")).text();`;
    home.write("handlers/asks.ts", text(site.origin));
    expect((await at(["invoke", "asks"])).out).toBe("→ cloud  hello\n");
    home.write("handlers/asks.ts", text("https://elsewhere.example"));
    const denied = await at(["invoke", "asks"]);
    expect(denied.err).toContain("[HANDLER_FETCH_DENIED] (a dead letter)");
    expect(denied.code).toBe(1);
    expect(site.requests).toHaveLength(1);
  });

  it.each([
    [["invoke", "overheat", "-m", "1", "-s"], "pass at most one of -m, -f and -s", 2],
    [["invoke", "overheat", "--state", "5"], "--state is no object", 2],
    [["invoke", "overheat", "--params", "{"], "--params is no JSON", 2],
    [["invoke", "overheat", "--attempt", "0"], "--attempt is a whole number", 2],
    [["invoke", "overheat", "-t", "plant/+/x"], "plant/+/x", 2],
    [["invoke", "overheat", "-t", "elsewhere"], "does not want this event", 1],
    [["invoke", "nobody"], 'there is no handler "nobody"', 6],
  ])("refuses %j", async (args, says, exit) => {
    const { code, err } = await at(args);
    expect(err).toContain(says);
    expect(code).toBe(exit);
  });
});

/** Files of cases: what they may say, and what comes of them. */
import { symlinkSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConfigFault } from "../../src/config.ts";
import { settingName } from "../../src/config/problem.ts";
import { handlersSettings } from "../../src/deployments/settings.ts";
import { Fault } from "../../src/fault.ts";
import { readCases } from "../../src/harness/cases.ts";
import { compare, show } from "../../src/harness/compare.ts";
import { junitOf } from "../../src/harness/junit.ts";
import type { CaseResult } from "../../src/harness/run-cases.ts";
import { TestRun } from "../../src/harness/test-run.ts";
import { Workbench } from "../../src/harness/workbench.ts";
import { Home, OVERHEAT } from "./folder.ts";

const home = new Home();
let bench: Workbench;
let run: TestRun;
beforeAll(async () => {
  const handlers = handlersSettings.parse({ dir: `${home.root}/handlers`, watch: false });
  bench = await Workbench.open({ handlers });
  run = new TestRun(bench);
});
afterAll(async () => {
  await run.close();
  home[Symbol.dispose]();
});

const TOPIC = "plant/a/press/temperature";

/** What comes of the handler with these cases, which are JSON, as YAML may be. */
async function resultsOf(cases: object, handler = OVERHEAT): Promise<CaseResult[]> {
  home.write("handlers/subject.ts", handler);
  home.write("handlers/subject.cases.yaml", JSON.stringify(cases));
  const results: CaseResult[] = [];
  for await (const result of run.cases(["subject"])) {
    if (result instanceof Fault) throw result;
    results.push(result);
  }
  return results;
}

/** Where the one case differs, shortly: "outputs[0].data.c: 1 → 2". */
async function differences(
  events: object[],
  expected: object,
  more: object = {},
  handler = OVERHEAT,
): Promise<string[]> {
  const [result] = await resultsOf({ cases: [{ name: "n", events, expect: expected, ...more }] }, handler);
  if (result === undefined) throw new Error("no result");
  return result.differences.map(
    ({ path, expected: want, actual, note }) =>
      `${settingName(path.slice(2))}: ${note?.split("\n")[0] ?? `${show(want)} → ${show(actual)}`}`,
  );
}

const hot = { topic: TOPIC, data: { c: 91 } };

describe("a case", () => {
  it("passes when everything that it names is so, and nothing else matters", async () => {
    expect(await differences([hot], { outputs: [{ data: { c: 91 } }] })).toEqual([]);
    expect(await differences([hot], { outputs: [{ to: "cloud", type: "sluice.subject", subject: TOPIC }] })).toEqual(
      [],
    );
    expect(await differences([hot], { state: { press: { count: 1 }, saw: null }, logs: ["saw 91"] })).toEqual([]);
    expect(
      await differences([{ ...hot, data: { c: 3 } }], { outputs: [], published: [], state: { press: null } }),
    ).toEqual([]);
  });

  it.each([
    ["a member", { outputs: [{ data: { c: 92 } }] }, ["expect.outputs[0].data.c: 92 → 91"]],
    ["a member that is not there", { outputs: [{ data: { d: 1 } }] }, ["expect.outputs[0].data.d: 1 → nothing"]],
    [
      "a member too many, where all are to be named",
      { outputs: [{ exact: true, data: { c: 91, count: 1, machine: "press" } }] },
      ['expect.outputs[0].data.at: nothing → "2026-01-01T00:00:00.000Z"'],
    ],
    ["the number of outputs", { outputs: [] }, ["expect.outputs: 1 output came, not no outputs"]],
    ["the uplink", { outputs: [{ to: ["cloud", "other"] }] }, ['expect.outputs[0].to[1]: "other" → nothing']],
    ["a message to devices", { published: [{ topic: "x" }] }, ["expect.published: no messages came, not 1 message"]],
    ["the state", { state: { press: { count: 2 } } }, ["expect.state.press.count: 2 → 1"]],
    ["a state that is there", { state: { press: null } }, ['expect.state.press: nothing → {"count":1}']],
    ["a state that is not there", { state: { saw: { count: 1 } } }, ['expect.state.saw: {"count":1} → nothing']],
    ["a log line", { logs: ["saw 9", "saw 91"] }, ["expect.logs[1]: no such line was logged"]],
    ["a log line's level", { logs: [{ level: "warn", message: "saw" }] }, ["expect.logs[0]: no such line was logged"]],
    ["silence", { logs: [] }, ['expect.logs: [] → ["saw 91"]']],
    ["a failure", { error: "HANDLER_THREW" }, ["expect.error: nothing failed"]],
    ["its topic", { unmatched: true }, ["expect.unmatched: true → false"]],
  ])("that is wrong about %s says so", async (_what, expected, wrong) => {
    expect(await differences([hot], expected)).toEqual(wrong);
  });

  it("fails when the handler fails and nobody expected that, with the place in its source", async () => {
    const [result] = await resultsOf({
      cases: [{ name: "n", events: [{ topic: TOPIC, data: null }], expect: { outputs: [] } }],
    });
    expect(result?.at).toBe("failed");
    expect(result?.differences).toHaveLength(1);
    expect(result?.differences[0]?.note).toMatch(
      /^the handler failed with HANDLER_THREW: [\s\S]*handlers\/subject\.ts:4:/,
    );
  });

  it("can expect a failure by code, text and whether it is final", async () => {
    const handler = `export const config = { topic: "#" }; export default ({ data }) => { if (data === 1) throw new DeadLetter("gave up"); throw new Error("broke"); };`;
    const [one, two] = [
      { topic: "a", data: 1 },
      { topic: "a", data: 2 },
    ];
    const of = (events: object[], error: unknown): Promise<string[]> => differences(events, { error }, {}, handler);
    expect(await of([one], "HANDLER_DEAD_LETTER")).toEqual([]);
    expect(await of([one], { code: "HANDLER_DEAD_LETTER", message: "gave", dead: true })).toEqual([]);
    expect(await of([two], { code: "HANDLER_THREW", dead: false })).toEqual([]);
    expect(await of([{ ...two, attempt: 5 }], { code: "HANDLER_THREW", dead: true })).toEqual([]);
    expect(await of([two], "HANDLER_DEAD_LETTER")).toEqual(['expect.error: "HANDLER_DEAD_LETTER" → "HANDLER_THREW"']);
    expect(await of([two], { message: "gave", dead: true })).toEqual([
      'expect.error.message: "gave" → "Error: broke"',
      "expect.error.dead: true → false",
    ]);
    expect(await of([one, two], "HANDLER_THREW")).toEqual([
      "expect.error: 2 events failed; say of each what is expected",
    ]);
  });

  it("that sends what the handler does not want says which it wants, unless that is what it shows", async () => {
    const away = [{ topic: "plant/a/press/power" }];
    expect(await differences(away, { outputs: [] })).toEqual([
      "events[0].topic: the handler does not want plant/a/press/power: what runs it is topic plant/{line}/{machine}/temperature",
    ]);
    expect(await differences(away, { unmatched: true })).toEqual([]);
  });

  it("is given params, secrets, states, times and answers, over those of its file", async () => {
    const handler = `
      export const config = { topic: "a/{k}", key: "{k}", to: "cloud", params: { p: 0, q: 0, r: 0 }, secrets: ["one", "two"], fetch: ["http://10.0.0.1"] };
      export default async (event, ctx) => {
        const answer = await (await fetch("http://10.0.0.1/" + event.data.n)).text();
        return { ...ctx.params, ...ctx.secrets, answer, state: ctx.state, time: event.time, device: event.device };
      };`;
    const [first, second] = await resultsOf(
      {
        params: { p: 1, q: 1 },
        secrets: { one: "1111" },
        state: { x: { s: 1 } },
        time: "2030-01-01T00:00:00Z",
        fetch: [{ url: "http://10.0.0.1/1", text: "one" }],
        cases: [
          {
            name: "its own",
            params: { q: 2 },
            state: { y: { s: 2 } },
            time: "2031-01-01T00:00:00Z",
            fetch: [{ url: "http://10.0.0.1/2", text: "two" }],
            events: [
              { topic: "a/y", data: { n: 2 }, device: "d" },
              {
                topic: "a/x",
                data: { n: 1 },
                after: "1m",
                expect: {
                  fetched: [{ url: "http://10.0.0.1/1", method: "GET" }],
                  outputs: [{ data: { answer: "one", state: { s: 1 }, time: "2031-01-01T00:01:00.000Z", device: "" } }],
                },
              },
            ],
            expect: {
              fetched: [{}, {}],
              outputs: [
                {
                  exact: true,
                  data: {
                    p: 1,
                    q: 2,
                    r: 0,
                    one: "1111",
                    two: "test-two",
                    answer: "two",
                    state: { s: 2 },
                    time: "2031-01-01T00:00:00.000Z",
                    device: "d",
                  },
                },
                {},
              ],
            },
          },
          {
            name: "the file's",
            events: [{ topic: "a/x", data: { n: 1 } }],
            expect: { outputs: [{ data: { q: 1, time: "2030-01-01T00:00:00.000Z" } }] },
          },
        ],
      },
      handler,
    );
    expect(first?.differences).toEqual([]);
    expect(second?.differences).toEqual([]);
  });

  it("sends JSON, text and bytes", async () => {
    const handler = `export const config = { topic: "a", to: "cloud" }; export default ({ bytes }) => [...bytes].join();`;
    const sent: [object, string][] = [
      [{ data: "ä" }, "34,195,164,34"],
      [{ text: "ä" }, "195,164"],
      [{ base64: "AP8=" }, "0,255"],
      [{ hex: "00 ff" }, "0,255"],
      [{}, ""],
    ];
    for (const [payload, bytes] of sent) {
      expect(await differences([{ topic: "a", ...payload }], { outputs: [{ data: bytes }] }, {}, handler)).toEqual([]);
    }
  });

  it("can call the webhook, which hands over what it would of a call", async () => {
    const handler = `
      export const config = { webhook: { path: "/lines/{line}", methods: ["POST", "PUT"], headers: ["X-Event"] }, key: "{line}", to: "cloud" };
      export default (event, ctx) => {
        ctx.state.n = (ctx.state.n ?? 0) + 1;
        const { type, subject, params, data, request, device } = event;
        return { type, subject, params, data, request, device, json: JSON.parse(JSON.stringify(event)).request };
      };`;
    const of = (events: object[], expected: object): Promise<string[]> => differences(events, expected, {}, handler);
    const call = { webhook: "/lines/7", data: { id: 1 } };
    const request = { method: "POST", query: {}, headers: {} };
    const sent = {
      type: "sluice.webhook.call",
      subject: "/lines/7",
      params: { line: "7" },
      data: { id: 1 },
      device: "",
    };
    const outputs = [{ subject: "/lines/7", data: { ...sent, request, json: request }, exact: true }];
    expect(await of([call], { outputs, state: { 7: { n: 1 } } })).toEqual([]);
    const more = { method: "PUT", query: { dry: "1" }, headers: { "x-event": "push", "X-Other": "no" } };
    const whole = { method: "PUT", query: { dry: "1" }, headers: { "x-event": "push" } };
    expect(await of([{ ...call, ...more }], { outputs: [{ data: { request: whole } }] })).toEqual([]);
    expect(await of([{ webhook: "/lines/7", text: "a b" }], { outputs: [{ data: { data: "a b" } }] })).toEqual([]);
    const other = "what runs it is webhook POST|PUT /hooks/lines/{line}, auth: operator";
    expect(await of([{ webhook: "/lines" }], { outputs: [] })).toEqual([
      `events[0].webhook: the handler does not want /lines: ${other}`,
    ]);
    expect(await of([{ ...call, method: "GET" }], { outputs: [] })).toEqual([
      `events[0].webhook: the handler does not want GET /lines/7: ${other}`,
    ]);
    expect(await of([{ ...call, method: "GET" }], { unmatched: true })).toEqual([]);
  });

  it("can say what happens in the gateway, by its name and its data", async () => {
    const handler = `
      export const config = { on: ["device.connected", "uplink.down", { "file.changed": "/srv/in" }], to: "cloud" };
      export default ({ type, subject, data, device, request }, ctx) => {
        ctx.state.n = (ctx.state.n ?? 0) + 1;
        return { type, subject, data, device, request };
      };`;
    const of = (events: object[], expected: object): Promise<string[]> => differences(events, expected, {}, handler);
    const connected = {
      type: "sluice.device.connected",
      subject: "press-7",
      data: { device: "press-7" },
      device: "press-7",
    };
    expect(
      await of(
        [
          { on: "device.connected", device: "press-7" },
          { on: "device.connected", data: { device: "press-7" } },
          { on: "uplink.down", data: { uplink: "cloud", waiting: 3 } },
          { on: "file.changed", data: { path: "/srv/in/a.csv", change: "added", bytes: 1 } },
          { on: "uplink.down", subject: "other" },
        ],
        {
          outputs: [
            { data: connected, exact: true },
            { data: connected, exact: true },
            { data: { subject: "cloud", data: { waiting: 3 }, device: "" } },
            { data: { subject: "/srv/in/a.csv", data: { change: "added" } } },
            { data: { subject: "other", data: {} } },
          ],
          state: { "press-7": { n: 2 }, subject: { n: 3 } },
        },
      ),
    ).toEqual([]);
    const wants = "what runs it is on device.connected; on uplink.down; on file.changed in /srv/in";
    expect(await of([{ on: "uplink.up", data: {} }], { outputs: [] })).toEqual([
      `events[0].on: the handler does not want uplink.up: ${wants}`,
    ]);
    expect(await of([{ on: "file.changed", data: { path: "/srv/out/a" } }], { outputs: [] })).toEqual([
      `events[0].on: the handler does not want file.changed: ${wants}`,
    ]);
  });

  it("can let time pass, and then the schedule ticks as it would", async () => {
    const handler = `
      export const config = { topic: "a", key: "all", schedule: { every: "10s" }, to: "cloud" };
      export default (event, ctx) => {
        if (event.type === "sluice.mqtt.publish") { ctx.state.n = (ctx.state.n ?? 0) + 1; return; }
        return { n: ctx.state.n, now: new Date().toISOString(), scheduled: event.data.scheduled };
      };`;
    const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toISOString();
    const tick = (seconds: number, n?: number): object => ({ data: { now: at(seconds), scheduled: at(seconds), n } });
    const events = [
      { topic: "a", after: "5s" },
      { pass: "9s", expect: { outputs: [tick(10, 1)] } },
      { topic: "a" },
      { pass: "16s", after: "1s", expect: { outputs: [tick(20, 2), tick(30, 2)] } },
      { pass: "100ms", expect: { outputs: [] } },
    ];
    expect(await differences(events, { state: { all: { n: 2 } } }, {}, handler)).toEqual([]);
  });

  it("that is skipped is not run", async () => {
    const [result] = await resultsOf({ cases: [{ name: "n", skip: true, events: [hot], expect: { outputs: [] } }] });
    expect(result).toMatchObject({ at: "skipped", differences: [] });
  });
});

describe("a file of cases that says what none may say", () => {
  it.each([
    ["cases: [", /cases\.yaml:1:\d+: /],
    ["{}", /cases\.yaml:1:1: `cases` is missing/],
    ["cases:\n  - name: a\n    evnts: []\n    expect: { outputs: [] }", /:3:5: .*evnts`\n  → Did you mean `events`/],
    ["cases:\n  - name: a\n    events: [{ topic: x }]", /:2:5: `cases\[0\]` has no `expect`, so it shows nothing/],
    ["cases:\n  - { name: a, events: [{ topic: x }], expect: {} }", /:2:\d+: .*says nothing that could be compared/],
    [
      "cases:\n  - { name: a, events: [{ topic: x, data: 1, text: b }], expect: { logs: [] } }",
      /more than one payload/,
    ],
    [
      "time: soon\ncases: [{ name: a, events: [{ topic: x }], expect: { logs: [] } }]",
      /:1:7: `time` .*write a time such as/,
    ],
    ["cases:\n  - { name: a, events: [{ topic: x, after: 5 }], expect: { logs: [] } }", /:2:\d+: .*after/],
  ])("is refused with its place: %s", async (text, says) => {
    const path = home.write("elsewhere/wrong.cases.yaml", text);
    const fault = await readCases(path).catch((thrown: unknown) => thrown);
    expect(fault).toBeInstanceOf(ConfigFault);
    expect((fault as ConfigFault).explain()).toMatch(says);
    expect((fault as ConfigFault).explain()).toContain("[CASES_INVALID]");
  });

  it("has no variables: what looks like one is text", async () => {
    const path = home.write(
      "elsewhere/plain.cases.yaml",
      "cases: [{ name: a, events: [{ topic: x, text: '${HOME}' }], expect: { logs: [] } }]",
    );
    expect((await readCases(path)).content.cases[0]?.events[0]?.text).toBe("${HOME}");
  });

  it("that is not there is unreadable", async () => {
    await expect(readCases(`${home.root}/no.cases.yaml`)).rejects.toMatchObject({ code: "CASES_UNREADABLE" });
    // And what would never end is not begun.
    symlinkSync("/dev/zero", `${home.root}/zero.cases.yaml`);
    await expect(readCases(`${home.root}/zero.cases.yaml`)).rejects.toMatchObject({ code: "CASES_UNREADABLE" });
  });
});

it("a case says which version wrote the states before, for migrate", async () => {
  const handler = `export const config = { topic: "a/{k}", key: "{k}" };
export const migrate = (state, from) => ({ was: state.count, from });
export default () => undefined;`;
  const events = [{ topic: "a/x" }];
  const expected = { state: { x: { was: 4, from: 3 } } };
  expect(await differences(events, expected, { state: { x: { count: 4 } }, stateVersion: 3 }, handler)).toEqual([]);
  expect(await differences(events, expected, { state: { x: { count: 4 } } }, handler)).not.toEqual([]);
});

describe("comparing", () => {
  it("bytes with Base64, and numbers as numbers", () => {
    expect(compare("AP8=", new Uint8Array([0, 255]), [])).toEqual([]);
    expect(compare(0, -0, [])).toEqual([]);
    expect(compare("1", 1, ["a"])).toEqual([{ path: ["a"], expected: "1", actual: 1 }]);
  });

  it("lists by their length and order, and what is in them in part", () => {
    expect(compare([{ a: 1 }, 2], [{ a: 1, b: 2 }, 2], [])).toEqual([]);
    expect(compare([1], [1, 2], [])).toEqual([{ path: [1], expected: undefined, actual: 2 }]);
    expect(compare([], {}, [])).toHaveLength(1);
    expect(compare({}, null, [])).toHaveLength(1);
  });
});

it("JUnit's XML has every case, escaped", async () => {
  const results = await resultsOf({
    cases: [
      { name: 'says "<&>"', events: [hot], expect: { outputs: [] } },
      { name: "b", events: [hot], expect: { outputs: [{}] } },
      { name: "c", skip: true, events: [hot], expect: { outputs: [{}] } },
    ],
  });
  const xml = junitOf(results, [new Fault("DEPLOY_BUILD_FAILED", "no", { where: "handlers/x.ts:1:2" })]);
  expect(xml).toContain('<testsuites tests="4" failures="1" errors="1" skipped="1"');
  expect(xml).toContain('name="says &quot;&lt;&amp;&gt;&quot;"');
  expect(xml).toContain("1 output came, not no outputs");
  expect(xml).toContain('<testsuite name="handlers/x.ts:1:2" tests="1" failures="0" errors="1"');
  expect(xml.match(/<skipped\/>/g)).toHaveLength(1);
});

import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ConfigFault, parseConfig } from "../../src/config.ts";
import type { Config, ConfigProblem, ParseOptions } from "../../src/config.ts";

const file = "/etc/sluice/config/sluice.yaml";

function parse(text: string, options: Partial<ParseOptions> = {}): Config {
  return parseConfig(text, { file, env: {}, ...options });
}

function problems(text: string, options: Partial<ParseOptions> = {}): readonly ConfigProblem[] {
  try {
    parse(text, options);
  } catch (thrown) {
    if (thrown instanceof ConfigFault) return thrown.problems;
    throw thrown;
  }
  throw new Error("the config is good");
}

function only(text: string, options: Partial<ParseOptions> = {}): ConfigProblem {
  const found = problems(text, options);
  expect(found).toHaveLength(1);
  return found[0] as ConfigProblem;
}

describe("a config with mistakes", () => {
  it("lists all of them at once, each with its place, its code and a remedy (F1)", () => {
    const text = `gateway:
  idd: edge-1
broker:
  limits: { packetMax: 3XB }
uplinks:
  cloud:
    kind: fil
routes:
  - { from: "audit/#", to: [clod] }
control: { url: "http://0.0.0.0:80" }
`;
    expect(problems(text).map(({ code, line, column }) => [code, line, column])).toEqual([
      ["CONFIG_UNKNOWN", 2, 3],
      ["CONFIG_INVALID", 4, 24],
      ["CONFIG_INVALID", 7, 11],
      ["CONFIG_INVALID", 9, 29],
      ["CONTROL_OPEN", 10, 17],
    ]);
    expect.assertions(2);
    try {
      parse(text);
    } catch (thrown) {
      const lines = (thrown as ConfigFault).explain().split("\n");
      expect(lines.slice(0, 4)).toEqual([
        `${file}:2:3: there is no setting \`gateway.idd\``,
        "  → Did you mean `id`? [CONFIG_UNKNOWN]",
        `${file}:4:24: \`broker.limits.packetMax\` is wrong ("3XB"): write a size such as 512B, 64KB, 20MB or 1GB`,
        "  → Mend the place that is named; `sluice check` tries the file without starting anything. [CONFIG_INVALID]",
      ]);
    }
  });

  it.each([
    ["brocker: {}", "Did you mean `broker`?"],
    ["broker: { limits: { packet_max: 1KB } }", "Did you mean `packetMax`?"],
    ["broker: { limits: { packtMax: 1KB } }", "Did you mean `packetMax`?"],
    ["gateway: { sizeMax: 1GB }", "`sizeMax` belongs under `journal`."],
    ["gateway: { zzzzz: 1 }", "Known here: id, data, drain."],
    [
      "handlers: { outputsMax: 3 }",
      "`outputsMax` belongs under `handlers.defaults.limits` or `handlers.settings.<name>.limits`.",
    ],
    ["handlers: { defaults: { outputsMax: 3 } }", "`outputsMax` belongs under `handlers.defaults.limits`."],
    ["handlers: { settings: { a: { outputsMax: 3 } } }", "`outputsMax` belongs under `handlers.settings.a.limits`."],
    ["handlers: { settings: { a: { limits: { memory: 9MB } } } }", "`memory` belongs under `handlers.settings.a`."],
  ])("says what was meant by an unknown setting: %s", (text, remedy) => {
    expect(only(text)).toMatchObject({ code: "CONFIG_UNKNOWN", remedy });
  });

  it.each([
    ["handlers: { defaults: { timeout: 0s } }", "`handlers.defaults.timeout` must be at least 1ms", 34],
    ["handlers: { defaults: { timeout: 61m } }", "`handlers.defaults.timeout` must be at most 1h", 34],
    ["handlers: { settings: { a: { timeout: 600h } } }", "`handlers.settings.a.timeout` must be at most 1h", 39],
    ["handlers: { defaults: { memory: 7MB } }", "`handlers.defaults.memory` must be at least 8MB", 33],
    ["handlers: { defaults: { memory: 5GB } }", "`handlers.defaults.memory` must be at most 4GB", 33],
    [
      "handlers: { defaults: { retry: { backoff: 25h } } }",
      "`handlers.defaults.retry.backoff` must be at most 24h",
      43,
    ],
    [
      "handlers: { defaults: { retry: { backoffMax: 2d } } }",
      "`handlers.defaults.retry.backoffMax` must be at most 24h",
      46,
    ],
    ["journal: { sizeMax: 99999999999999999999GB }", "`journal.sizeMax` is too large", 21],
    ["journal: { sizeMax: 1KB }", "`journal.sizeMax` must be at least 1MB", 21],
    ["journal: { retain: 999999999999999d }", "`journal.retain` is too large", 20],
    // Beyond 24.8 days Node's timers end at once.
    ["gateway: { drain: 30d }", "`gateway.drain` must be at most 1h", 19],
    ["broker: { limits: { connectTimeout: 0s } }", "`broker.limits.connectTimeout` must be at least 100ms", 37],
    ["broker: { limits: { packetMax: 0B } }", "`broker.limits.packetMax` must be at least 128B", 32],
    ["journal: { limits: { stagedMax: 0B } }", "`journal.limits.stagedMax` must be at least 64KB", 33],
    ["journal: { limits: { parkedBytesMax: 0B } }", "`journal.limits.parkedBytesMax` must be at least 64KB", 38],
    ["uplinks: { a: { kind: file, path: a, timeout: 30d } }", "`uplinks.a.timeout` must be at most 24h", 47],
    ["uplinks: { a: { kind: file, path: a, timeout: 0s } }", "`uplinks.a.timeout` must be at least 1ms", 47],
    ["uplinks: { a: { kind: file, path: a, backoff: 0s } }", "`uplinks.a.backoff` must be at least 1ms", 47],
    ["uplinks: { a: { kind: file, path: a, backoffMax: 30d } }", "`uplinks.a.backoffMax` must be at most 24h", 50],
    ["uplinks: { a: { kind: file, path: a, rate: 0 } }", "`uplinks.a.rate` is too small: more than 0", 44],
    ['uplinks: { a: { kind: mqtt, url: "mqtt://h", keepalive: 1d } }', "`uplinks.a.keepalive` must be at most 18h", 57],
    [
      "uplinks: { a: { kind: file, path: a, buffer: { sizeMax: 0B } } }",
      "`uplinks.a.buffer.sizeMax` must be at least 1KB",
      57,
    ],
  ])("refuses a quantity that nothing could keep to: %s", (text, message, column) => {
    expect(only(text)).toMatchObject({ code: "CONFIG_INVALID", message, line: 1, column });
  });

  it.each([
    ["broker: { listeners: [{ url: mqtt://127.0.0.1:99999 }] }", "BROKER_LISTENER_INVALID", "is not of the form", 30],
    ["broker: { listeners: [{ url: tcp://127.0.0.1:1883 }] }", "BROKER_LISTENER_INVALID", "is not of the form", 30],
    ["broker: { listeners: [{ url: mqtt://me@127.0.0.1 }] }", "BROKER_LISTENER_INVALID", "is not of the form", 30],
    ["broker: { listeners: [{ url: mqtt://0.0.0.0:1883 }] }", "BROKER_LISTENER_OPEN", "is beyond loopback", 30],
    ['broker: { listeners: [{ url: "mqtt://[::]:1883" }] }', "BROKER_LISTENER_OPEN", "is beyond loopback", 30],
    [
      "broker: { listeners: [{ url: mqtt://127.0.0.1 }, { url: mqtt://127.0.0.1:1883 }] }",
      "CONFIG_INVALID",
      "`broker.listeners[1].url` is the same listener",
      57,
    ],
    ["routes: [{ from: $SYS/#, to: [a] }]", "CONFIG_INVALID", "`routes[0].from` can never match", 18],
    ["routes: [{ from: [b, $share/g/t], to: [a] }]", "CONFIG_INVALID", "`routes[0].from[1]` can never match", 22],
    [
      'routes: [{ from: "b/{x}", to: [a], key: "{x}" }, { from: "b/{x}/c", to: [a], key: "{y}" }]',
      "TRIGGER_KEY_INVALID",
      "`routes[1].key` names a level that a filter in `from` does not have",
      83,
    ],
  ])("refuses what a gateway could not run with: %s", (text, code, message, column) => {
    const found = only(`${text}\nuplinks: { a: { kind: file, path: a } }\n`);
    expect(found).toMatchObject({ code, line: 1, column });
    expect(found.message).toContain(message);
  });

  it("refuses two uplinks that write to one file, also when they spell it differently", () => {
    const text = "uplinks:\n  a: { kind: file, path: out/x }\n  b: { kind: file, path: ./out/../out/x }\n";
    expect(only(text)).toMatchObject({ code: "CONFIG_INVALID", line: 3, column: 26 });
    expect(only(text).message).toContain("`uplinks.b.path` is the file of uplink a as well");
  });

  it.each([
    ["out/x", "out/x.12", "b", 26],
    ["out/x.1", "out/x", "a", 26],
  ])("refuses an uplink whose file another one's becomes when it is full: %s, %s", (a, b, at, column) => {
    const text = `uplinks:\n  a: { kind: file, path: ${a} }\n  b: { kind: file, path: ${b} }\n`;
    const other = at === "a" ? "b" : "a";
    const message = `\`uplinks.${at}.path\` is what the file of uplink ${other} is renamed to when it is full`;
    expect(only(text)).toMatchObject({ code: "CONFIG_INVALID", line: at === "a" ? 2 : 3, column, message });
  });

  it("refuses two uplinks that one server would take for one client: each would have the other's connection closed", () => {
    const text = `uplinks:
  a: { kind: mqtt, url: "mqtt://h", clientId: me }
  b: { kind: mqtt, url: "mqtt://other", clientId: me }
  c: { kind: mqtt, url: "mqtt://h:1883/", clientId: me }
`;
    const message = "`uplinks.c.clientId` is the client id of uplink a at the same server";
    expect(only(text)).toMatchObject({ code: "CONFIG_INVALID", line: 4, message: expect.stringContaining(message) });
  });

  it("refuses routes of the same topics that order by different keys: they are one route", () => {
    const text = `uplinks: { a: { kind: file, path: a } }
routes:
  - { from: "x/{m}", to: [a], key: "{m}" }
  - { from: "x/{m}", to: [a] }
  - { from: ["x/{m}"], to: [a], key: "{m}" }
`;
    const message = "`routes[1].key` is not that of routes[0], which has the same topics";
    expect(only(text)).toMatchObject({ code: "CONFIG_INVALID", line: 4, message: expect.stringContaining(message) });
  });

  it("refuses files of uplinks that cannot be used, where they are to be used", () => {
    const text = `uplinks:
  a: { kind: https, url: "https://h", tls: { ca: none.pem } }
  b: { kind: mqtt, url: "mqtts://h", tls: { ca: ../test } }
  c: { kind: file, path: ../test }
`;
    const here = { file: fileURLToPath(new URL("../../config/sluice.yaml", import.meta.url)) };
    parse(text, here);
    expect(problems(text, { ...here, files: true })).toMatchObject([
      {
        code: "UPLINK_SETTINGS",
        line: 2,
        column: 50,
        message: expect.stringContaining("`uplinks.a.tls.ca` names a file that cannot be read: ENOENT"),
      },
      { code: "UPLINK_SETTINGS", line: 3, column: 49, message: "`uplinks.b.tls.ca` names something that is no file" },
      { code: "UPLINK_SETTINGS", line: 4, column: 26, message: "`uplinks.c.path` names a folder, not a file" },
    ]);
  });

  it("does not also call missing what was misspelled", () => {
    expect(only("uplinks: { cloud: { kind: file, pth: x } }").remedy).toBe("Did you mean `path`?");
  });

  it("names the section in which a required setting is missing", () => {
    expect(only("uplinks:\n  cloud:\n    kind: file\n")).toMatchObject({
      message: "`uplinks.cloud.path` is missing",
      line: 2,
      column: 3,
    });
  });

  it.each([
    ["broker: 5", "`broker` must be a section with settings of its own, not the number 5"],
    ["routes: {}", "`routes` must be a list, not a section"],
    ['log: { level: "loud" }', '`log.level` must be one of trace, debug, info, warn, error, fatal, silent, not "loud"'],
    ["broker: { limits: { devicesMax: 0 } }", "`broker.limits.devicesMax` is too small: at least 1"],
    [
      "broker: { limits: { devicesMax: 1.5 } }",
      "`broker.limits.devicesMax` must be a whole number, not the number 1.5",
    ],
  ])("says in plain words what a setting takes: %s", (text, message) => {
    expect(only(text).message).toBe(message);
  });

  it.each([
    ["gateway: {\n", "CONFIG_SYNTAX"],
    ["gateway:\n  id: a\n  id: b\n", "CONFIG_SYNTAX"],
    ["a: *nobody\n", "CONFIG_SYNTAX"],
    ["a: &a [*a]\n", "CONFIG_SYNTAX"],
    ["? [1, 2]\n: x\n", "CONFIG_SYNTAX"],
    ["__proto__: { polluted: true }\n", "CONFIG_UNKNOWN"],
    ["gateway: !!js/function x\n", "CONFIG_SYNTAX"],
    ["--- {}\n--- {}\n", "CONFIG_SYNTAX"],
  ])("is refused without harm when it is hardly YAML: %j", (text, code) => {
    expect(problems(text).map((problem) => problem.code)).toContain(code);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it("stops at aliases that multiply", () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) =>
        `a${i}: &a${i} [${Array(9)
          .fill(i === 0 ? "x" : `*a${i - 1}`)
          .join(", ")}]`,
    );
    expect(problems(levels.join("\n")).some((problem) => problem.message.includes("more than 20000 values"))).toBe(
      true,
    );
  });

  it("never quotes a password, nor the login of a url, wherever they came from (G8)", () => {
    const found = problems(`uplinks:
  a: { kind: mqtt, url: "http://joe:hunter22@host/x", password: 48151623 }
control: { url: "ftp://joe:hunter22@127.0.0.1" }
broker: { listeners: [{ url: mqtt://h }], limits: { packetMax: "//joe:hunter22@h" } }
`);
    expect(found.length).toBeGreaterThanOrEqual(3);
    expect(JSON.stringify(found)).not.toMatch(/hunter22|48151623/);
  });

  it("never quotes a value that came from the environment (F2, G8)", () => {
    const secret = "s3cret-in-the-environment";
    const text = `control: { url: "\${S}" }\nlog: { level: "\${S}" }\nroutes: [{ from: "a/#/b\${S}", to: ["\${S}"] }]\nbroker: { limits: { packetMax: "\${S}" } }\n`;
    const found = problems(text, { env: { S: secret } });
    expect(found.length).toBeGreaterThanOrEqual(5);
    expect(JSON.stringify(found)).not.toContain(secret);
  });
});

describe("a removed setting", () => {
  it("of the sandbox that has become a handler's own is told with its new place", () => {
    const [problem] = problems("sandbox:\n  outputsMax: 10\n");
    expect(problem).toMatchObject({ code: "CONFIG_REMOVED", line: 2 });
    // No version that was released had it.
    expect(problem?.message).toMatch(/^`sandbox\.outputsMax` is gone: write `handlers\.defaults\.limits\.outputsMax`/);
  });

  const removed = [
    { path: ["broker", "port"], since: "0.2", instead: "write `broker.listeners`, a url for each" },
    { path: ["uplinks", "*", "buffer", "max"], since: "0.3", instead: "write `sizeMax` there" },
  ];

  it("fails with the new spelling, and not as an unknown one", () => {
    const text = "broker:\n  port: 1883\nuplinks:\n  c: { kind: file, path: x, buffer: { max: 1GB } }\n";
    expect(problems(text, { removed }).map(({ code, message, line }) => [code, message, line])).toEqual([
      ["CONFIG_REMOVED", "`broker.port` is gone since 0.2: write `broker.listeners`, a url for each", 2],
      ["CONFIG_REMOVED", "`uplinks.c.buffer.max` is gone since 0.3: write `sizeMax` there", 4],
    ]);
  });
});

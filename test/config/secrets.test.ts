/** The section `secrets`: where values come from, and what is said when one cannot be had. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ConfigFault, parseConfig, readSecrets } from "../../src/config.ts";
import type { Config } from "../../src/config.ts";
import { SECRET_BYTES_MAX } from "../../src/config/secrets.ts";

const folder = mkdtempSync(join(tmpdir(), "sluice-secrets-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "sluice.yaml");

function write(name: string, content: string | Buffer): string {
  writeFileSync(join(folder, name), content);
  return name;
}

const parse = (text: string, env: Record<string, string> = {}, files = true): Config =>
  parseConfig(text, { file, env, files });

function problems(text: string, env: Record<string, string> = {}): string[] {
  try {
    parse(text, env);
  } catch (thrown) {
    if (thrown instanceof ConfigFault)
      return thrown.problems.map(({ code, line, column, message }) => `${line}:${column} ${code} ${message}`);
    throw thrown;
  }
  return [];
}

describe("a secret", () => {
  it("comes from a variable or a file, and its value stands in no config", () => {
    write("token", "from a file\n");
    const env = { API_KEY: "from the environment" };
    const config = parse("secrets:\n  key: { env: API_KEY }\n  token: { file: token }\n", env);
    expect(config.secrets).toEqual({ key: { env: "API_KEY" }, token: { file: join(folder, "token") } });
    expect([...readSecrets(config.secrets, env)]).toEqual([
      ["key", "from the environment"],
      ["token", "from a file"],
    ]);
    expect(JSON.stringify(config)).not.toContain("from ");
  });

  it("has the whole of its file but one newline at the end", () => {
    for (const [content, value] of [
      ["a\nbc\n", "a\nbc"],
      ["abcd\r\n", "abcd"],
      ["abcd\n\n", "abcd\n"],
      [" abcd ", " abcd "],
    ] as const) {
      write("lines", content);
      expect(readSecrets({ a: { file: join(folder, "lines") } }, {}).get("a")).toBe(value);
    }
  });

  it("that cannot be had is a problem with its place, for whoever will use it", () => {
    write("short", "abc\n");
    write("binary", Buffer.from([0xff, 0xfe, 0xfd, 0xfc]));
    const text = `secrets:
  none: { env: NOT_THERE }
  short: { env: SHORT }
  file: { file: not-there }
  folder: { file: . }
  tiny: { file: short }
  binary:
    file: binary
`;
    expect(problems(text, { SHORT: "abc" })).toEqual([
      "2:16 CONFIG_SECRET `secrets.none.env` names NOT_THERE, which the environment does not have",
      "3:17 CONFIG_SECRET `secrets.short.env` is shorter than 4 characters",
      expect.stringMatching(/^4:17 CONFIG_SECRET `secrets\.file\.file` names a file that cannot be read: ENOENT/),
      "5:19 CONFIG_SECRET `secrets.folder.file` names something that is no file",
      "6:17 CONFIG_SECRET `secrets.tiny.file` is shorter than 4 characters",
      "8:11 CONFIG_SECRET `secrets.binary.file` names a file that is not text in UTF-8",
    ]);
    // Who only asks where the gateway is need not have them.
    expect(Object.keys(parse(text, {}, false).secrets)).toHaveLength(6);
  });

  it("may have 4 characters to 16 KB, from wherever it comes", () => {
    const longest = "x".repeat(SECRET_BYTES_MAX);
    write("longest", `${longest}\r\n`);
    write("longer", `${longest}x`);
    const text = "secrets: { a: { env: A }, b: { file: longest }, c: { env: C } }";
    expect(problems(text, { A: "abcd", C: longest })).toEqual([]);
    expect(problems("secrets: { a: { env: A }, b: { file: longer } }", { A: `${longest}x` })).toEqual([
      "1:22 CONFIG_SECRET `secrets.a.env` is longer than 16384 bytes",
      "1:38 CONFIG_SECRET `secrets.b.file` is longer than 16384 bytes",
    ]);
  });

  it("is not waited for: what may have no end is refused", () => {
    execFileSync("mkfifo", [join(folder, "pipe")]);
    symlinkSync("/dev/zero", join(folder, "zeros"));
    expect(problems("secrets:\n  a: { file: pipe }\n  b: { file: zeros }\n")).toEqual([
      "2:14 CONFIG_SECRET `secrets.a.file` names something that is no file",
      "3:14 CONFIG_SECRET `secrets.b.file` names something that is no file",
    ]);
  });

  it("has one place, a good name, and no value beside it", () => {
    expect(
      problems("secrets:\n  a: { env: A, file: b }\n  b: {}\n  c: abcdef\n  1d: { env: A }\n", { A: "abcd" }),
    ).toEqual([
      "2:6 CONFIG_INVALID `secrets.a` has either `env` or `file`",
      "3:6 CONFIG_INVALID `secrets.b` has either `env` or `file`",
      "4:6 CONFIG_INVALID `secrets.c` must be a section with settings of its own, not text",
      expect.stringMatching(/^5:\d+ CONFIG_INVALID `secrets\.1d` is no good name: use at most 63/),
    ]);
  });

  it("whose variable is not there leaves the gateway with a fault that names it and not its value", () => {
    expect(() => readSecrets({ key: { env: "NONE" } }, {})).toThrow(
      expect.objectContaining({ code: "CONFIG_SECRET", where: "secrets.key" }) as Error,
    );
  });
});

describe("grants in the gateway's config", () => {
  it.each([
    ["[apiKey]", "The config has no secrets yet; write `secrets: { apiKey: { env: API_KEY } }`, for instance."],
    ["['${NAME}']", "The config has no secrets yet; write `secrets: { apiKey: { env: API_KEY } }`, for instance."],
  ])("that name %s, where there is no secret at all, are told how to give one", (names, remedy) => {
    const text = `handlers: { settings: { x: { secrets: ${names} } } }`;
    const options = { file: "/etc/sluice/sluice.yaml", env: { NAME: "from-outside" } };
    expect(() => parseConfig(text, options)).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ remedy })] }) as Error,
    );
  });

  it("name secrets that it has", () => {
    const text = "secrets: { apiKey: { env: A } }\nhandlers:\n  settings:\n    x: { secrets: [apiKye, apiKey] }\n";
    expect(problems(text, { A: "abcd" })).toEqual([
      '4:20 CONFIG_INVALID `handlers.settings.x.secrets[0]`: there is no secret "apiKye"',
    ]);
  });

  it.each([
    ["https://api.example.com", "https://api.example.com"],
    ["https://API.example.com:443/", "https://api.example.com"],
    ["http://[FD00::1]:80", "http://[fd00::1]"],
    ["http://192.168.1.5:8080", "http://192.168.1.5:8080"],
  ])("take the origin %s", (given, origin) => {
    const { settings } = parse(`handlers: { settings: { x: { fetch: ["${given}"] } } }`).handlers;
    expect(settings["x"]?.fetch).toEqual([origin]);
  });

  it.each([
    ["https://api.example.com/v1", /grants are for whole origins, not for paths: write https:\/\/api.example.com/],
    ["https://api.example.com/?a=1", /whole origins/],
    ["https://user:pw@api.example.com", /no user name and no password/],
    ["https://*.example.com", /no wildcards/],
    ["ftp://api.example.com", /write an origin such as/],
    ["api.example.com", /write an origin such as/],
    ["*", /write an origin such as/],
  ])("refuse %s", (given, message) => {
    const found = problems(`handlers: { settings: { x: { fetch: ["${given}"] } } }`);
    expect(found).toEqual([expect.stringMatching(message)]);
    expect(found[0]).toMatch(/^1:38 CONFIG_INVALID `handlers\.settings\.x\.fetch\[0\]`/);
    const written = problems(`handlers: { settings: { x: { fetch: [{ origin: "${given}", private: true }] } } }`);
    expect(written).toEqual([expect.stringMatching(message)]);
  });
});

import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { runCommandLine } from "../../src/cli/program.ts";
import { makeHome, sluice, start } from "./sluice.ts";

// Each command is a process of its own; on a busy box a dozen of them take their time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const root = fileURLToPath(new URL("../../", import.meta.url));

describe("check", () => {
  it("ends with 0 for the config and the handlers of this repo", async () => {
    const ran = await sluice(["check"], { cwd: root });
    expect(ran.err).toBe("");
    expect(ran.code).toBe(0);
    expect(ran.out).toContain("config/sluice.yaml");
  });

  it("and run refuse the same configs with 3", async () => {
    await using home = await makeHome({}, "routes:\n  - { from: a, to: [cloud], key: '{b}' }\n");
    const other = join(home.folder, "files.yaml");
    const folder = join(home.folder, "folder.yaml");
    await writeFile(folder, "handlers:\n  dir: handlres\n");
    await writeFile(other, 'uplinks:\n  a: { kind: https, url: "https://h", tls: { ca: none.pem } }\n');
    for (const [file, where] of [
      [home.config, "sluice.yaml:7:34: "],
      [other, "files.yaml:2:50: "],
      [folder, "folder.yaml:2:8: `handlers.dir` names a folder that cannot be read: ENOENT"],
    ] as const) {
      for (const command of ["check", "run"]) {
        const ran = await sluice([command, "--config", file]);
        expect(ran).toMatchObject({ code: 3, out: "" });
        expect(ran.err).toContain(where);
      }
    }
  });

  it("warns of a folder of handlers that is not there and that nobody has named, and so does run", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-bare-"));
    try {
      await mkdir(join(folder, "config"));
      const config = join(folder, "config", "sluice.yaml");
      const anyPort =
        'broker: { listeners: [{ url: "mqtt://127.0.0.1:0" }] }\ncontrol: { url: "http://127.0.0.1:0" }\n';
      await writeFile(config, `gateway: { data: ../data }\n${anyPort}`);
      const ran = await sluice(["check", "--config", config]);
      expect(ran.code).toBe(0);
      expect(ran.err).toMatch(/^! no handlers: there is no folder \S+\/handlers /);
      const gateway = start(["run", "--config", config]);
      try {
        const log = await gateway.said("the gateway is ready");
        expect(log).toMatch(/^\{"level":40,.*DEPLOY_DIR_UNREADABLE.*"no handlers: their folder cannot be read"/m);
      } finally {
        gateway.child.kill("SIGKILL");
        await gateway.ended;
      }
    } finally {
      await rm(folder, { recursive: true, maxRetries: 5 });
    }
  });

  it("ends with 1 when a handler fails, and names file, line and column", async () => {
    await using home = await makeHome({
      "good.ts": 'export const config = { topic: "a" };\nexport default () => 1;\n',
      "syntax.ts": "export default (event => { const x = ; });\n",
      "throws.ts":
        'export const config = { topic: "a" };\nconst x: number = JSON.parse("{");\nexport default () => x;\n',
      "uplink.ts": 'export const config = { topic: "a", to: ["clod"] };\nexport default () => 1;\n',
    });
    const ran = await sluice(["check", "--config", home.config]);
    expect(ran.code).toBe(1);
    expect(ran.out).toContain("✓ good");
    expect(ran.err).toContain("handlers/syntax.ts:1:38: ");
    expect(ran.err).toContain("handlers/throws.ts:2:");
    expect(ran.err).toContain('Did you mean "cloud"?');
    const json = JSON.parse((await sluice(["check", "--config", home.config, "--json"])).out) as {
      handlers: { name: string; ok: boolean }[];
      problems: { code: string }[];
    };
    expect(json.handlers.filter(({ ok }) => ok).map(({ name }) => name)).toEqual(["good"]);
    expect(json.problems).toHaveLength(3);
    expect(existsSync(join(home.folder, "data"))).toBe(false);
  });

  it("ends with 3 when the config is invalid, in words and as JSON", async () => {
    await using home = await makeHome({}, "brocker: {}\n");
    const ran = await sluice(["check", "--config", home.config]);
    expect(ran).toMatchObject({ code: 3, out: "" });
    expect(ran.err).toContain("Did you mean `broker`? [CONFIG_UNKNOWN]");
    const json = await sluice(["check", "--config", home.config, "--json"]);
    expect(json).toMatchObject({ code: 3, err: "" });
    expect(JSON.parse(json.out)).toMatchObject({
      problems: [{ code: "CONFIG_UNKNOWN", where: expect.stringMatching(/sluice\.yaml:6:1$/) }],
    });
    expect((await sluice(["check", "--config", join(home.folder, "none.yaml")])).code).toBe(3);
  });
});

describe("check of grants", () => {
  const handler = (grants: string): string =>
    `export const config = { topic: "a"${grants} };\nexport default () => 1;\n`;

  it("prints where each handler may fetch from and its secrets, in words and as JSON", async () => {
    await using home = await makeHome(
      {
        "caller.ts": handler(`, fetch: ["https://api.example.com/", "http://10.0.0.5:8080"], secrets: ["apiKey"]`),
        "plain.ts": handler(""),
        "local.ts": handler(`, fetch: [{ origin: "http://historian.local", private: true }]`),
      },
      "secrets: { apiKey: { env: CHECK_KEY } }\n",
    );
    const env = { CHECK_KEY: "a-value" };
    const ran = await sluice(["check", "--config", home.config], { env });
    expect(ran).toMatchObject({ code: 0, err: "" });
    const aimless = "    topic a\n    names no uplink in `to`: what it returns goes nowhere\n";
    expect(ran.out).toContain(
      `✓ caller\n${aimless}    may fetch from https://api.example.com, http://10.0.0.5:8080\n    has secrets apiKey\n✓ local\n${aimless}    may fetch from http://historian.local (private)\n✓ plain\n${aimless}`,
    );
    const json = JSON.parse((await sluice(["check", "--config", home.config, "--json"], { env })).out) as object;
    expect(json).toMatchObject({
      handlers: [
        { name: "caller", ok: true, fetch: ["https://api.example.com", "http://10.0.0.5:8080"], secrets: ["apiKey"] },
        { name: "local", ok: true, fetch: ["http://historian.local (private)"], secrets: [] },
        { name: "plain", ok: true, triggers: ["topic a"], fetch: [], secrets: [] },
      ],
    });
    expect(ran.out + JSON.stringify(json)).not.toContain("a-value");
  });

  it("goes on to the handlers when the value of a secret is not there", async () => {
    await using home = await makeHome(
      { "good.ts": handler(""), "bad.ts": "export default 5;\n" },
      "secrets: { apiKey: { env: CHECK_KEY } }\n",
    );
    const ran = await sluice(["check", "--config", home.config]);
    expect(ran.code).toBe(3);
    expect(ran.err).toMatch(/sluice\.yaml:6:27: `secrets\.apiKey\.env` names CHECK_KEY, which/);
    expect(ran.err).toContain("✗ bad\nhandlers/bad.ts: ");
    expect(ran.out).toMatch(/^✓ good$/m);
    expect(ran.out).not.toContain("sluice.yaml");
    const json = await sluice(["check", "--config", home.config, "--json"]);
    expect(json).toMatchObject({ code: 3, err: "" });
    expect(JSON.parse(json.out)).toMatchObject({
      handlers: [
        { name: "bad", ok: false },
        { name: "good", ok: true },
      ],
      problems: [{ code: "CONFIG_SECRET" }, { code: "DEPLOY_LOAD_FAILED" }],
    });
  });

  it("tells how to give a secret where there is none yet", async () => {
    await using home = await makeHome({ "caller.ts": handler(`, secrets: ["apiKey"]`) });
    const ran = await sluice(["check", "--config", home.config]);
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('handlers/caller.ts:1:37: the gateway has no secret "apiKey"');
    expect(ran.err).toContain("such as `secrets: { apiKey: { env: API_KEY } }`");
  });

  it("refuses a secret that the gateway has not got, and one whose value it cannot have", async () => {
    await using home = await makeHome(
      { "caller.ts": handler(`, secrets: ["apiKye"]`) },
      "secrets: { apiKey: { env: CHECK_KEY } }\n",
    );
    const ran = await sluice(["check", "--config", home.config], { env: { CHECK_KEY: "a-value" } });
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('handlers/caller.ts:1:37: the gateway has no secret "apiKye"');
    expect(ran.err).toContain('Did you mean "apiKey"? [DEPLOY_SECRET_UNKNOWN]');
    for (const command of ["check", "run"]) {
      const missing = await sluice([command, "--config", home.config]);
      expect(missing).toMatchObject({ code: 3, out: "" });
      expect(missing.err).toMatch(/sluice\.yaml:6:27: `secrets\.apiKey\.env` names CHECK_KEY, which/);
    }
  });
});

describe("init", () => {
  it("says so where no folder can be made, and ends", async () => {
    // Below a file; and, where there is one, in a file system that lets nobody make anything.
    const places = [join(import.meta.filename, "edge"), ...(process.platform === "linux" ? ["/proc/sluice"] : [])];
    for (const place of places) {
      const ran = await sluice(["init", place]);
      expect(ran.code).not.toBe(0);
      expect(ran.err).toContain("the folder cannot be written");
    }
  });

  it("writes a folder that check finds good, and never overwrites", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-init-"));
    try {
      const ran = await sluice(["init", "edge"], { cwd: folder });
      expect(ran.code).toBe(0);
      const files = ran.out.trim().split("\n");
      expect(files).toContain("edge/config/sluice.yaml");
      expect((await sluice(["check"], { cwd: join(folder, "edge") })).code).toBe(0);
      await writeFile(join(folder, "edge/handlers/overheat.ts"), "// mine");
      const again = await sluice(["init", "edge"], { cwd: folder });
      expect(again.code).toBe(6);
      expect(again.err).toContain("[CLI_EXISTS]");
      expect(await readFile(join(folder, "edge/handlers/overheat.ts"), "utf8")).toBe("// mine");
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("writes a handler that its own tsconfig finds no fault with", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-init-"));
    try {
      await sluice(["init"], { cwd: folder });
      const tsc = join(root, "node_modules/.bin/tsc");
      const { stdout } = await promisify(execFile)(process.execPath, [tsc, "--noEmit", "-p", folder]).catch(
        (error: { stdout: string }) => error,
      );
      expect(stdout).toBe("");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("usage", () => {
  it.each([
    [["stauts"], "Did you mean status?"],
    [["pub"], "required option '-t, --topic <topic>'"],
    [["pub", "-t", "a"], "pass exactly one of -m, -f, -s, -l and -n"],
    [["pub", "-t", "a", "-m", "x", "-n"], "pass exactly one of"],
    [["pub", "-t", "a", "-m", "x", "-q", "3"], "Write 0, 1 or 2."],
    [["sub", "-t", "a", "-C", "none"], "Write a whole number"],
    [["run", "--port", "1"], "unknown option '--port'"],
    [["dead", "redrive"], "say which"],
  ])("%j ends with 2 and says what is wrong", async (args, text) => {
    const ran = await within(args);
    expect(ran).toMatchObject({ code: 2, out: "" });
    expect(ran.err).toContain(text);
  });

  it.each([
    ["run"],
    ["dev"],
    ["check"],
    ["init"],
    ["status"],
    ["dead"],
    ["pub"],
    ["sub"],
    ["simulate"],
    ["health"],
    ["test"],
    ["invoke"],
    ["types"],
    ["completion"],
  ])("%s --help teaches with examples, on stdout", async (command) => {
    const ran = await within([command, "--help"]);
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(ran.out).toContain("Examples:\n  ");
    expect(ran.out).toContain(`sluice ${command}`);
    expect(await within(["help", command])).toEqual(ran);
  });

  it("--version prints the version of package.json", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    expect(await sluice(["--version"])).toEqual({ code: 0, out: `${version}\n`, err: "" });
  });
});

/** In this process: what never gets as far as doing anything needs none of its own. */
async function within(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const texts = { out: "", err: "" };
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    texts.out += String(text);
    return true;
  });
  const err = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    texts.err += String(text);
    return true;
  });
  try {
    const code = await runCommandLine(args);
    return { code, ...texts };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

describe("a gateway that is away", () => {
  it("is exit 4 for commands that need it, and 1 for health", async () => {
    const env = { SLUICE_URL: "http://127.0.0.1:1", SLUICE_TOKEN: "x" };
    const ran = await sluice(["status"], { env });
    expect(ran).toMatchObject({ code: 4, out: "" });
    expect(ran.err).toContain("[CLI_UNREACHABLE]");
    expect((await sluice(["health"], { env })).code).toBe(1);
    expect((await sluice(["pub", "-h", "127.0.0.1", "-p", "1", "-t", "a", "-n"])).code).toBe(4);
    await using home = await makeHome();
    expect((await sluice(["status", "--config", home.config])).code).toBe(4);
  });
});

describe("bin/sluice.js", () => {
  const bin = join(root, "bin/sluice.js");

  it("runs the command line on a Node that is new enough", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [bin, "--version"]);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("is JavaScript that an old Node can read, and says in one line which Node it needs", async () => {
    const text = await readFile(bin, "utf8");
    // An old Node is not at hand everywhere: the same file, told that it runs on one.
    const old = text.replace("process.versions.node.split", '"20.19.0".split');
    expect(old).not.toBe(text);
    const folder = await mkdtemp(join(tmpdir(), "sluice-bin-"));
    await writeFile(join(folder, "old.mjs"), old);
    const ran = await promisify(execFile)(process.execPath, [join(folder, "old.mjs")]).catch(
      (error: { code: number; stderr: string }) => error,
    );
    expect(ran).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: Sluice needs Node 24\.12 or later, .*\n$/),
    });
    await rm(folder, { recursive: true });
  });
});

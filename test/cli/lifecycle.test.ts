import { connect } from "node:net";
import { once } from "node:events";
import { execFileSync } from "node:child_process";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { StatusAnswer } from "../../src/control/shapes.ts";
import { makeHome, runHome, sluice, start } from "./sluice.ts";

// Each command is a process of its own; on a busy box a dozen of them take their time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const slow = `export const config = { topic: "slow", timeout: "20s" };
export default () => { for (;;); };`;

describe("sluice run", () => {
  it("says as its last line of the start where things are, and ends with 0 on SIGTERM", async () => {
    await using home = await runHome();
    const log = await home.gateway.said("the gateway is ready");
    const ready = JSON.parse(log.trim().split("\n").at(-1) ?? "") as Record<string, unknown>;
    expect(ready).toMatchObject({
      gateway: "edge-cli",
      broker: [`mqtt://127.0.0.1:${home.mqttPort}`],
      control: home.controlUrl,
      data: join(home.folder, "data"),
    });
    home.gateway.child.kill("SIGTERM");
    const ran = await home.gateway.ended;
    expect(ran).toMatchObject({ code: 0, out: "" });
    expect(ran.err.trim().split("\n").at(-1)).toContain('"msg":"closed"');
  });

  it("drains within its deadline, and a second signal ends it at once", async () => {
    await using home = await runHome({ "slow.js": slow });
    expect((await sluice(["pub", "-p", String(home.mqttPort), "-t", "slow", "-m", "x"])).code).toBe(0);
    home.gateway.child.kill("SIGINT");
    await home.gateway.said("shutting down");
    home.gateway.child.kill("SIGINT");
    const ran = await home.gateway.ended;
    expect(ran.code).toBe(130);
    expect(ran.err).toContain("forced to end");
  });

  it("reads its config again on SIGHUP: says what it took on and what waits for a restart, and survives a bad one", async () => {
    await using home = await runHome();
    await home.writeConfig("log: { level: debug }\njournal: { sizeMax: 1GB }\n");
    home.gateway.child.kill("SIGHUP");
    const log = await home.gateway.said("waits for a restart");
    expect(log).toContain('"applied":["log.level"],"needsRestart":["journal.sizeMax"]');
    await home.writeConfig("jurnal: {}\nbrocker: {}\n");
    home.gateway.child.kill("SIGHUP");
    const refused = await home.gateway.said("goes on with the one it has");
    expect(refused).toContain("CONFIG_INVALID");
    expect(refused).toContain("there is no setting `jurnal`");
    expect(refused).toContain("there is no setting `brocker`");
    expect((await sluice(["health", "--config", home.config])).code).toBe(1);
    expect((await fetch(`${home.controlUrl}/readyz`)).status).toBe(200);
  });

  it("reads its config again for a SIGHUP that comes while it starts, and does not end by it", async () => {
    await using home = await makeHome();
    const config = await readFile(home.config, "utf8");
    await rm(home.config);
    // It reads as soon as somebody writes, and no sooner: so the signal comes when it has begun to read.
    execFileSync("mkfifo", [home.config]);
    const gateway = start(["run", "--config", home.config]);
    try {
      await using fifo = await open(home.config, "w");
      gateway.child.kill("SIGHUP");
      await fifo.writeFile(config);
      await fifo.close();
      await gateway.said("the gateway is ready");
      await writeFile(home.config, `${config}log: { level: debug }\n`);
      expect(await gateway.said("the config was read again")).toContain('"applied":["log.level"]');
    } finally {
      gateway.child.kill("SIGKILL");
      await gateway.ended;
    }
  });

  it("says of handlers that send to an uplink which a new config has not got any more, until it is back", async () => {
    const handler = `export const config = { topic: "t", to: ["cloud"] }; export default (event) => event.data;`;
    await using home = await runHome({ "sender.js": handler });
    const config = await readFile(home.config, "utf8");
    await writeFile(home.config, config.replace(/^uplinks: .*$/m, "uplinks: {}"));
    home.gateway.child.kill("SIGHUP");
    await home.gateway.said('"applied":["uplinks.cloud"]');
    const status = async (): Promise<StatusAnswer> => {
      const headers = { authorization: `Bearer ${await home.token()}` };
      return (await (await fetch(`${home.controlUrl}/api/v1/status`, { headers })).json()) as StatusAnswer;
    };
    expect((await status()).handlers).toMatchObject([
      { name: "sender", version: 1, failure: expect.stringContaining("[OUTPUT_UPLINK_UNKNOWN]") as string },
    ]);
    await writeFile(home.config, config);
    home.gateway.child.kill("SIGHUP");
    await expect.poll(async () => (await status()).handlers[0], { timeout: 20_000 }).not.toHaveProperty("failure");
    expect((await sluice(["pub", "-p", String(home.mqttPort), "-t", "t", "-m", "1"])).code).toBe(0);
    await expect.poll(async () => (await status()).ledger.uplinks["cloud"]?.delivered, { timeout: 20_000 }).toBe(1);
  });

  it("refuses a data folder that another gateway has, and a port that is taken, with a fault and not a stack", async () => {
    await using home = await runHome();
    const second = await sluice(["run", "--config", home.config]);
    expect(second.code).toBe(6);
    expect(second.err).toContain("[JOURNAL_LOCKED]");
    expect(second.err).not.toMatch(/^ {4}at /m);
    await using other = await makeHome();
    await writeFile(
      other.config,
      `gateway: { data: data }\nhandlers: { dir: handlers }\ncontrol: { url: "${home.controlUrl}" }\n`,
    );
    const third = await sluice(["run", "--config", other.config]);
    expect(third.code).toBe(1);
    expect(third.err).toContain("[CONTROL_LISTEN]");
    expect(third.err).not.toMatch(/^ {4}at /m);
  });

  it("ends with 3 and all problems when its config is invalid, before anything is opened", async () => {
    await using home = await makeHome({}, "brocker: {}\nlog: { level: loud }\n");
    const ran = await sluice(["run", "--config", home.config]);
    expect(ran).toMatchObject({ code: 3, out: "" });
    expect(ran.err).toContain("sluice.yaml:6:1: there is no setting `brocker`");
    expect(ran.err).toContain("[CONFIG_UNKNOWN]");
    expect(ran.err).toContain("`log.level` must be one of");
    await expect(once(connect(home.mqttPort, "127.0.0.1"), "connect")).rejects.toThrow();
  });
});

describe("a handler that is removed while tasks wait for it", () => {
  it("stands in the log and in status with them, also after a restart, until they are dropped", async () => {
    const failing = `export const config = { topic: "bad", retry: { backoff: "1h", backoffMax: "1h" } };
export default () => { throw new Error("not yet"); };`;
    await using home = await runHome({ "bad.js": failing });
    const { config } = home;
    const asked = async (method: string, path: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${await home.token()}` };
      return (await fetch(home.controlUrl + path, { method, headers })).json();
    };
    const drop = (name: string): Promise<unknown> => asked("DELETE", `/api/v1/handlers/${name}/tasks`);
    const lines = { input: "1\n2\n" };
    expect((await sluice(["pub", "-p", String(home.mqttPort), "-t", "bad", "-q", "1", "-l"], lines)).code).toBe(0);
    expect(await drop("bad")).toMatchObject({ status: 409, code: "CONTROL_DEPLOYED" });
    expect(await drop("bat")).toMatchObject({ status: 404, code: "CONTROL_NOT_FOUND" });

    await rm(join(home.folder, "handlers", "bad.js"));
    expect(await home.gateway.said("handler removed, and tasks wait for it")).toMatch(/"handler":"bad","waiting":2,/);
    const removed = [{ name: "bad", version: 0, waiting: 0, parked: 2, running: 0, removed: true }];
    expect(await asked("GET", "/api/v1/status")).toMatchObject({ handlers: removed });

    home.gateway.child.kill("SIGTERM");
    await home.gateway.ended;
    const again = start(["run", "--config", config]);
    try {
      const log = await again.said("the gateway is ready");
      expect(log).toMatch(/"waiting":\{"bad":2\},"msg":"tasks wait for handlers that nobody runs/);
      const status = await sluice(["status", "--config", config]);
      expect(status.out).toMatch(/^bad +- +0 +2 +0 +removed, see below/m);
      expect(status.out).toMatch(/^ +2 +0 +0 +0 +0 +2$/m);
      const unsure = await sluice(["handlers", "drop", "bad", "--config", config]);
      expect(unsure.code).toBe(2);
      expect(unsure.err).toContain("[CLI_NOT_CONFIRMED]");
      const dropped = await sluice(["handlers", "drop", "bad", "--yes", "--json", "--config", config]);
      expect(dropped).toMatchObject({ code: 0, out: '{"count":2}\n' });
      const { handlers, ledger } = (await asked("GET", "/api/v1/status")) as StatusAnswer;
      expect(handlers).toEqual([]);
      expect(ledger.events).toEqual({ accepted: 2, done: 0, dead: 0, expired: 0, dropped: 2, pending: 0 });
    } finally {
      again.child.kill("SIGKILL");
      await again.ended;
    }
  });
});

describe("sluice dev", () => {
  it("watches handlers whatever the config says, and writes lines for people", async () => {
    await using home = await makeHome({}, "");
    await writeFile(
      home.config,
      `gateway: { id: edge-dev, data: data }\nhandlers: { dir: handlers, watch: false }\nbroker: { listeners: [{ url: "mqtt://127.0.0.1:0" }] }\ncontrol: { url: "http://127.0.0.1:0" }\nuplinks: { out: { kind: file, path: out.ndjson } }\n`,
    );
    const dev = start(["dev", "--sim", "--config", home.config]);
    try {
      expect(await dev.said("edge-dev is ready")).toMatch(
        /devices mqtt:\/\/127\.0\.0\.1:[1-9]\d*, control http:\/\/127\.0\.0\.1:[1-9]\d*/,
      );
      await writeFile(
        join(home.folder, "handlers", "new.js"),
        'export const config = { topic: "x" };\nexport default () => 1;\n',
      );
      expect(await dev.said("handler live")).not.toContain('{"level"');
      await writeFile(
        join(home.folder, "handlers", "new.js"),
        `export const config = { topic: "plant/{line}/{machine}/temperature", to: "out" };
export default ({ data, params }, ctx) => {
  if (data.c < 60) throw new Error("too\\ncold");
  ctx.publish("hot/" + params.machine, "x".repeat(1000));
  return { c: data.c, turned: 1 };
};`,
      );
      await dev.said('"turned":1}');
      await dev.said("new → hot/machine-1  x");
      const log = await dev.said("at new_default (handlers/new.js:3:");
      expect(log).toMatch(/\] new → out {2}\{"c":[\d.]+,"turned":1\}\n/);
      expect(log).toMatch(/\] new → hot\/machine-1 {2}x{399}…\n/);
      expect(log).toMatch(
        /\] new ✗ HANDLER_THREW: Error: too cold {2}plant\/\w\/machine-\d\/temperature, will be tried again\n {4}at new_default \(handlers\/new\.js:3:/,
      );
      dev.child.kill("SIGTERM");
      expect((await dev.ended).code).toBe(0);
    } finally {
      dev.child.kill("SIGKILL");
    }
  });
});

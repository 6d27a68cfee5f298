/** sluice/testing, as somebody's tests import it. */
import { openHandler } from "sluice/testing";
import type { OpenedHandler, OpenHandlerOptions } from "sluice/testing";
import { afterEach, describe, expect, it } from "vitest";
import { Home, OVERHEAT } from "./folder.ts";

const TOPIC = "plant/a/press/temperature";
const home = new Home();
let opened: OpenedHandler | undefined;
afterEach(async () => {
  await opened?.close();
  opened = undefined;
});

async function open(name: string, text: string, options: OpenHandlerOptions = {}): Promise<OpenedHandler> {
  return (opened = await openHandler(home.write(`handlers/${name}.ts`, text), options));
}

/** A handler of topic `a` that does `body`, which may wait. */
const doing = (body: string, config = ""): string =>
  `export const config = { topic: "a/{key}", key: "{key}", to: "cloud", ${config} };
export default async (event, ctx) => { ${body} };`;

describe("a handler that a test has opened", () => {
  it("gets events, and tells what it sent, published, logged and keeps", async () => {
    const overheat = await open("overheat", OVERHEAT, { params: { limit: 50 }, state: { press: { count: 1 } } });
    expect(overheat.name).toBe("overheat");
    const run = await overheat.send(TOPIC, { c: 60 });
    expect(run).toMatchObject({
      at: "done",
      key: "press",
      outputs: [
        {
          to: ["cloud"],
          type: "sluice.overheat",
          subject: TOPIC,
          data: { machine: "press", c: 60, count: 2, at: "2026-01-01T00:00:00.000Z" },
        },
      ],
      published: [],
      logs: [{ level: "debug", message: "saw 60" }],
    });
    expect(run.failure).toBeUndefined();
    expect(overheat.state("press")).toEqual({ count: 2 });
    const next = await overheat.send(TOPIC, '{"c":61}', { after: "90s" });
    expect(next.outputs[0]?.data.at).toBe("2026-01-01T00:01:30.000Z");
    expect(next.published).toEqual([{ topic: "alarm/press", data: "on", qos: 0, retain: true }]);
    expect(overheat.time.toISOString()).toBe("2026-01-01T00:01:30.000Z");
    overheat.setState("press", undefined);
    overheat.setState("saw", { count: 7 });
    expect(overheat.states).toEqual({ saw: { count: 7 } });
  });

  it("does not run on a topic that none of its filters wants", async () => {
    const overheat = await open("overheat", OVERHEAT);
    expect(await overheat.send("plant/a/press/power", { c: 99 })).toMatchObject({
      at: "unmatched",
      outputs: [],
      logs: [],
    });
  });

  it("fails as it would in a gateway, and keeps nothing of it; whether it is tried again depends on the try", async () => {
    const body = `ctx.state.n = 1; ctx.emit(1); if (event.data === "dead") throw new DeadLetter("no"); throw new Error("bad");`;
    const handler = await open("failing", doing(body, "retry: { triesMax: 3 }"));
    const first = await handler.send("a/x");
    expect(first).toMatchObject({
      at: "failed",
      outputs: [],
      failure: { code: "HANDLER_THREW", message: "Error: bad", dead: false },
    });
    expect(first.failure?.stack).toContain("handlers/failing.ts:2:");
    expect(handler.states).toEqual({});
    expect((await handler.send("a/x", "", { attempt: 3 })).failure?.dead).toBe(true);
    expect((await handler.send("a/x", "dead")).failure).toMatchObject({ code: "HANDLER_DEAD_LETTER", dead: true });
  });

  it("is stopped by its limits", async () => {
    const handler = await open("endless", doing("while (true);", 'timeout: "50ms"'));
    expect((await handler.send("a/x")).failure?.code).toBe("SANDBOX_TIMEOUT");
    expect((await handler.send("a/x")).failure?.code).toBe("SANDBOX_TIMEOUT");
  });

  it("waits for nothing, and comes to the same each time", async () => {
    const body = `const t = Date.now(); await new Promise((resolve) => setTimeout(resolve, 3_599_000)); return [Date.now() - t, Math.random(), crypto.randomUUID(), event.id].map(String);`;
    const text = doing(body, 'timeout: "1h"');
    const seen = [];
    for (let i = 0; i < 2; i++) {
      await using handler = await openHandler(home.write("handlers/waiting.ts", text));
      seen.push((await handler.send("a/x")).outputs.map(({ data }) => data as string));
    }
    expect(seen[0]).toHaveLength(4);
    expect(seen[0]?.[0]).toBe("3599000");
    expect(seen[1]).toEqual(seen[0]);
  });

  it("finds its module as if it had just been loaded", async () => {
    const handler = await open("cache", `let calls = 0;${doing("return ++calls;")}`);
    for (let i = 0; i < 2; i++) expect((await handler.send("a/x")).outputs[0]?.data).toBe(1);
  });

  it("handles events in the order in which they were sent, though nobody waits in between", async () => {
    const handler = await open("order", doing("ctx.state.n = (ctx.state.n ?? 0) + 1; return ctx.state.n;"));
    const runs = await Promise.all(Array.from({ length: 5 }, () => handler.send("a/x", {}, { after: 10 })));
    expect(runs.map(({ outputs }) => outputs[0]?.data as number)).toEqual([1, 2, 3, 4, 5]);
    expect(handler.time.getTime()).toBe(Date.UTC(2026, 0, 1) + 50);
  });

  it("ticks while time passes", async () => {
    const handler = await open("ticking", doing("return event.data.scheduled;", 'schedule: "0 * * * *"'));
    handler.time = new Date("2026-05-01T10:30:00Z");
    const runs = await handler.pass("2h");
    expect(runs.map(({ outputs }) => outputs[0]?.data as string)).toEqual([
      "2026-05-01T11:00:00.000Z",
      "2026-05-01T12:00:00.000Z",
    ]);
    expect(handler.time.toISOString()).toBe("2026-05-01T12:30:00.000Z");
    await expect(handler.pass("365d")).rejects.toThrow("ticks more than 1000 times");
    expect(await handler.pass("1s")).toEqual([]);
  });

  it("is called, and told what happens in the gateway", async () => {
    const returns =
      "return [event.type, event.subject, event.data, event.params, event.request ?? 'none', ctx.state.n = 1];";
    const wants = 'webhook: { path: "/orders/{id}", auth: "none", methods: ["PUT"] }, on: ["device.connected"]';
    const handler = await open("told", doing(returns, wants));
    const called = await handler.call("/orders/7", { n: 1 }, { query: { dry: "1" }, after: "5s" });
    expect(called.outputs.map(({ data }) => data as unknown)).toEqual([
      "sluice.webhook.call",
      "/orders/7",
      { n: 1 },
      { id: "7" },
      { method: "PUT", query: { dry: "1" }, headers: { "content-type": "application/json" } },
      1,
    ]);
    expect(handler.time).toEqual(new Date("2026-01-01T00:00:05Z"));
    expect((await handler.call("/orders/7", "text")).outputs[4]?.data).toMatchObject({ headers: {} });
    expect((await handler.call("/orders/7", {}, { method: "POST" })).at).toBe("unmatched");
    expect((await handler.call("/elsewhere")).at).toBe("unmatched");
    const told = await handler.notice("device.connected", {}, { device: "press-7" });
    expect(told.outputs.map(({ data }) => data as unknown)).toEqual([
      "sluice.device.connected",
      "press-7",
      { device: "press-7" },
      {},
      "none",
      1,
    ]);
    expect(told.key).toBe("press-7");
    expect((await handler.notice("uplink.up", { uplink: "cloud" })).at).toBe("unmatched");
  });

  it("takes bytes as they are, and sends bytes", async () => {
    const handler = await open(
      "bytes",
      doing("ctx.emit(event.bytes.reverse()); ctx.emit(new TextEncoder().encode('ä'));"),
    );
    const { outputs } = await handler.send("a/x", new Uint8Array([1, 255, 2]));
    expect(outputs.map(({ data }) => data as unknown)).toEqual([new Uint8Array([2, 255, 1]), "ä"]);
  });
});

describe("what a handler fetches in a test", () => {
  const body = `
    const response = await fetch("https://api.example.com/orders/" + event.params.key, { method: "POST", headers: { authorization: ctx.secrets.apiKey }, body: '{"n":1}' });
    ctx.log.info("key", ctx.secrets.apiKey);
    return { status: response.status, body: await response.json() };`;
  const text = doing(body, 'fetch: ["https://api.example.com"], secrets: ["apiKey"]');

  it("is answered by the test, which sees what was asked", async () => {
    const handler = await open("orders", text, {
      secrets: { apiKey: "s3cret" },
      fetch: [
        { url: "https://api.example.com/orders/1", method: "GET", data: "not this one" },
        { url: "https://api.example.com/orders/*", status: 201, data: { ok: true } },
      ],
    });
    const run = await handler.send("a/1");
    expect(run.outputs.map(({ data }) => data as unknown)).toEqual([{ status: 201, body: { ok: true } }]);
    expect(run.fetched).toEqual([
      {
        url: "https://api.example.com/orders/1",
        method: "POST",
        headers: expect.objectContaining({ authorization: "s3cret" }) as object,
        data: { n: 1 },
      },
    ]);
    expect(run.logs.map(({ message }) => message)).toEqual(["key [secret apiKey]"]);
  });

  it("fails when nothing answers it, when it is told to, and when it is not granted", async () => {
    const url = "https://api.example.com/orders/2";
    const handler = await open("orders", text, { fetch: [{ url, error: "connection reset" }] });
    expect((await handler.send("a/1")).failure?.message).toContain(
      "nothing here answers POST https://api.example.com/orders/1",
    );
    expect((await handler.send("a/2")).failure).toMatchObject({
      code: "HANDLER_FETCH_FAILED",
      message: expect.stringContaining("connection reset") as string,
      dead: false,
    });
    await handler.close();
    const denied = await open("orders", text, { settings: { fetch: [] }, fetch: [{ url: "*" }] });
    expect((await denied.send("a/1")).failure).toMatchObject({ code: "HANDLER_FETCH_DENIED", dead: true });
    expect((await denied.send("a/1")).fetched).toEqual([]);
  });

  it("is denied without answers", async () => {
    const handler = await open("orders", text);
    expect((await handler.send("a/1")).failure?.code).toBe("HANDLER_FETCH_DENIED");
  });
});

describe("state that another version wrote", () => {
  const text = `export const config = { topic: "a/{k}", key: "{k}", to: [] };
export function migrate(state, from) {
  if (state.count === 13) throw new Error("thirteen");
  return { total: state.count, from, calls: (state.calls ?? 0) + 1 };
}
export default (event, ctx) => {
  if (event.data === "count") ctx.state.total = (ctx.state.total ?? 0) + 1;
  return ctx.version;
};`;
  const state = { x: { count: 4 }, y: { count: 5 }, z: { count: 13 } };

  it("is migrated once for each key, also by an event that changes nothing, and not where that throws", async () => {
    const handler = await open("moved", text, { state, stateVersion: 3 });
    expect((await handler.send("a/x", '"look"')).outputs).toMatchObject([{ data: 4 }]);
    expect(handler.state("x")).toEqual({ total: 4, from: 3, calls: 1 });
    await handler.send("a/x", '"count"');
    await handler.send("a/y", '"count"');
    expect(handler.states).toMatchObject({ x: { total: 5, calls: 1 }, y: { total: 6, calls: 1 } });
    for (const _ of [1, 2]) expect((await handler.send("a/z")).failure).toMatchObject({ message: "Error: thirteen" });
    expect(handler.state("z")).toEqual({ count: 13 });
    await handler.send("a/new", '"count"');
    expect(handler.state("new")).toEqual({ total: 1 });
    handler.setState("y", { count: 7 });
    await handler.send("a/y", '"look"');
    expect(handler.state("y")).toEqual({ count: 7 });
  });

  it("is none where nothing says that it was another one", async () => {
    const handler = await open("moved", text, { state });
    await handler.send("a/x", '"look"');
    expect(handler.state("x")).toEqual({ count: 4 });
  });
});

describe("opening a handler", () => {
  it("of another platform takes its trigger from the settings", async () => {
    const handler = await open("lambda", "export const handler = async (event) => ({ twice: 2 * event.n });", {
      settings: { topic: "n/#", to: "cloud" },
    });
    expect((await handler.send("n/1", { n: 4 })).outputs[0]?.data).toEqual({ twice: 8 });
  });

  it("with the config of a gateway has its settings and its uplinks", async () => {
    const config = home.write(
      "config/sluice.yaml",
      `gateway: { id: press-hall }
uplinks: { cloud: { kind: file, path: out.ndjson } }
handlers: { defaults: { retry: { triesMax: 1 } }, settings: { lost: { params: { to: cloud } } } }`,
    );
    const handler = await open("lost", doing("ctx.emit(event.source, { to: ctx.params.to });"), { config });
    expect((await handler.send("a/x")).outputs).toMatchObject([{ data: "//press-hall/test" }]);
    await handler.close();
    const lost = await open("lost", doing("ctx.emit(1, { to: 'nowhere' });"), { config });
    expect((await lost.send("a/x")).failure).toMatchObject({ code: "OUTPUT_UPLINK_UNKNOWN", dead: true });
  });

  it.each([
    ["a syntax error", "export default (", "DEPLOY_BUILD_FAILED"],
    ["a throw while it loads", "throw new Error('x')", "DEPLOY_LOAD_FAILED"],
    ["no trigger", "export default () => 1", "DEPLOY_NO_TRIGGER"],
    ["a wrong setting", "export const config = { topik: 'a' }; export default () => 1", "DEPLOY_CONFIG_INVALID"],
  ])("with %s is refused as a deploy would be", async (_what, text, code) => {
    await expect(open("broken", text)).rejects.toMatchObject({ code });
  });

  it("with settings that are none says which", async () => {
    const settings = { timeout: "soon" } as unknown as NonNullable<OpenHandlerOptions["settings"]>;
    await expect(open("overheat", OVERHEAT, { settings })).rejects.toMatchObject({
      code: "DEPLOY_CONFIG_INVALID",
      message: expect.stringContaining("timeout write a duration") as string,
    });
  });
});

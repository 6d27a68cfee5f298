import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { echo, openSite, text } from "../doubles/http-site.ts";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { RawClient } from "./rig/raw-client.ts";
import { until } from "./rig/wait.ts";

const FIRST = "first-s3cret-value";
const SECOND = "second-s3cret-value";

describe("a handler that fetches with a secret", () => {
  it("gets its answers, has a new value after SIGHUP, and the secret stands in no log, letter or status", async () => {
    await using site = await openSite({ "/echo": echo, "/hello": text("hello") });
    await using gateway = await GatewayProcess.prepare({
      config: {
        handlers: { watch: true, defaults: { timeout: "5s", retry: { triesMax: 2, backoff: "50ms" } } },
        secrets: { apiKey: { file: "key" }, fromEnv: { env: "STORY_SECRET" } },
      },
      env: { STORY_SECRET: "environment-s3cret" },
      handlers: {
        "call.ts": `
          export const config = { topic: "call/{n}", to: ["cloud"], fetch: ["${site.origin}"], secrets: ["apiKey", "fromEnv"] };
          export default async (event, ctx) => {
            const { apiKey, fromEnv } = ctx.secrets;
            ctx.log.info("calling with", apiKey, { fromEnv });
            const [answer, hello] = await Promise.all([
              fetch("${site.origin}/echo", { method: "POST", body: fromEnv, headers: { authorization: "Bearer " + apiKey } }),
              fetch("${site.origin}/hello"),
            ]);
            if (event.data.fails) throw new Error("refused: " + JSON.stringify(await answer.json()));
            return { status: answer.status, hello: await hello.text() };
          };`,
        "away.ts": `
          export const config = { topic: "away" };
          export default async () => { await fetch("${site.origin}/hello"); };`,
      },
    });
    writeFileSync(join(gateway.folder, "key"), `${FIRST}\n`);
    await gateway.start();
    using device = await RawClient.open(gateway.mqttPort, "device");
    let messageId = 0;
    const publish = async (topic: string, data: object): Promise<void> => {
      messageId++;
      const payload = JSON.stringify(data);
      device.send({ cmd: "publish", topic, qos: 1, messageId, dup: false, retain: false, payload });
      await device.expect("puback");
    };
    const cloud = join(gateway.folder, "cloud", "events.ndjson");
    const outputs = async (count: number): Promise<void> => {
      await until(`${count} outputs`, () => readFileUplink(cloud).lines.length >= count, {
        withinMs: 30_000,
        tell: () => gateway.logTail(),
      });
    };

    await publish("call/1", {});
    await outputs(1);
    expect(readFileUplink(cloud).lines[0]?.data).toEqual({ status: 200, hello: "hello" });
    expect(site.requests.find(({ path }) => path === "/echo")).toMatchObject({
      headers: { authorization: `Bearer ${FIRST}` },
      body: Buffer.from("environment-s3cret"),
    });

    writeFileSync(join(gateway.folder, "key"), SECOND);
    gateway.signal("SIGHUP");
    await until("the handler live again", () => gateway.logged("handler live").length >= 3, {
      withinMs: 30_000,
      tell: () => gateway.logTail(),
    });
    await until("the end of the reload", () => gateway.logged('"applied":["secrets.apiKey"]').length > 0, {
      withinMs: 30_000,
    });
    await publish("call/2", {});
    await outputs(2);
    expect(site.requests.findLast(({ path }) => path === "/echo")?.headers.authorization).toBe(`Bearer ${SECOND}`);

    await publish("call/3", { fails: true });
    await publish("away", {});
    await until("the dead letters", async () => (await gateway.ledger()).events.dead === 2, { withinMs: 30_000 });
    const letters = await gateway.api("/api/v1/dead");
    const told = JSON.stringify([letters, await gateway.status(), gateway.log]);
    expect(told).toContain("[secret apiKey]");
    expect(told).toContain("[secret fromEnv]");
    expect(told).toContain("HANDLER_FETCH_DENIED");
    expect(told).toContain("to `fetch` of its config");
    const metrics = await fetch(`${gateway.controlUrl}/metrics`, {
      headers: { authorization: `Bearer ${readFileSync(join(gateway.dataFolder, "admin.token"), "utf8").trim()}` },
    });
    const figures = await metrics.text();
    expect(figures).toContain('sluice_fetches_total{handler="away",outcome="denied"} 1');
    expect(figures).toContain('sluice_fetches_total{handler="call",outcome="answered"} 8');
    for (const secret of [FIRST, SECOND, "environment-s3cret"]) expect(told + figures).not.toContain(secret);
    expect(JSON.stringify(gateway.logged("handler live"))).toMatch(
      /"fetch":\["http:\/\/127.0.0.1:\d+"\],"secrets":\["apiKey"/,
    );
  });
});

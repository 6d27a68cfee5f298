import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { expect, it, vi } from "vitest";
import { runHome, sluice, start } from "./sluice.ts";
import type { Home } from "./sluice.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const handlers = {
  "picky.ts": `export const config = { topic: "in/+", retry: { triesMax: 1 } };
export default (event: { data: { v: number } }, ctx: { log: { info(text: string): void } }) => {
  ctx.log.info("v is " + event.data.v);
  if (event.data.v < 0) throw new Error("too little");
};`,
};

async function publish({ mqttPort }: Home, clientId: string, ...payloads: string[]): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { clientId });
  for (const payload of payloads) await client.publishAsync("in/a", payload, { qos: 1 });
  await client.endAsync();
}

/** Somebody's tail is connected. */
async function followed(home: Home): Promise<void> {
  await vi.waitFor(
    async () => {
      const answer = await fetch(`${home.controlUrl}/metrics`, {
        headers: { authorization: `Bearer ${await home.token()}` },
      });
      expect(await answer.text()).toContain("sluice_streams_open 1\n");
    },
    { timeout: 20_000, interval: 100 },
  );
}

const lines = (out: string): Record<string, unknown>[] =>
  out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it("tail follows a gateway, through a restart, and ends with 130 when it is interrupted", async () => {
  await using home = await runHome(handlers);
  const tail = start(["tail", "--config", home.config]);
  await followed(home);
  await publish(home, "press-1", '{"v":1}', '{"v":-1}');
  await tail.printed('"status":"dead"');
  await writeFile(
    join(home.folder, "handlers", "other.js"),
    `export default () => {}; export const config = { topic: "o" };`,
  );
  await tail.printed('"handler":"other","what":"live"');

  home.gateway.child.kill("SIGTERM");
  await home.gateway.ended;
  await tail.said("waiting for it");
  const again = start(["run", "--config", home.config]);
  try {
    await again.said("the gateway is ready");
    await tail.said("connected again");
    await publish(home, "press-2", '{"v":2}');
    await tail.printed('"device":"press-2"');
    tail.child.kill("SIGINT");
    const { code, out } = await tail.ended;
    expect(code).toBe(130);
    const entries = lines(out);
    const ofFirst = entries.filter(({ device }) => device === "press-1");
    // Log lines of a batch are told before its outcomes.
    expect(ofFirst.filter(({ at }) => at === "log")).toMatchObject([
      { handler: "picky", version: 1, level: "info", message: "v is 1", topic: "in/a" },
      { message: "v is -1" },
    ]);
    const outcomes = ofFirst.filter(({ at }) => at === "outcome");
    expect(outcomes).toMatchObject([
      { status: "done", outputs: 0, key: "in/a" },
      { status: "dead", tries: 1, failure: { code: "HANDLER_THREW", message: "Error: too little" } },
    ]);
    const failure = outcomes[1]?.["failure"] as { stack: string };
    expect(failure.stack).toMatch(/handlers\/picky\.ts:4:\d+/);
  } finally {
    again.child.kill("SIGKILL");
    await again.ended;
  }
});

it("tail --since shows what was before, by handler or route, status and device, and -n ends it", async () => {
  await using home = await runHome(handlers, "routes: [{ from: in/#, to: [cloud] }]\n");
  await publish(home, "press-1", '{"v":-1}');
  await publish(home, "press-2", '{"v":-2}', '{"v":3}');
  const at = ["--config", home.config];
  const errors = await sluice(["tail", "picky", "--status", "error", "--since", "5m", "-n", "3", ...at]);
  expect(errors.code).toBe(0);
  expect(lines(errors.out)).toMatchObject([
    { at: "deploy", what: "live", version: 1 },
    { at: "outcome", device: "press-1" },
    { at: "outcome", device: "press-2" },
  ]);
  const logs = await sluice(["tail", "--level", "info", "--device", "press-2", "--since", "1h", "-n", "2", ...at]);
  expect(logs.err).toContain("the gateway keeps the last 15m of this");
  expect(lines(logs.out)).toMatchObject([{ message: "v is -2" }, { message: "v is 3" }]);
  const routed = start(["tail", "route-in-1b3a3b", ...at]);
  await followed(home);
  await publish(home, "press-3", '{"v":4}');
  await routed.printed('"handler":"route-in-1b3a3b"');
  routed.child.kill("SIGINT");
  expect((await routed.ended).err).toBe("");
  expect(await sluice(["tail", "--since", "soon", ...at])).toMatchObject({ code: 2 });
  expect(await sluice(["tail", "--status", "good", ...at])).toMatchObject({ code: 2 });
});

it("tail of a gateway that is not there ends with 4", async () => {
  await using home = await runHome(handlers);
  home.gateway.child.kill("SIGKILL");
  await home.gateway.ended;
  expect(await sluice(["tail", "--config", home.config])).toMatchObject({ code: 4 });
});

import { connectAsync } from "mqtt";
import { expect, it, vi } from "vitest";
import { runHome, sluice, start } from "./sluice.ts";

vi.setConfig({ testTimeout: 60_000 });

const handlers = {
  "counter.js": `export const config = { topic: "in/{n}", key: "{n}", to: ["cloud"], state: { ttl: "7d" } };
export default (event, ctx) => { ctx.state.count = (ctx.state.count ?? 0) + 1; return ctx.state; };`,
};

it("state ls, get and rm show and remove what a handler remembers, and removed stays so after kill -9", async () => {
  await using home = await runHome(handlers);
  const client = await connectAsync(`mqtt://127.0.0.1:${home.mqttPort}`);
  for (const n of [1, 1, 2, 3]) await client.publishAsync(`in/${n}`, "1", { qos: 1 });
  await client.endAsync();
  const state = (...args: string[]): ReturnType<typeof sluice> => sluice(["state", ...args, "--config", home.config]);
  await expect.poll(async () => (await state("get", "counter", "3")).code, { timeout: 20_000 }).toBe(0);
  const list = await state("ls", "counter", "--json");
  const rows = list.out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
  expect(rows).toMatchObject([
    { key: "1", bytes: 11, version: 1 },
    { key: "2", version: 1 },
    { key: "3", version: 1 },
  ]);
  expect((await state("ls", "counter", "--limit", "1")).err).toContain("there are more");
  expect(JSON.parse((await state("get", "counter", "1")).out)).toEqual({ count: 2 });
  expect(await state("rm", "counter", "1")).toMatchObject({ code: 2 });
  expect(await state("rm", "counter", "1", "--yes", "--json")).toMatchObject({ code: 0, out: '{"count":1}\n' });
  home.gateway.child.kill("SIGKILL");
  await home.gateway.ended;

  const again = start(["run", "--config", home.config]);
  try {
    await again.said("the gateway is ready");
    expect(await state("get", "counter", "1")).toMatchObject({ code: 6 });
    expect(await state("rm", "counter", "1", "--yes")).toMatchObject({ code: 6 });
    expect(await state("ls", "nobody")).toMatchObject({ code: 6 });
    expect(JSON.parse((await state("get", "counter", "2", "--json")).out)).toMatchObject({
      key: "2",
      version: 1,
      state: { count: 1 },
    });
  } finally {
    again.child.kill("SIGKILL");
    await again.ended;
  }
});

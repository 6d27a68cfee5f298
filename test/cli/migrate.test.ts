import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { expect, it, vi } from "vitest";
import { buildHandler } from "../../src/deployments/build.ts";
import { runHome, sluice, start } from "./sluice.ts";

vi.setConfig({ testTimeout: 120_000 });

const head = `export const config = { topic: "in/{n}", key: "{n}", to: ["cloud"], retry: { triesMax: 1 }, probation: false };`;
const first = `${head}
export default (event, ctx) => { ctx.state.count = (ctx.state.count ?? 0) + 1; return { by: 1, ...ctx.state }; };`;
const second = `${head}
export function migrate(state, from) {
  if (state.count === 13) throw new Error("thirteen");
  return { total: state.count ?? state.total, from, calls: (state.calls ?? 0) + 1 };
}
export default (event, ctx) => {
  if (event.data === "read") return { by: 2, ...ctx.state };
  ctx.state.total = (ctx.state.total ?? 0) + 1;
  return { by: 2, ...ctx.state };
};`;

it("migrate runs once for each key whose state another version wrote, with what it makes in the same commit, across kill -9, in replays, shadows, canaries and rollbacks", async () => {
  await using home = await runHome({ "h.js": first });
  const outputs = async (): Promise<unknown[]> => {
    const text = await readFile(join(home.folder, "cloud.ndjson"), "utf8").catch(() => "");
    const lines = text.split("\n").filter((line) => line !== "");
    const events = lines.map((line) => JSON.parse(line) as { id: string; data: unknown });
    // What was not acknowledged before the kill is delivered again, under its id.
    return [...new Map(events.map(({ id, data }) => [id, data])).values()];
  };
  let sent = 0;
  /** Publishes, and waits for the output. */
  const publish = async (n: number | string, payload = "1", silent = false): Promise<unknown> => {
    const client = await connectAsync(`mqtt://127.0.0.1:${home.mqttPort}`);
    await client.publishAsync(`in/${n}`, payload, { qos: 1 });
    await client.endAsync();
    if (silent) return undefined;
    sent++;
    await expect.poll(async () => (await outputs()).length, { timeout: 15_000 }).toBe(sent);
    return (await outputs()).at(-1);
  };
  const ask = async <Answer>(method: string, path: string, body?: object): Promise<Answer> => {
    const answer = await fetch(`${home.controlUrl}/api/v1/handlers/h${path}`, {
      method,
      headers: { authorization: `Bearer ${await home.token()}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const said = (await answer.json()) as Answer;
    if (!answer.ok) throw new Error(`${path}: ${JSON.stringify(said)}`);
    return said;
  };
  const live = async (version: number): Promise<void> => {
    await expect
      .poll(
        async () => {
          const answer = await fetch(`${home.controlUrl}/api/v1/status`, {
            headers: { authorization: `Bearer ${await home.token()}` },
          });
          return ((await answer.json()) as { handlers: { version: number }[] }).handlers[0]?.version;
        },
        { timeout: 15_000 },
      )
      .toBe(version);
  };
  await publish("a");
  await publish("a");
  await publish("b");
  for (let i = 0; i < 13; i++) await publish("c");
  await writeFile(join(home.folder, "handlers", "h.js"), second);
  await live(2);
  // It is written though the handler only reads, so that the next event finds it done.
  expect(await publish("a", '"read"')).toEqual({ by: 2, total: 2, from: 1, calls: 1 });
  expect(await publish("a")).toEqual({ by: 2, total: 3, from: 1, calls: 1 });
  home.gateway.child.kill("SIGKILL");
  await home.gateway.ended;
  const again = start(["run", "--config", home.config]);
  try {
    await again.said("the gateway is ready");
    expect(await publish("a")).toEqual({ by: 2, total: 4, from: 1, calls: 1 });
    expect(await publish("b")).toEqual({ by: 2, total: 2, from: 1, calls: 1 });
    // A key without a state has nothing to migrate.
    expect(await publish("new")).toEqual({ by: 2, total: 1 });
    await publish("c", "1", true);
    await expect
      .poll(async () => (await sluice(["dead", "ls", "--json", "--config", home.config])).out, { timeout: 15_000 })
      .toContain("thirteen");
    const kept = await sluice(["state", "get", "h", "c", "--json", "--config", home.config]);
    expect(JSON.parse(kept.out)).toMatchObject({ state: { count: 13 }, version: 1 });
    // Version 3 finds what version 2 wrote.
    await writeFile(join(home.folder, "handlers", "h.js"), `${second}\n// anew`);
    await live(3);
    expect(await publish("b")).toEqual({ by: 2, total: 3, from: 2, calls: 2 });
    // Back on version 2, what version 3 wrote is another version's too.
    await writeFile(join(home.folder, "handlers", "h.js"), second);
    await live(2);
    expect(await publish("b")).toEqual({ by: 2, total: 4, from: 3, calls: 3 });

    const stateOf = (key: string): Promise<unknown> => ask("GET", `/state?key=${key}`);
    // In a replay each event that found version 1's state has it migrated, and nothing stays of that.
    const before = await stateOf("a");
    expect(before).toMatchObject({ version: 2, state: { total: 4, from: 1, calls: 1 } });
    const { id } = await ask<{ id: string }>("POST", "/replays", { since: new Date(0), version: 2, key: "a" });
    await expect
      .poll(() => ask("GET", `/replays/${id}`), { timeout: 15_000 })
      .toMatchObject({ state: "done", events: 5, same: 3, differences: { outputs: 2 } });
    const replay = await ask<{ samples: { replayed: string }[] }>("GET", `/replays/${id}`);
    expect(replay.samples.map(({ replayed }) => JSON.parse(replayed) as unknown)).toEqual([
      { by: 2, total: 1 },
      { by: 2, total: 2, from: 1, calls: 1 },
    ]);
    expect(await stateOf("a")).toEqual(before);

    // So it is in a shadow.
    const entry = join(home.folder, "h.js");
    await writeFile(entry, second.replaceAll("by: 2", "by: 5"));
    const { code } = await buildHandler("h", entry, home.folder);
    await ask("POST", "/versions", { code, file: "h.js", shadow: true });
    expect(await publish("b")).toEqual({ by: 2, total: 5, from: 3, calls: 3 });
    await expect
      .poll(() => ask("GET", "/versions"), { timeout: 15_000 })
      .toMatchObject({
        candidate: {
          shadow: { samples: [{ candidate: expect.stringContaining('{"by":5,"total":5,"from":2,"calls":4}') }] },
        },
      });
    expect(await stateOf("b")).toMatchObject({ version: 2, state: { total: 5, from: 3, calls: 3 } });

    // On a canary's keys it is for good: once, and once more when the canary is given up.
    await ask("POST", "/rollback", {});
    await ask("POST", "/versions", { code, file: "h.js", canary: 1 });
    expect(await publish("b")).toEqual({ by: 5, total: 6, from: 2, calls: 4 });
    expect(await publish("b")).toEqual({ by: 5, total: 7, from: 2, calls: 4 });
    await ask("POST", "/rollback", {});
    expect(await publish("b")).toEqual({ by: 2, total: 8, from: 4, calls: 5 });

    // A version that has no migrate finds the state as the newer one left it.
    await ask("POST", "/rollback", { version: 1 });
    expect(await publish("b")).toEqual({ by: 1, total: 8, from: 4, calls: 5, count: 1 });
  } finally {
    again.child.kill("SIGKILL");
    await again.ended;
  }
});

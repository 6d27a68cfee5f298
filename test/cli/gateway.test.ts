import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectAsync } from "mqtt";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { handlersAnswer } from "../../src/control/handler-shapes.ts";
import type { StatusAnswer } from "../../src/control/shapes.ts";
import { runHome, sluice, start } from "./sluice.ts";
import type { RunningHome } from "./sluice.ts";

// Each command is a process of its own; on a busy box a dozen of them take their time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const handlers = {
  "double.js": `export const config = { topic: "in/{n}", to: ["cloud"] };
export default (event) => ({ n: Number(event.params.n), twice: event.data.v * 2 });`,
  "angry.js": `export const config = { topic: "angry/#", retry: { triesMax: 1 } };
export default () => { throw new Error("never\\n" + "ever ".repeat(40) + "so"); };`,
};

let home: RunningHome;
let at: readonly string[];

beforeAll(async () => {
  home = await runHome(handlers);
  at = ["-h", "127.0.0.1", "-p", String(home.mqttPort)];
});
afterAll(() => home[Symbol.asyncDispose]());

/** Published directly, where `pub` is not what is tested. */
async function publish(topic: string, ...payloads: string[]): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${home.mqttPort}`);
  for (const payload of payloads) await client.publishAsync(topic, payload, { qos: 1, retain: topic === "kept" });
  await client.endAsync();
}

/** Asked directly: a process for each look would take most of the time. */
async function ask(path: string): Promise<string> {
  const answer = await fetch(home.controlUrl + path, { headers: { authorization: `Bearer ${await home.token()}` } });
  expect(answer.status).toBe(200);
  return answer.text();
}

async function status(): Promise<StatusAnswer> {
  return JSON.parse(await ask("/api/v1/status")) as StatusAnswer;
}

async function devices(count: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if ((await ask("/metrics")).includes(`sluice_broker_devices ${count}\n`)) return;
    await sleep(50);
  }
  throw new Error(`there are never ${count} devices`);
}

async function until(is: (status: StatusAnswer) => boolean): Promise<StatusAnswer> {
  for (let i = 0; i < 100; i++) {
    const now = await status();
    if (is(now)) return now;
    await sleep(50);
  }
  throw new Error(`it never came to that: ${JSON.stringify(await status())}`);
}

describe("pub, status and health on a running gateway", () => {
  it("what pub publishes goes through the handler to the uplink, and status shows the books", async () => {
    expect(await sluice(["pub", ...at, "-t", "in/7", "-m", '{"v": 21}'])).toEqual({ code: 0, out: "", err: "" });
    const lines = await sluice(["pub", "--config", home.config, "-t", "in/8", "-l", "--json", "-q", "2"], {
      input: '{"v":1}\n{"v":2}\n{"v":3}\n',
    });
    expect(lines).toMatchObject({ code: 0, out: '{"topic":"in/8","count":3,"bytes":21}\n' });
    const seen = await until(({ ledger }) => ledger.uplinks["cloud"]?.delivered === 4);
    expect(seen.ledger.events).toMatchObject({ accepted: 4, done: 4, dead: 0 });
    expect(seen.handlers.map(({ name }) => name)).toEqual(expect.arrayContaining(["angry", "double"]));
    const cloud = (await readFile(join(home.folder, "cloud.ndjson"), "utf8")).trim().split("\n");
    expect(cloud.map((line) => (JSON.parse(line) as { data: unknown }).data)).toContainEqual({ n: 7, twice: 42 });
    const json = await sluice(["status", "--json", "--config", home.config]);
    expect(json).toMatchObject({ code: 0, err: "" });
    expect(JSON.parse(json.out)).toMatchObject({ ledger: seen.ledger });
    const table = await sluice(["status", "--config", home.config]);
    expect(table.code).toBe(0);
    expect(table.out).toMatch(/^edge-cli ready, up /);
    expect(table.out).toMatch(/TASKS +accepted +done/);
    expect(table.out).toMatch(/cloud +file +\w+ +4 +4/);
  });

  it("status shows below the handlers why one fails and how to mend it, and no more once its source is what runs again", async () => {
    const file = join(home.folder, "handlers", "double.js");
    const failure = (now: StatusAnswer): string | undefined =>
      now.handlers.find(({ name }) => name === "double")?.failure;
    await writeFile(file, "export default ((((");
    await until((now) => failure(now) !== undefined);
    for (const name of ["\u001b[31mred", "constructor"])
      await writeFile(join(home.folder, "handlers", `${name}.js`), "export default () => 1;");
    await until(({ handlers: all }) => all.some(({ name }) => name.includes("red")));
    await until(({ handlers: all }) => all.some(({ name }) => name === "constructor"));
    const list = await sluice(["handlers", "--json", "--config", home.config]);
    expect(list.out).toMatch(/"name":"constructor".*?"stateBytes":0,/);
    const { out } = await sluice(["status", "--config", home.config]);
    expect(out).toMatch(/^double +1 .* see below +topic in\/\{n\}$/m);
    expect(out).toMatch(/^✗ double: handlers\/double\.js:1:\d+: .*\n {2}→ Mend the place .*\[DEPLOY_BUILD_FAILED\]$/m);
    expect(out).toMatch(/^✗ \ufffd\[31mred: .*\ufffd\[31mred.*\n {2}→ .*\[DEPLOY_NAME_INVALID\]$/m);
    expect(out).not.toContain("\u001b");
    await rm(join(home.folder, "handlers", "\u001b[31mred.js"));
    await rm(join(home.folder, "handlers", "constructor.js"));
    await writeFile(file, handlers["double.js"]);
    const well = await until(
      (now) => failure(now) === undefined && now.handlers.every(({ name }) => !name.includes("red")),
    );
    expect(well.handlers.find(({ name }) => name === "double")?.version).toBe(1);
  });

  it.each([
    [["versions", "doubel"], "Did you mean `double`?"],
    [["handlers", "rm", "doubel"], "Did you mean `double`?"],
    [["replay", "zzzzzz", "--since", "1h"], "There are: "],
    [["dead", "show", "nonsense"], "`sluice dead ls` lists them, with their ids."],
    [["replay", "double", "--resume", "zz"], "`sluice replay double --list` lists those that are known."],
    [["state", "get", "double", "zz"], "`sluice state ls double` lists its keys."],
  ])("%j of what is not there says what there is", async (args, remedy) => {
    const { code, err } = await sluice([...args, "--config", home.config]);
    expect(code).toBe(6);
    expect(err).toMatch(/^error: .*\n {2}→ .* \[CONTROL_NOT_FOUND\]\n$/);
    expect(err).toContain(`→ ${remedy}`);
  });

  it("deploy of what is live says that nothing has changed, and tail of what is not there that it waits", async () => {
    const { code, err } = await sluice(["deploy", join(home.folder, "handlers", "double.js"), "--config", home.config]);
    expect(err).toMatch(
      /^bundled handlers\/double\.js: [\d.]+ K?B in .+\ndouble 1 was live already: its code is the same, so nothing has changed\n$/,
    );
    expect(code).toBe(0);
    const tail = start(["tail", "doubel", "--config", home.config]);
    expect(await tail.said("waiting for it.")).toContain(
      "there is no handler doubel yet; waiting for it. Did you mean `double`?",
    );
    tail.child.kill("SIGINT");
    expect((await tail.ended).code).toBe(130);
  });

  it("status and versions say what is tried and what is on probation, and rm that versions are kept", async () => {
    const file = join(home.folder, "newcomer.js");
    const cli = (...args: string[]): ReturnType<typeof sluice> => sluice([...args, "--config", home.config]);
    const shown = async () => (await status()).handlers.find(({ name }) => name === "newcomer");
    await writeFile(file, "export const config = { topic: 'new/#' };\nexport default () => 1;");
    await cli("deploy", file);
    expect(await shown()).toMatchObject({ version: 1, onProbation: false });
    await writeFile(file, "export const config = { topic: 'new/#' };\nexport default () => 2;");
    await cli("deploy", file, "--canary", "30%");
    expect(await shown()).toMatchObject({ version: 1, candidate: { version: 2, share: 0.3 } });
    const tried = await cli("versions", "newcomer");
    expect(tried.out).toMatch(/ canary, 30% of the keys: 0 events, 0 failed \(2 may\)$/m);
    await cli("promote", "newcomer");
    expect(await shown()).toMatchObject({ version: 2, onProbation: true });
    const live = await cli("versions", "newcomer");
    expect(live.out).toMatch(/live, on probation: 0 of 200 events, 0 failed \(2 may\)/);
    expect((await cli("handlers", "rm", "newcomer", "-m", "sold", "--yes")).err).toContain("its versions are kept");
    const gone = await cli("versions", "newcomer");
    expect(gone.out).toMatch(/ 2 +removed .* sold$/m);
    expect(gone.out).not.toMatch(/ live$/m);
    expect((await cli("handlers", "rm", "newcomer")).err).toContain("[CONTROL_NOT_FOUND]");
    expect((await cli("rollback", "newcomer")).err).toContain("newcomer 2 is live");
    expect(await shown()).toMatchObject({ version: 2 });
    await cli("handlers", "rm", "newcomer", "--yes");
  });

  it("pub ends with 4 when the broker does not take the message", async () => {
    await writeFile(join(home.folder, "large"), Buffer.alloc(300_000));
    const ran = await sluice(["pub", ...at, "-t", "large", "-f", join(home.folder, "large")]);
    expect(ran).toMatchObject({ code: 4, out: "" });
    expect(ran.err).toContain("[CLI_BROKER]");
    expect(ran.err).toContain("the message has 300000 bytes, and broker.limits.packetMax may be smaller");
  });

  it("health says 0 on a running gateway, also by SLUICE_URL and without a token", async () => {
    expect(await sluice(["health", "--config", home.config])).toEqual({ code: 0, out: "", err: "" });
    const env = { SLUICE_URL: home.controlUrl };
    expect(await sluice(["health", "--json"], { env })).toMatchObject({
      code: 0,
      out: '{"ready":true,"reasons":[]}\n',
    });
    expect((await sluice(["status"], { env })).code).toBe(5);
    expect((await sluice(["status"], { env: { ...env, SLUICE_TOKEN: "wrong" } })).code).toBe(5);
    expect((await sluice(["status"], { env: { ...env, SLUICE_TOKEN: await home.token() } })).code).toBe(0);
  });

  it("the token stands in a file that only its owner reads, and never in the log", async () => {
    const log = await home.gateway.said("ready");
    expect(log).not.toContain(await home.token());
  });
});

describe("sub", () => {
  it("prints what comes, with -v the topic, with --json one object a line, and ends after -C", async () => {
    const plain = start(["sub", ...at, "-t", "local/#", "-t", "other", "-v", "-C", "2", "-W", "10"]);
    const json = start(["sub", ...at, "-t", "local/+", "--json", "-C", "1", "-W", "10"]);
    await devices(2);
    await publish("local/a", "hello", "hello");
    expect(await plain.ended).toEqual({ code: 0, out: "local/a hello\nlocal/a hello\n", err: "" });
    const ran = await json.ended;
    expect(JSON.parse(ran.out)).toMatchObject({ topic: "local/a", payload: "hello", retain: false, qos: 1 });
  });

  it("shows retained messages, leaves them out with -R, and says when nothing came within -W", async () => {
    await sluice(["pub", ...at, "-t", "kept", "-r", "-m", "still here"]);
    expect(await sluice(["sub", ...at, "-t", "kept", "-C", "1", "-W", "5"])).toMatchObject({
      code: 0,
      out: "still here\n",
    });
    const none = await sluice(["sub", ...at, "-t", "kept", "-R", "-C", "1", "-W", "1"]);
    expect(none).toMatchObject({ code: 1, out: "" });
    expect(none.err).toContain("[CLI_TIMEOUT]");
    expect((await sluice(["pub", ...at, "-t", "kept", "-r", "-n"])).code).toBe(0);
  });

  it("ends with 130 when it is interrupted, and refuses a shared subscription", async () => {
    await publish("kept", "it listens");
    const running = start(["sub", ...at, "-t", "kept"]);
    await running.printed("it listens");
    running.child.kill("SIGINT");
    expect((await running.ended).code).toBe(130);
    const refused = await sluice(["sub", ...at, "-t", "$share/g/t", "-W", "5"]);
    expect(refused).toMatchObject({ code: 5, out: "" });
    expect(refused.err).toContain("[CLI_REFUSED]");
  });
});

describe("simulate", () => {
  it("publishes so many messages, and counts the acknowledged ones", async () => {
    const ran = await sluice(["simulate", ...at, "-n", "5", "-r", "500", "-c", "50", "--json"]);
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.out)).toMatchObject({ devices: 5, sent: 50, acked: 50, unacked: 0, held: 0 });
  });

  it("says on stderr what became of it, and ends with 130 when it is interrupted", async () => {
    const running = start(["simulate", ...at, "-n", "2", "-r", "50"]);
    await devices(2);
    running.child.kill("SIGINT");
    const ran = await running.ended;
    expect(ran).toMatchObject({ code: 130, out: "" });
    expect(ran.err).toMatch(/^\d+ sent, \d+ acknowledged/);
  });
});

describe("simulate, for so many seconds", () => {
  it("sends all that is due in them", async () => {
    const ran = await sluice(["simulate", "-p", String(home.mqttPort), "-n", "2", "-r", "100", "-d", "1", "--json"]);
    expect(JSON.parse(ran.out)).toMatchObject({ sent: 100, acked: 100 });
  });
});

describe("dead", () => {
  const dead = (...args: string[]): ReturnType<typeof sluice> => sluice(["dead", ...args, "--config", home.config]);

  it("shows what handlers did lately, as a table and as JSON", async () => {
    await publish("in/1", '{"v":1}', '{"v":2}');
    await publish("angry/2", "1");
    await until(({ ledger }) => ledger.events.pending === 0 && ledger.events.dead > 0);
    const json = await sluice(["handlers", "--json", "--config", home.config]);
    expect(json).toMatchObject({ code: 0, err: "" });
    const { handlers } = handlersAnswer.strict().parse(JSON.parse(json.out));
    const [angry, double] = handlers.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    expect(double).toMatchObject({ name: "double", version: 1, route: false, recent: { failed: 0 } });
    expect(double?.recent.p99Ms).toBeGreaterThanOrEqual(double?.recent.p50Ms ?? Infinity);
    expect(double?.recent.cpuMs).toBeGreaterThan(0);
    expect(double?.memoryMax).toBeGreaterThan(1024 * 1024);
    expect(double?.recent.heapBytes).toBeGreaterThan(100_000);
    expect(double?.recent.heapBytes).toBeLessThan(double?.memoryMax ?? 0);
    expect(angry?.recent.failed).toBe(angry?.recent.events);
    expect(angry?.live).toMatchObject({ version: 1, failed: angry?.recent.failed });
    const table = await sluice(["handlers", "--config", home.config]);
    expect(table.code).toBe(0);
    expect(table.out).toMatch(/^HANDLER +version +events\/s +failed +p50 +p99 +cpu/);
    expect(table.out).toMatch(/^angry .*\(100 %\)/m);
    expect(await ask("/metrics")).toMatch(/sluice_handler_event_seconds_count\{handler="double"\} \d+/);
    for (const { id } of (JSON.parse(await ask("/api/v1/dead")) as { letters: { id: string }[] }).letters)
      await sluice(["dead", "drop", id, "--yes", "--config", home.config]);
  });

  it("lists, shows, redrives and drops dead letters", async () => {
    for (const n of [1, 2, 3]) await publish(`angry/${n}`, `{"n":${n}}`);
    await until(({ ledger }) => ledger.events.dead === 3);
    const listed = await dead("ls", "--json");
    const letters = listed.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { id: string; topic: string; failure: { message: string } });
    expect(letters.map(({ topic }) => topic).sort()).toEqual(["angry/1", "angry/2", "angry/3"]);
    // Through a pipe nothing is cut.
    expect((await dead("ls")).out).toMatch(/^ID +died +handler.*\n.* HANDLER_THREW: Error: never (ever ){40}so$/m);
    const [first, second] = letters.map(({ id }) => id) as [string, string];

    const shown = await dead("show", first);
    expect(shown.code).toBe(0);
    expect(shown.out).toMatch(/handler +angry version/);
    expect(shown.out).toContain("never");
    expect((await dead("show", "nothing")).code).toBe(6);

    // Redriven, it fails again: a dead letter with a later id.
    expect((await dead("redrive", first)).code).toBe(0);
    await until(({ ledger }) => ledger.events.dead === 3);

    const asked = await dead("drop", second);
    expect(asked.code).toBe(2);
    expect(asked.err).toContain("[CLI_NOT_CONFIRMED]");
    expect(await dead("drop", second, "--yes", "--json")).toMatchObject({ code: 0, out: '{"count":1}\n' });
    expect(await dead("drop", "--all", "--yes", "--json")).toMatchObject({ code: 0, out: '{"count":2}\n' });
    expect((await dead("ls")).err).toBe("there are no dead letters\n");
    const { events } = (await status()).ledger;
    expect(events.accepted).toBe(events.done + events.dead + events.expired + events.dropped + events.pending);
  });

  it("stand in the log with id, topic and key, shortened, as they come to be", async () => {
    const topic = `angry/${"é".repeat(1000)}`;
    await publish(topic, "{}");
    await until(({ ledger }) => ledger.events.dead === 1);
    const [letter] = (JSON.parse(await ask("/api/v1/dead")) as { letters: { id: string }[] }).letters;
    const log = await home.gateway.said(`"id":"${letter?.id ?? ""}"`);
    const line = JSON.parse(log.trim().split("\n").at(-1) ?? "") as Record<string, unknown>;
    const shown = `${topic.slice(0, 199)}…`;
    expect(line).toMatchObject({
      msg: "dead letter",
      handler: "angry",
      topic: shown,
      key: shown,
      reason: expect.stringMatching(/^Error: never/) as string,
      where: "handlers/angry.js:2:30",
    });
    expect((await dead("drop", letter?.id ?? "", "--yes")).code).toBe(0);
  });

  it("redrives all of a handler that was mended", async () => {
    await publish("angry/1", "{}", "{}");
    const before = await until(({ ledger }) => ledger.events.dead === 2);
    await writeFile(join(home.folder, "handlers", "angry.js"), handlers["angry.js"].replace("throw", "return; throw"));
    const version = before.handlers.find(({ name }) => name === "angry")?.version ?? 0;
    await until(({ handlers }) => (handlers.find(({ name }) => name === "angry")?.version ?? 0) > version);
    expect(await dead("redrive", "--handler", "angry", "--json")).toMatchObject({ code: 0, out: '{"count":2}\n' });
    await until(({ ledger }) => ledger.events.dead === 0 && ledger.events.pending === 0);
  });

  it("keeps those of a handler that is gone, for nobody would run them", async () => {
    await writeFile(join(home.folder, "handlers", "gone.js"), handlers["angry.js"].replace("angry/", "gone/"));
    await until(({ handlers: all }) => all.some(({ name, version }) => name === "gone" && version > 0));
    await publish("gone/1", "{}");
    await until(({ ledger }) => ledger.events.dead === 1);
    await rm(join(home.folder, "handlers", "gone.js"));
    await until(({ handlers: all }) => !all.some(({ name }) => name === "gone"));
    const refused = await dead("redrive", "--handler", "gone");
    expect(refused.code).toBe(6);
    expect(refused.err).toContain("[CONTROL_NOT_DEPLOYED]");
    expect(await dead("redrive", "--all", "--json")).toMatchObject({ code: 0, out: '{"count":0}\n' });
    expect((await status()).ledger.events).toMatchObject({ dead: 1, pending: 0 });
    expect(await dead("drop", "--all", "--yes", "--json")).toMatchObject({ code: 0, out: '{"count":1}\n' });
  });

  it("wants to know which", async () => {
    expect((await dead("redrive")).code).toBe(2);
    expect((await dead("redrive", "x", "--all")).code).toBe(2);
  });
});

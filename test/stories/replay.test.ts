/** Past traffic on new code: an operator replays what ran, and sees what another version makes of it. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ReplayAnswer } from "#src/control/replay-shapes.ts";
import { sluice, start } from "../cli/sluice.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { until } from "./rig/wait.ts";

interface Line {
  readonly id: string;
  readonly sluicereplay?: string;
  readonly sluiceseq: number;
  readonly data: { readonly device: string; readonly n: number; readonly count: number; readonly version: number };
}

/** Reads the clock as well, and counts in its state. */
const CLOCKED = countingHandler({ version: 1 }).replace("return {", "return { at: Date.now(),");

interface Stage extends AsyncDisposable {
  readonly gateway: GatewayProcess;
  readonly fleet: Fleet;
  send(each: number): Promise<void>;
  run(...args: string[]): ReturnType<typeof sluice>;
  replay(
    ...args: string[]
  ): Promise<{ readonly code: number | null; readonly replay: ReplayAnswer; readonly err: string }>;
  deploy(source: string): Promise<void>;
  lines(): Line[];
  /** All that a replay without --apply must leave as it is. */
  everything(): Promise<unknown>;
}

async function setUp(source: string, devices = 20): Promise<Stage> {
  const gateway = await GatewayProcess.start({ handlers: { "count.ts": source } });
  const fleet = new Fleet({ port: gateway.mqttPort, devices, ratePerSecond: 500 });
  fleet.start();
  const run: Stage["run"] = (...args) => sluice([...args, "--config", gateway.configFile]);
  const lines: Stage["lines"] = () =>
    readFileSync(join(gateway.folder, "cloud", "events.ndjson"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
  return {
    gateway,
    fleet,
    run,
    lines,
    send: async (each) => {
      await fleet.publish(each);
      await fleet.settled();
      await gateway.drained();
    },
    replay: async (...args) => {
      const { code, out, err } = await run("replay", "count", "--json", ...args);
      return { code, err, replay: (out === "" ? {} : JSON.parse(out)) as ReplayAnswer };
    },
    deploy: async (other) => {
      const elsewhere = join(gateway.folder, "elsewhere");
      mkdirSync(elsewhere, { recursive: true });
      writeFileSync(join(elsewhere, "count.ts"), other);
      expect(await run("deploy", join(elsewhere, "count.ts"))).toMatchObject({ code: 0 });
    },
    everything: async () => {
      const { ledger, handlers } = await gateway.status();
      const state = await gateway.metric("sluice_journal_state_bytes");
      return { ledger, handlers, state, lines: lines().length };
    },
    async [Symbol.asyncDispose]() {
      fleet[Symbol.dispose]();
      await gateway[Symbol.asyncDispose]();
    },
  };
}

describe("a replay", () => {
  it("of what ran, on the version that ran it, gives the same byte for byte, after a restart too, and changes nothing", async () => {
    await using stage = await setUp(CLOCKED);
    await stage.send(60);
    const ran = stage.lines().length;
    expect(ran).toBeGreaterThanOrEqual(1200);
    const before = await stage.everything();
    const first = await stage.replay("--since", "1h");
    expect(first, first.err).toMatchObject({
      code: 0,
      replay: { state: "done", events: ran, same: ran, skipped: 0, sent: 0, share: 1, samples: [] },
    });
    expect(await stage.everything()).toEqual(before);
    await stage.gateway.restart();
    const again = await stage.replay("--since", "1h", "--key", "device-3");
    expect(again, again.err).toMatchObject({ code: 0, replay: { events: 60, same: 60, skipped: 0 } });
    expect(stage.lines()).toHaveLength(ran);
  });

  it("lets what devices publish meanwhile go on: most of it is done while the replay runs, and nothing is missing", async () => {
    await using stage = await setUp(CLOCKED);
    const { gateway, fleet } = stage;
    const path = "/api/v1/handlers/count/replays";
    await until("events that have ended", async () => (await gateway.ledger()).events.done > 600, { withinMs: 20_000 });
    let [published, done, replays] = [0, 0, 0];
    // As many one after another as it takes until there is something to be told.
    while (published < 300) {
      const before = { published: fleet.acked, done: (await gateway.ledger()).events.done };
      const body = { since: new Date(0), until: new Date() };
      const { id } = (await (await gateway.ask("POST", path, body)).json()) as ReplayAnswer;
      const replay = await until(
        "the replay's end",
        async () => {
          const now = (await gateway.api(`${path}/${id}`)) as ReplayAnswer;
          return now.state === "running" ? false : now;
        },
        { withinMs: 60_000, everyMs: 5, tell: () => gateway.logTail() },
      );
      done += (await gateway.ledger()).events.done - before.done;
      published += fleet.acked - before.published;
      expect(replay).toMatchObject({ state: "done", same: replay.events, skipped: 0 });
      expect(replay.events).toBeGreaterThan(500);
      replays++;
    }
    console.log(`${done} of ${published} events done beside ${replays} replays`);
    expect(done / published).toBeGreaterThan(0.5);
    await fleet.settled();
    const ledger = await gateway.drained();
    expect(ledger.events).toMatchObject({ accepted: fleet.acked, done: fleet.acked });
  });

  it("on another version shows what that makes of the events, and of which", async () => {
    await using stage = await setUp(CLOCKED, 4);
    await stage.send(25);
    const other = CLOCKED.replace("version: 1", "version: event.data.n === 7 ? 2 : 1").replace(
      "export default ((event, ctx) => {",
      'export default ((event, ctx) => {\n  if (event.data.n === 9) throw new Error("nine");',
    );
    await stage.deploy(other);
    const { code, replay } = await stage.replay("--since", "1h");
    expect(code).toBe(1);
    expect(replay).toMatchObject({
      version: 2,
      events: 100,
      same: 92,
      differences: { outputs: 4, failed: 4, state: 0, mended: 0 },
    });
    const [sample] = replay.samples.filter(({ kind }) => kind === "outputs");
    expect(sample?.version).toBe(1);
    expect(sample?.recorded.replace('"version":1', '"version":2')).toBe(sample?.replayed);
    // The version that ran them makes the same of them still.
    expect(await stage.replay("--since", "1h", "--version", "1")).toMatchObject({ code: 0, replay: { same: 100 } });
  });

  it("that is applied sends what comes of it once, as new outputs that are marked, and leaves states alone", async () => {
    await using stage = await setUp(CLOCKED, 4);
    await stage.send(25);
    const before = stage.lines();
    const { code, replay, err } = await stage.replay("--since", "1h", "--apply");
    expect({ code, sent: replay.sent }, err).toEqual({ code: 0, sent: 100 });
    const ledger = await stage.gateway.drained();
    expect(ledger.events).toMatchObject({ accepted: 100, done: 100 });
    expect(ledger.uplinks["cloud"]).toMatchObject({ emitted: 200, delivered: 200 });
    const marked = stage.lines().filter(({ sluicereplay }) => sluicereplay !== undefined);
    expect(marked.map(({ sluicereplay }) => sluicereplay)).toEqual(Array.from({ length: 100 }, () => replay.id));
    expect(marked.map(({ data }) => data).toSorted(byReading)).toEqual(
      before.map(({ data }) => data).toSorted(byReading),
    );
    expect(new Set(stage.lines().map(({ id }) => id)).size).toBe(200);
    // States stay as they are: the next event counts on.
    await stage.send(1);
    expect(
      stage
        .lines()
        .slice(-4)
        .map(({ data }) => data.count),
    ).toEqual([26, 26, 26, 26]);
  });

  it("that is cancelled by Ctrl-C goes on from where it was, and sends nothing twice", async () => {
    await using stage = await setUp(CLOCKED, 4);
    await stage.send(100);
    const { configFile } = stage.gateway;
    const begun = start([
      ...["replay", "count", "--since", "1h", "--apply", "--rate", "100"],
      ...["--json", "--config", configFile],
    ]);
    const running = await until(
      "a replay",
      async () => {
        const { replays } = (await stage.gateway.api("/api/v1/handlers/count/replays")) as { replays: ReplayAnswer[] };
        return replays.find(({ events }) => events > 0) ?? false;
      },
      { withinMs: 30_000, everyMs: 20 },
    );
    begun.child.kill("SIGINT");
    const { code: ended, out, err } = await begun.ended;
    expect([ended, err]).toEqual([130, expect.stringContaining(`--resume ${running.id}`)]);
    // What it says last is how it stands at the gateway, where nothing of it goes on.
    const cancelled = JSON.parse(out) as ReplayAnswer;
    expect(cancelled).toMatchObject({ state: "cancelled" });
    expect(cancelled.sent).toBeLessThan(400);
    expect(await stage.gateway.api(`/api/v1/handlers/count/replays/${running.id}`)).toEqual(cancelled);
    await stage.gateway.restart();
    const { code, replay } = await stage.replay("--resume", running.id);
    expect({ code, sent: replay.sent, events: replay.events }).toEqual({ code: 0, sent: 400, events: 400 });
    await stage.gateway.drained();
    const ids = stage.lines().map(({ id }) => id);
    expect({ ids: ids.length, unique: new Set(ids).size }).toEqual({ ids: 800, unique: 800 });
  });

  it("on a version that loops is in nobody's way, and ends when it is to, or the gateway is", async () => {
    await using stage = await setUp(CLOCKED, 4);
    const { gateway } = stage;
    await stage.send(30);
    const loops = CLOCKED.replace("=> {", "=> {\n  for (;;);");
    await stage.deploy(loops.replace("to: [", 'timeout: "1h",\n  to: ['));
    expect(await stage.run("rollback", "count")).toMatchObject({ code: 0 });
    const replays = "/api/v1/handlers/count/replays";
    const id = await looping(gateway, () => gateway.api(replays, { since: "2020-01-01T00:00:00Z", version: 2 }));
    // Events of the same handler, and of one that has just come and runs in the same process.
    await stage.send(30);
    writeFileSync(join(gateway.folder, "elsewhere", "fresh.ts"), CLOCKED);
    expect(await stage.run("deploy", join(gateway.folder, "elsewhere", "fresh.ts"))).toMatchObject({ code: 0 });
    await stage.send(30);
    const still = await gateway.api(`${replays}/${id}`);
    expect(still).toMatchObject({ state: "running", events: 0 });
    expect(await stage.run("replay", "count", "--cancel", id)).toMatchObject({ code: 0 });
    await looping(gateway, () => gateway.api(`${replays}/${id}/resume`, {}));
    await gateway.stop();
    expect(gateway.log.join("\n")).not.toContain("the shutdown hangs");
    await gateway.start();
    expect(await gateway.api(`${replays}/${id}`)).toMatchObject({ state: "interrupted", events: 0 });
  });
});

describe("a dead letter", () => {
  it("is redriven on the version that is named: what comes of it is sent, and the letter is done", async () => {
    await using stage = await setUp(
      CLOCKED.replace(
        "export default ((event, ctx) => {",
        "export default ((event, ctx) => {\n  if (event.data.n === 2) throw new TypeError('two');",
      ).replace("to: [", "retry: { triesMax: 1 },\n  to: ["),
      1,
    );
    await stage.send(3);
    const [letter] = JSON.parse(`[${(await stage.run("dead", "ls", "--json")).out.trim()}]`) as { id: string }[];
    const id = letter?.id ?? "";
    // It fails again on the version that it failed on, and stays.
    const again = await stage.run("dead", "redrive", id, "--version", "1");
    expect(again.err).toContain("REPLAY_FAILED_AGAIN");
    await stage.deploy(CLOCKED);
    expect(await stage.run("dead", "redrive", id, "--version", "2"), id).toMatchObject({ code: 0 });
    const ledger = await stage.gateway.drained();
    expect(ledger.events).toMatchObject({ accepted: 3, done: 3, dead: 0 });
    expect(stage.lines().at(-1)).toMatchObject({ data: { n: 2 }, sluicereplay: expect.any(String) as string });
  });
});

/** Begins a replay, and waits until a runner has its first events. Says its id. */
async function looping(gateway: GatewayProcess, begin: () => Promise<unknown>): Promise<string> {
  const batches = async (): Promise<number> => (await gateway.metric("sluice_sandbox_batches_total")) ?? 0;
  const before = await batches();
  const { id } = (await begin()) as ReplayAnswer;
  await until("a batch", async () => (await batches()) > before, { withinMs: 30_000, everyMs: 20 });
  return id;
}

function byReading(a: Line["data"], b: Line["data"]): number {
  return a.device === b.device ? a.n - b.n : a.device < b.device ? -1 : 1;
}

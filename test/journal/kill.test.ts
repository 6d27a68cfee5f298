/**
 * kill -9 at random instants, the same data folder again and again.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import { eventRecord } from "../../src/event.ts";
import { balance, byTopic, dataFolder, drain, nothing, openJournal, takeEntries, takeTasks } from "./fixture.ts";

const KILLS = 5;

it("what was acknowledged is there after kill -9, settled tasks are over, and outputs are neither lost nor doubled (G1, G2, G4)", async () => {
  const path = await dataFolder();
  const acknowledged = new Set<number>();
  let first = 1;
  for (let kill = 0; kill < KILLS; kill++) {
    const delayMs = 40 + Math.floor(Math.random() * 160);
    for (const tag of await runAndKill(path, first, delayMs)) acknowledged.add(tag);

    const journal = await openJournal(path, { retainMs: 2 ** 40 });
    expect(journal.damage).toEqual([]);
    const audit = await journal.audit();
    expect(audit).toEqual(journal.ledger());
    expect(balance(audit)).toEqual([0, 0]);
    const handler = journal.handlerId("count");
    const cloud = journal.uplinkId("cloud");
    const feed = journal.tasks(handler, byTopic, nothing);
    const tasks = [...(await takeTasks(feed, feed.waiting)), ...(await drain(feed, 5))];
    const pending = tasks.map(({ page, at }) => Number(eventRecord.payload(page, at).toString()));
    for (const { key, count } of await journal.parked(handler)) {
      const parked = await journal.readParked(handler, key, 10_000);
      expect(parked.length).toBe(count);
      pending.push(...parked.map(({ page, at }) => Number(eventRecord.payload(page, at).toString())));
    }
    const dead = (await journal.dead.list({ limit: 1000 })).map(({ payload }) => Number(payload.toString()));
    const outbox = journal.outbox(cloud, {}, nothing);
    const entries = [...(await takeEntries(outbox, outbox.waiting)), ...(await drain(outbox, 5))];
    const emitted = entries.map(({ data }) => Number(data.toString()));
    expect(new Set(emitted).size).toBe(emitted.length);
    expect(pending.length).toBe(audit.events.pending);
    expect(emitted.length).toBe(audit.uplinks["cloud"]?.waiting);

    const done = audit.events.done;
    expect(done).toBe(audit.uplinks["cloud"]?.emitted);
    const states = await journal.state(handler, ["k0", "k1", "k2", "k3", "k4"]);
    expect(states.reduce((sum, state) => sum + Number(state ?? 0), 0)).toBe(done);
    // Every tag that was acknowledged is somewhere: waiting, dead, or emitted, delivered ones being counted only.
    const somewhere = new Set([...pending, ...dead, ...emitted]);
    const gone = [...acknowledged].filter((tag) => !somewhere.has(tag)).length;
    expect(gone).toBeLessThanOrEqual(audit.uplinks["cloud"]?.delivered ?? 0);
    expect(audit.events.accepted).toBeGreaterThanOrEqual(acknowledged.size);
    expect(new Set(pending).size).toBe(pending.length);
    await journal.close();
    first = Math.max(first, ...acknowledged) + 10_000;
  }
  expect(acknowledged.size).toBeGreaterThan(50);
}, 60_000);

/** The tags that it acknowledged. */
async function runAndKill(path: string, first: number, afterMs: number): Promise<number[]> {
  const script = join(import.meta.dirname, "fixtures", "victim.ts");
  const child = spawn(process.execPath, [script, path, String(first)], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  let timer: NodeJS.Timeout | undefined;
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    timer ??= setTimeout(() => child.kill("SIGKILL"), afterMs);
  });
  await new Promise((resolve) => child.once("close", resolve));
  return text.split("\n").slice(0, -1).map(Number);
}

/**
 * Damage at rest: a flipped byte, a truncated file, a zeroed tail, twelve places of each in each kind of file. Whatever it
 * hits: no wrong payload comes out, everything that is missing is reported, the ledger balances, and the journal goes on.
 */
import {
  cpSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { createHash } from "node:crypto";
import { eventRecord } from "../../src/event.ts";
import { Journal, levelStore } from "../../src/journal/journal.ts";
import { balance, byTopic, done, draft, nothing, optionsFor, output, Remembering, takeTasks } from "./fixture.ts";

const PLACES = 12;
const EVENTS = 1500;
/** Small buffers, so that a small journal has files of every kind. */
const store = levelStore({ writeBufferBytes: 64 * 1024, cacheBytes: 1024 * 1024 });

function payload(n: number): string {
  return JSON.stringify({ n, sum: createHash("md5").update(String(n)).digest("hex"), pad: "x".repeat(100) });
}

function isPayload(text: string): boolean {
  try {
    const { n } = JSON.parse(text) as { n: number };
    return text === payload(n);
  } catch {
    return false;
  }
}

let folder: string;
let pristine: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-damage-"));
  pristine = join(folder, "pristine");
  // Copied while it is open, as a kill or a power cut leaves it: the last commits are in LevelDB's own log.
  const journal = await Journal.open(optionsFor(join(folder, "source"), { store }));
  const handler = journal.handlerId("h");
  const cloud = journal.uplinkId("cloud");
  const feed = journal.tasks(handler, byTopic, nothing);
  let sent = 0;
  while (sent < EVENTS) {
    for (let i = 0; i < 25; i++)
      journal.append(draft(`k${sent % 3}`, payload(++sent)), [handler], new Remembering(), sent);
    await journal.synced();
    if (sent % 75 !== 0) continue;
    for (const task of await takeTasks(feed, 25)) {
      const text = eventRecord.payload(task.page, task.at).toString();
      const failure = { code: "X", message: "no" };
      if (task.seq % 50 === 0) journal.settle(task, { at: "dead", failure }, 1);
      else if (task.seq % 25 === 0) journal.settle(task, { at: "retry", dueMs: 1, failure }, 1);
      else journal.settle(task, done([output(cloud, text)], payload(task.seq)), 1);
    }
    await journal.synced();
  }
  cpSync(join(folder, "source"), pristine, { recursive: true });
  await journal.close();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const kinds = {
  ldb: (name: string) => name.endsWith(".ldb"),
  log: (name: string) => name.endsWith(".log"),
  MANIFEST: (name: string) => name.startsWith("MANIFEST"),
  CURRENT: (name: string) => name === "CURRENT",
  mark: (name: string) => name === "journal.mark",
};

const damages = {
  "a flipped byte": (file: string, share: number) => {
    const bytes = readFileSync(file);
    const at = Math.floor(share * bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(share * 8));
    writeFileSync(file, bytes);
  },
  "a truncation": (file: string, share: number) => truncateSync(file, Math.floor(share * statSync(file).size)),
  "a zeroed tail": (file: string, share: number) => {
    const { size } = statSync(file);
    const at = Math.floor(share * size);
    const fd = openSync(file, "r+");
    writeSync(fd, Buffer.alloc(size - at), 0, size - at, at);
    closeSync(fd);
  },
};

describe.each(Object.keys(kinds) as (keyof typeof kinds)[])("in a %s file", (kind) => {
  it.each(Object.keys(damages) as (keyof typeof damages)[])(
    "%s is found, reported and passed over (J4)",
    async (damage) => {
      for (let place = 0; place < PLACES; place++) {
        const path = join(folder, `${kind}-${damage}-${place}`);
        mkdirSync(path);
        cpSync(pristine, path, { recursive: true });
        const inside = kind === "mark" ? path : join(path, "journal");
        const files = readdirSync(inside).filter(kinds[kind]).sort();
        expect(files.length).toBeGreaterThan(0);
        const share = (place + 0.5) / PLACES;
        const file = files[Math.floor((((place * 7) % PLACES) / PLACES) * files.length)] as string;
        damages[damage](join(inside, file), share);
        await examine(path, `${damage} at ${share.toFixed(2)} of ${file}`);
        await rm(path, { recursive: true, force: true });
      }
    },
    60_000,
  );
});

async function examine(path: string, what: string): Promise<void> {
  const startMs = performance.now();
  const journal = await Journal.open(optionsFor(path, { store }));
  try {
    expect(performance.now() - startMs, what).toBeLessThan(5000);
    const handler = journal.handlerId("h");
    const cloud = journal.uplinkId("cloud");
    const feed = journal.tasks(handler, byTopic, nothing);
    const seen = new Set<number>();
    const look = (text: string): number => {
      expect(isPayload(text), `${what}: ${text}`).toBe(true);
      return (JSON.parse(text) as { n: number }).n;
    };
    // Tasks that are lost stop waiting when their turn comes.
    await until(() => {
      for (let task = feed.take(); task !== undefined; task = feed.take()) {
        seen.add(look(eventRecord.payload(task.page, task.at).toString()));
        journal.settle(task, done(), 1);
      }
      return feed.waiting === 0;
    });
    expect(feed.waiting, what).toBe(0);
    for (const { key } of await journal.parked(handler)) {
      for (const { page, at } of await journal.readParked(handler, key, 1000))
        seen.add(look(eventRecord.payload(page, at).toString()));
    }
    for (const letter of await journal.dead.list({ limit: 1000 })) seen.add(look(letter.payload.toString()));
    const outbox = journal.outbox(cloud, {}, nothing);
    let entries = 0;
    await until(() => {
      for (let entry = outbox.take(); entry !== undefined; entry = outbox.take(), entries++)
        seen.add(look(entry.data.toString()));
      return entries >= outbox.waiting;
    });
    expect(entries, what).toBe(outbox.waiting);
    for (const state of await journal.state(handler, ["k0", "k1", "k2"])) if (state !== undefined) look(state);
    // Whatever is nowhere is named by a report.
    if (seen.size < EVENTS) expect(journal.damage.length, what).toBeGreaterThan(0);
    await journal.synced();
    const audit = await journal.audit();
    expect(balance(audit), what).toEqual([0, 0]);
    expect(balance(journal.ledger()), what).toEqual([0, 0]);
    expect(audit.events.pending, what).toBe(journal.ledger().events.pending);
    // And it goes on.
    const receiver = new Remembering();
    const head = EVENTS + 1;
    journal.append(draft("k", payload(head)), [handler], receiver, 1);
    await journal.synced();
    expect(receiver.tags).toEqual([1]);
    const [next] = await takeTasks(feed, 1);
    expect(next?.seq, what).toBeGreaterThanOrEqual(head);
    // Far enough for LevelDB to merge its tables, the damaged one among them.
    for (let i = 0; i < 600; i++) journal.append(draft("k", payload(head + i + 1)), [handler], receiver, i + 2);
    await journal.synced();
    expect(receiver.tags.length, what).toBe(601);
    expect(journal.figures().failing, what).toBe(0);
  } finally {
    await journal.close();
  }
  // What was found once is over with: the next start is clean.
  const again = await Journal.open(optionsFor(path, { store }));
  const found = again.damage.filter(({ where }) => where === "commits" || where === "progress" || where === "mark");
  expect(found, what).toEqual([]);
  expect(balance(again.ledger()), what).toEqual([0, 0]);
  await again.close();
}

async function until(holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!holds() && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 2));
}

import fc from "fast-check";
import { Level } from "level";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { eventRecord } from "../../src/event.ts";
import { readRecord, recordBytesMax, writeRecord } from "../../src/journal/record.ts";
import type { Recorded } from "../../src/journal/record.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { FaultyStore } from "../doubles/faulty-store.ts";
import { digestOf, outputsAsBytes, readOutputs } from "../../src/output-bytes.ts";
import type { Output, Task } from "../../src/task.ts";
import {
  byTopic,
  dataFolder,
  done,
  draft,
  nothing,
  openJournal,
  output,
  Remembering,
  SetClock,
  takeTasks,
} from "./fixture.ts";

const START_MS = 1_700_000_000_123;

async function settled(journal: Journal, count: number, state?: (n: number) => string): Promise<number> {
  const [handler, uplink] = [journal.handlerId("h"), journal.uplinkId("cloud")];
  const receiver = new Remembering();
  for (let n = 0; n < count; n++)
    journal.append(draft(`t/${n % 3}`, `{"n":${n}}`, { timeMs: START_MS }), [handler], receiver, n);
  const feed = journal.tasks(handler, byTopic, nothing);
  let n = 0;
  for (const task of await takeTasks(feed, count)) {
    journal.settle(task, done([output(uplink, `{"out":${n}}`)], state?.(n)), 7, START_MS + n);
    n++;
  }
  await journal.synced();
  feed.close();
  return handler;
}

async function all(journal: Journal, handler: number, from = 0): Promise<{ found: Recorded; behind: number }[]> {
  const { to } = await journal.past.span(0);
  const read: { found: Recorded; behind: number }[] = [];
  await journal.past.read(handler, { from, to }, (found, behind) => read.push({ found, behind }) > 0);
  return read;
}

const text = fc.string({ unit: "grapheme", maxLength: 40 });
const outputs = fc.array(
  fc.record<Output>({
    to: fc.array(fc.integer({ min: 1, max: 65_535 }), { maxLength: 3 }),
    data: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    json: fc.boolean(),
    type: text,
    subject: text,
    topic: text,
    qos: fc.constantFrom(0, 1, 2),
    retain: fc.boolean(),
  }),
  { maxLength: 4 },
);

describe("What a task came to", () => {
  it("is read back as it was written, whatever it holds", () => {
    const task = fc.record({ seq: fc.integer({ min: 1, max: 2 ** 47 }), key: text, attempt: fc.nat(255) });
    const state = fc.option(text, { nil: undefined });
    fc.assert(
      fc.property(task, outputs, state, state, (more, sent, before, after) => {
        const whole: Task = { handler: 3, page: Buffer.alloc(0), at: 0, parked: false, ...more };
        const came = {
          startMs: START_MS,
          version: 9,
          before: { at: "kept", state: before, version: 4 } as const,
          after,
          outputs: sent,
        };
        const into = Buffer.alloc(5 + recordBytesMax(whole, { ...came, failure: undefined }));
        const end = writeRecord(into, 5, whole, { ...came, failure: undefined });
        expect(end).toBeLessThanOrEqual(into.length);
        const read = readRecord(into, 5);
        expect(read).toMatchObject({ handler: 3, version: 9, startMs: START_MS, failure: undefined, ...more });
        expect(read.before).toEqual({ at: "kept", state: before, version: 4 });
        expect(read.after).toEqual(after === undefined ? undefined : { at: "here", bytes: Buffer.from(after) });
        expect(read.outputs).toEqual({ at: "here", bytes: outputsAsBytes(sent) });
        if (read.outputs.at === "here") expect(readOutputs(read.outputs.bytes)).toEqual(sent);
      }),
    );
  });

  it("is kept as its digest beyond 8 KB, and whole up to there", async () => {
    const journal = await openJournal(await dataFolder());
    const [handler, uplink] = [journal.handlerId("h"), journal.uplinkId("cloud")];
    const sizes = [8 * 1024 - 16, 8 * 1024 - 15];
    for (const n of sizes.keys()) journal.append(draft("t"), [handler], new Remembering(), n);
    const tasks = await takeTasks(journal.tasks(handler, byTopic, nothing), 2);
    for (const [n, task] of tasks.entries()) {
      journal.settle(
        task,
        done([output(uplink, "x".repeat(sizes[n] ?? 0), { type: "ty" })], "s".repeat(8192 + n)),
        1,
        START_MS,
      );
    }
    const [whole, long] = await all(journal, handler);
    expect(whole?.found.outputs.at).toBe("here");
    expect(long?.found.outputs).toEqual({
      at: "digest",
      digest: digestOf(outputsAsBytes([output(uplink, "x".repeat(8 * 1024 - 15), { type: "ty" })])),
    });
    expect(whole?.found.after?.at).toBe("here");
    expect(long?.found.after).toEqual({ at: "digest", digest: digestOf("s".repeat(8193)) });
    expect(long?.found.before).toEqual({ at: "kept", state: "s".repeat(8192), version: 1 });
  });

  it("is there after a restart, in the order in which it was settled, with the state that each began with", async () => {
    const path = await dataFolder();
    const first = await openJournal(path);
    const handler = await settled(first, 6, (n) => `{"n":${n}}`);
    const { recordBytes } = first.figures();
    await first.close();
    const journal = await openJournal(path);
    expect(journal.figures().recordBytes).toBe(recordBytes);
    const read = await all(journal, handler);
    expect(read.map(({ found }) => found.startMs)).toEqual([0, 1, 2, 3, 4, 5].map((n) => START_MS + n));
    expect(read.map(({ found }) => found.before)).toEqual(
      [undefined, undefined, undefined, '{"n":0}', '{"n":1}', '{"n":2}'].map((state) => ({
        at: "kept",
        state,
        version: state === undefined ? 0 : 7,
      })),
    );
    const event = await journal.past.event(read[4]?.found.seq ?? 0);
    expect(event?.page.subarray(event.at).includes('{"n":4}')).toBe(true);
  });

  it("is what it was though the memory of rows is filled again meanwhile, also where each write takes a second try", async () => {
    const store = new FaultyStore();
    const path = await dataFolder();
    const journal = await openJournal(path, { store });
    const [handler, uplink] = [journal.handlerId("h"), journal.uplinkId("cloud")];
    const count = 600;
    const receiver = new Remembering();
    for (let n = 0; n < count; n++) journal.append(draft(`t/${n}`, "{}", { timeMs: START_MS }), [handler], receiver, n);
    const feed = journal.tasks(handler, byTopic, nothing);
    const tasks = await takeTasks(feed, count);
    store.fault = (batch) => (batch % 2 === 0 ? { code: "EIO", lands: batch % 4 === 0 } : undefined);
    for (const [n, task] of tasks.entries()) {
      journal.settle(task, done([output(uplink, `{"out":${n},"pad":"${"x".repeat(n)}"}`)]), 7, START_MS + n);
      // Some are staged while the ones before are on their way.
      if (n % 50 === 0) await new Promise(setImmediate);
      if (n % 200 === 199) await journal.synced();
    }
    await journal.synced();
    store.fault = () => undefined;
    feed.close();
    expect(store.opens).toBeGreaterThan(2);
    const sent = (await all(journal, handler)).map(({ found }) =>
      found.outputs.at === "here" ? found.outputs.bytes : [],
    );
    expect(sent.map((bytes) => readOutputs(Buffer.from(bytes))[0]?.data.toString())).toEqual(
      tasks.map((_, n) => `{"out":${n},"pad":"${"x".repeat(n)}"}`),
    );
  });

  it("is read on from any place between two entries, of all rows", async () => {
    const journal = await openJournal(await dataFolder());
    const handler = await settled(journal, 900);
    const read = await all(journal, handler);
    expect(read).toHaveLength(900);
    for (const at of [0, 1, 449, 898]) {
      const rest = await all(journal, handler, read[at]?.behind);
      expect(rest.map(({ found }) => found.seq)).toEqual(read.slice(at + 1).map(({ found }) => found.seq));
    }
  });

  it("has its event, also where several are looked for at a time", async () => {
    const journal = await openJournal(await dataFolder());
    await settled(journal, 600);
    const numbers = Array.from({ length: 600 }, (_, n) => n + 1);
    const payloads = async (): Promise<unknown[]> => {
      const found = await Promise.all(numbers.map((seq) => journal.past.event(seq)));
      return found.map((event) => event && eventRecord.payload(event.page, event.at).toString());
    };
    const wanted = numbers.map((seq) => `{"n":${seq - 1}}`);
    expect(await payloads()).toEqual(wanted);
    // Pages that were read are found at once.
    expect(await payloads()).toEqual(wanted);
  });

  it("is found by when it was settled", async () => {
    const clock = new SetClock();
    const journal = await openJournal(await dataFolder(), { clock });
    for (let minute = 0; minute < 10; minute++) {
      await settled(journal, 400);
      clock.pass(60_000);
    }
    const { from } = await journal.past.span(clock.nowMs - 2.5 * 60_000);
    const read = await all(journal, journal.handlerId("h"), from);
    expect(read.length).toBeGreaterThanOrEqual(800);
    expect(read.length).toBeLessThan(4000);
  });

  it("is not recorded when that is off, or for a run that nobody could repeat", async () => {
    const off = await openJournal(await dataFolder(), { recordsBytesMax: 0 });
    expect(await all(off, await settled(off, 3))).toEqual([]);
    const journal = await openJournal(await dataFolder());
    const handler = journal.handlerId("h");
    journal.append(draft("t"), [handler], new Remembering(), 0);
    for (const task of await takeTasks(journal.tasks(handler, byTopic, nothing), 1)) journal.settle(task, done(), 1);
    expect(await all(journal, handler)).toEqual([]);
  });

  it("goes with its event, and the oldest before that beyond its own limit", async () => {
    const clock = new SetClock();
    const journal = await openJournal(await dataFolder(), { clock, recordsBytesMax: 50_000, sweepMs: 5 });
    const handler = await settled(journal, 900);
    await settled(journal, 300);
    await expect.poll(() => journal.figures().recordBytes).toBeLessThanOrEqual(50_000);
    expect(journal.figures().recordRowsDropped).toBeGreaterThan(0);
    expect((await all(journal, handler)).at(-1)?.found.startMs).toBe(START_MS + 299);
    clock.pass(2 * 3_600_000);
    await expect.poll(() => journal.figures().recordBytes).toBe(0);
    expect(await all(journal, handler)).toEqual([]);
  });

  it("is passed over where a row is damaged, which is reported, and nothing else suffers", async () => {
    const path = await dataFolder();
    const first = await openJournal(path);
    const handler = await settled(first, 1200);
    await first.close();
    const level = new Level<Buffer, Buffer>(join(path, "journal"), { keyEncoding: "buffer", valueEncoding: "buffer" });
    const [row] = await level.iterator({ gte: Buffer.of(0x26), lt: Buffer.of(0x27), limit: 1 }).all();
    const [key, value] = row as [Buffer, Buffer];
    value[100] = (value[100] as number) ^ 1;
    await level.put(key, value);
    await level.close();
    const journal = await openJournal(path);
    const read = await all(journal, handler);
    expect(read.length).toBeGreaterThan(0);
    expect(read.length).toBeLessThan(1200);
    expect(journal.damage).toMatchObject([{ where: "records" }]);
    expect(journal.ledger().events).toMatchObject({ accepted: 1200, done: 1200, dropped: 0 });
  });
});

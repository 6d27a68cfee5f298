import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "#src/time.ts";
import { parseRetryAfter } from "#src/uplinks/http-answer.ts";
import { FakeHttpsCloud } from "../doubles/fake-https-cloud.ts";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";
import { openUplink } from "./opened.ts";
import type { Uplinks } from "#src/uplinks/uplinks.ts";

interface Opened {
  readonly cloud: FakeHttpsCloud;
  readonly outbox: MemoryOutbox;
  readonly lines: string[];
  start(settings?: Record<string, unknown>): Uplinks;
}

async function opened(): Promise<Opened> {
  const cloud = await FakeHttpsCloud.open();
  onTestFinished(() => cloud.close());
  const outbox = new MemoryOutbox();
  const lines: string[] = [];
  return {
    cloud,
    outbox,
    lines,
    start: (settings = {}) => openUplink({ outbox, lines, settings: { kind: "https", url: cloud.url, ...settings } }),
  };
}

const seqs = (cloud: FakeHttpsCloud): number[] => cloud.taken.map(({ sluiceseq }) => sluiceseq);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("an https uplink", () => {
  it.each([500, 502, 503, 429, 408, 425])("tries again after %i and rejects nothing", async (status) => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "answering", status };
    outbox.emitMany(10);
    const uplinks = start();
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 2);
    expect(uplinks.status()[0]?.fault).toMatchObject({ code: "UPLINK_BUSY", message: `HTTP ${status}` });
    cloud.behaviour = { at: "well" };
    await outbox.drained();
    expect(seqs(cloud)).toEqual(upTo(10));
    expect(outbox.count("delivered")).toBe(10);
  });

  it("waits as long as Retry-After says, and no shorter", async () => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "answering", status: 429, headers: { "retry-after": "1" } };
    outbox.emitMany(2);
    start();
    await outbox.until(() => cloud.requests.length === 1);
    cloud.behaviour = { at: "well" };
    await outbox.drained();
    const [first, second] = cloud.requests;
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(1000);
  });

  it("reads Retry-After in seconds and as a date", () => {
    const clock = { ...systemClock, now: () => Date.UTC(2026, 0, 1) };
    expect(parseRetryAfter("120", clock)).toBe(120_000);
    expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", clock)).toBe(30_000);
    expect(parseRetryAfter("Wed, 31 Dec 2025 00:00:00 GMT", clock)).toBe(0);
    expect(parseRetryAfter("soon", clock)).toBe(0);
    expect(parseRetryAfter(undefined, clock)).toBe(0);
  });

  it.each([
    [401, "UPLINK_DENIED"],
    [403, "UPLINK_DENIED"],
    [404, "UPLINK_NOT_FOUND"],
    [405, "UPLINK_NOT_FOUND"],
    [302, "UPLINK_NOT_FOUND"],
  ])("takes %i for a matter of settings: it waits, rejects nothing and says so once", async (status, code) => {
    const { cloud, outbox, lines, start } = await opened();
    cloud.behaviour = { at: "answering", status, text: "go away" };
    outbox.emitMany(3);
    const uplinks = start();
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 3);
    expect(uplinks.status()[0]?.fault).toMatchObject({ code, message: `HTTP ${status}: go away` });
    await expect(uplinks.test("cloud")).rejects.toMatchObject({ code });
    expect(outbox.receipts.size).toBe(0);
    expect(lines.filter((line) => line.includes(code))).toHaveLength(1);
    cloud.behaviour = { at: "well" };
    await outbox.drained();
    await uplinks.test("cloud");
    expect(seqs(cloud)).toEqual(upTo(3));
  });

  it("finds the one entry that is refused with few requests, in order, and keeps what was said", async () => {
    const { cloud, outbox, start } = await opened();
    cloud.poison = 311;
    outbox.emitMany(500);
    start();
    await outbox.drained();
    expect(seqs(cloud)).toEqual(upTo(500).filter((seq) => seq !== 311));
    expect(outbox.receipts.get(311)).toMatchObject({
      verdict: "rejected",
      failure: { code: "UPLINK_REJECTED", message: "HTTP 400: one of them is bad" },
    });
    expect(cloud.requests.length).toBeLessThan(40);
  });

  it("sends less at a time after 413, and rejects only what is too large by itself", async () => {
    const { cloud, outbox, start } = await opened();
    cloud.bodyBytesMax = 20_000;
    for (let seq = 0; seq < 200; seq++) {
      outbox.emit({ data: JSON.stringify("x".repeat(seq === 77 ? 30_000 : 500)) });
    }
    start();
    await outbox.drained();
    expect(seqs(cloud)).toEqual(upTo(200).filter((seq) => seq !== 77));
    expect(outbox.receipts.get(77)).toMatchObject({ verdict: "rejected", failure: { code: "UPLINK_TOO_LARGE" } });
  });

  it("compresses what is worth it, and goes on without where that is not understood", async () => {
    const { cloud, outbox, start } = await opened();
    outbox.emit();
    start();
    await outbox.drained();
    outbox.emitMany(100);
    await outbox.drained();
    cloud.takesGzip = false;
    outbox.emitMany(100);
    await outbox.drained();
    outbox.emitMany(100);
    await outbox.drained();
    const encodings = cloud.requests.map(({ headers }) => headers["content-encoding"]);
    expect(encodings[0]).toBeUndefined();
    expect(encodings[1]).toBe("gzip");
    expect(encodings.slice(-2)).toEqual([undefined, undefined]);
    expect(seqs(cloud)).toEqual(upTo(301));
  });

  it("sends the headers that it is told to, and never writes them to the log", async () => {
    const { cloud, outbox, lines, start } = await opened();
    cloud.behaviour = { at: "answering", status: 403 };
    outbox.emit();
    const uplinks = start({ headers: { Authorization: "Bearer s3cret" }, url: `${cloud.url}?key=s3cret` });
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 1);
    cloud.behaviour = { at: "well" };
    await outbox.drained();
    const seen = cloud.requests.at(-1);
    expect(seen?.headers).toMatchObject({
      authorization: "Bearer s3cret",
      "content-type": "application/cloudevents-batch+json; charset=utf-8",
    });
    expect(lines.join("\n")).not.toContain("s3cret");
  });

  it("in raw format sends each output's data alone, its attributes in headers", async () => {
    const { cloud, outbox, start } = await opened();
    outbox.emit({ data: '{"c":1}', subject: 'räum "7"' });
    outbox.emit({ data: Buffer.from([1, 2, 255]), json: false });
    start({ format: "raw" });
    await outbox.drained();
    const [json, bytes] = cloud.requests;
    expect(json?.body.toString()).toBe('{"c":1}');
    expect(json?.headers).toMatchObject({
      "content-type": "application/json",
      "ce-specversion": "1.0",
      "ce-subject": "r%C3%A4um%20%227%22",
      "ce-sluiceseq": "0",
    });
    expect(bytes?.body).toEqual(Buffer.from([1, 2, 255]));
    expect(bytes?.headers["content-type"]).toBe("application/octet-stream");
  });

  it("takes a slow answer for what it says", async () => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "slow", ms: 150 };
    outbox.emitMany(20);
    const uplinks = start();
    await outbox.drained();
    expect(uplinks.figures()["cloud"]).toMatchObject({ faults: 0, batches: 1 });
  });

  it.each(["never", "within"] as const)("takes a status for what it says, where its body ends %s", async (ends) => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "trailing", ends };
    outbox.emitMany(20);
    const uplinks = start({ timeout: "20s" });
    await outbox.drained();
    expect(uplinks.figures()["cloud"]).toMatchObject({ faults: 0, delivered: 20 });
    expect(seqs(cloud)).toEqual(upTo(20));
  });

  it("waits and tries again where the other side answers in another protocol", async () => {
    const { cloud, outbox, start } = await opened();
    cloud.behaviour = { at: "switching" };
    outbox.emitMany(2);
    const uplinks = start({ timeout: "20s" });
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 2);
    expect(uplinks.status()[0]?.fault).toMatchObject({ code: "UPLINK_BUSY", message: "HTTP 101" });
    cloud.behaviour = { at: "well" };
    await outbox.drained();
    expect(seqs(cloud)).toEqual(upTo(2));
  });
});

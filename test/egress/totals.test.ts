/** What all fetches may have together, and how much of it one handler. */
import { describe, expect, it } from "vitest";
import type { FetchEnd } from "../../src/fetch.ts";
import { RESPONSE_BYTES_MAX, bodyOf, failure, fetchEnd, open, patient, site, useSites } from "./opened.ts";

useSites();

describe("all fetches together", () => {
  it("are no more than the limit; one more fails at once, and may come again (E4)", async () => {
    const egress = open();
    const held = ["a", "a", "b", "b"].map((handler) =>
      fetchEnd(`${site.origin}/hang`, { egress, handler, timeoutMs: 300 }),
    );
    const more = await fetchEnd(`${site.origin}/hello`, { egress });
    expect(more).toEqual(failure("SANDBOX_FETCH_BUSY", /more than 4 fetches/));
    expect(egress.figures().inFlight).toBe(4);
    await Promise.all(held);
    expect(bodyOf(await fetchEnd(`${site.origin}/hello`, { egress }))).toBe("hello");
  });

  it("of one handler are no more than half of that, however many it asks for: others' are made (E6)", async () => {
    const egress = open();
    const held = Array.from({ length: 50 }, () => fetchEnd(`${site.origin}/hang`, { egress, timeoutMs: 300 }));
    const other = fetchEnd(`${site.origin}/hello`, { egress, handler: "other" });
    expect(bodyOf(await other)).toBe("hello");
    expect(egress.figures().inFlight).toBe(2);
    const ends = await Promise.all(held);
    expect(ends.filter((end) => end.at === "failed" && end.code === "SANDBOX_FETCH_BUSY")).toHaveLength(48);
    expect(bodyOf(await fetchEnd(`${site.origin}/hello`, { egress }))).toBe("hello");
  });

  it("of one handler hold no more bytes than half of that (E6)", async () => {
    const egress = open({ bytesMax: 4096 });
    const post = (bytes: number, handler: string): Promise<FetchEnd> =>
      fetchEnd(`${site.origin}/hang`, { egress, handler, method: "POST", body: Buffer.alloc(bytes), timeoutMs: 200 });
    const held = post(2048, "h");
    expect(await post(1, "h")).toMatchObject({ code: "SANDBOX_FETCH_BUSY" });
    expect(await post(2048, "other")).toMatchObject({ code: "HANDLER_FETCH_TIMEOUT" });
    await held;
    expect(await post(2048, "h")).toMatchObject({ code: "HANDLER_FETCH_TIMEOUT" });
  });

  it("hold no more bytes than the limit, until each is handed over (E4)", async () => {
    const egress = open({ bytesMax: 130 * 1024 });
    const releases: (() => void)[] = [];
    const large = (handler: string): Promise<FetchEnd> =>
      new Promise((resolve) =>
        egress.fetch(
          {
            handler,
            timeoutMs: 5000,
            responseBytesMax: RESPONSE_BYTES_MAX,
            grants: [{ origin: site.origin, private: false }],
            ask: { url: `${site.origin}/large`, method: "GET", headers: [], body: undefined, redirect: "follow" },
          },
          (end, release) => {
            releases.push(release);
            resolve(end);
          },
        ),
      );
    expect([(await large("a")).at, (await large("b")).at]).toEqual(["answered", "answered"]);
    expect(egress.figures().bytesHeld).toBe(128 * 1024);
    expect(await large("c")).toEqual(failure("SANDBOX_FETCH_BUSY", /too much/));
    const body = Buffer.alloc(3 * 1024);
    const sent = await fetchEnd(`${site.origin}/echo`, { egress, method: "POST", body });
    expect(sent).toMatchObject({ code: "SANDBOX_FETCH_BUSY" });
    for (const release of releases) {
      release();
      release();
    }
    expect(egress.figures().bytesHeld).toBe(0);
    expect((await fetchEnd(`${site.origin}/large`, { egress })).at).toBe("answered");
  });

  it("keep connections, and not those of private grants for others", async () => {
    const egress = open();
    const before = site.connections();
    for (let n = 0; n < 3; n++) await fetchEnd(`${site.origin}/hello`, { egress });
    expect(site.connections() - before).toBe(1);
    await fetchEnd(`${site.origin}/hello`, { egress, grants: [{ origin: site.origin, private: true }] });
    expect(site.connections() - before).toBe(2);
  });

  it("are counted by handler and by what became of them", async () => {
    const egress = open();
    await fetchEnd(`${site.origin}/echo`, { egress, method: "POST", body: Buffer.from("12345") });
    await fetchEnd("http://no.example/", { egress, grants: [] });
    await fetchEnd(`${site.origin}/hang`, { egress, timeoutMs: 30 });
    await fetchEnd(`${site.origin}/bomb`, { egress });
    const { h } = egress.figures().handlers;
    expect(h?.ends).toEqual({ answered: 1, failed: 0, denied: 1, timeout: 1, "too-large": 1, busy: 0, aborted: 0 });
    expect(h?.sentBytes).toBe(5);
    expect(h?.receivedBytes).toBeGreaterThan(64 * 1024);
    egress.forget("h");
    expect(egress.figures().handlers).toEqual({});
    // Its last batches go on for a while.
    await fetchEnd(`${site.origin}/hello`, { egress });
    expect(egress.figures().handlers).toEqual({});
  });

  it("that are aborted end at once, tell nobody, and give back what they held", async () => {
    const egress = open();
    let told = 0;
    const request = {
      handler: "h",
      timeoutMs: 5000,
      responseBytesMax: RESPONSE_BYTES_MAX,
      grants: [{ origin: site.origin, private: false }],
      ask: { url: `${site.origin}/endless`, method: "POST", headers: [], body: Buffer.from("x"), redirect: "follow" },
    } as const;
    const early = egress.fetch(request, () => told++);
    early();
    const before = site.requests.length;
    const abort = egress.fetch(request, () => told++);
    await expect.poll(() => site.requests.length, patient).toBe(before + 1);
    abort();
    abort();
    expect(egress.figures()).toMatchObject({ inFlight: 0, bytesHeld: 0 });
    await expect.poll(() => site.requests.at(-1)?.givenUp, patient).toBe(true);
    expect(told).toBe(0);
    expect(egress.figures().handlers["h"]?.ends.aborted).toBe(2);
  });
});

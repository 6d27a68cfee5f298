/** The stream: who is told what, what is kept, and what is left out. */
import { describe, expect, it } from "vitest";
import { KEPT_PER_SECOND, PER_SECOND, Stream } from "../../src/control/stream.ts";
import type { Sink } from "../../src/control/stream.ts";
import type { EntryDraft } from "../../src/control/stream-entry.ts";
import { systemClock } from "../../src/time.ts";
import { openControl } from "./opened.ts";

class Screen implements Sink {
  text = "";
  writableLength = 0;
  isEnded = false;
  write(text: string): void {
    this.text += text;
  }
  end(): void {
    this.isEnded = true;
  }
  /** The data of all entries. */
  get entries(): Record<string, unknown>[] {
    return [...this.text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json as string) as never);
  }
  get ids(): string[] {
    return [...this.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id as string);
  }
}

function opened(): { stream: Stream; pass: (ms: number) => void } {
  let ms = 1_000_000;
  return {
    stream: new Stream({ ...systemClock, monotonic: () => ms, now: () => ms }, 4),
    pass: (more) => void (ms += more),
  };
}

const about = { event: "e-1", topic: "plant/a", key: "a" };
const done = (handler = "h"): EntryDraft => ({ at: "outcome", handler, version: 1, status: "done", ...about });
const dead = (handler = "h"): EntryDraft => ({ ...(done(handler) as object), status: "dead" }) as EntryDraft;
const log = (level: "debug" | "error", device?: string): EntryDraft => ({
  at: "log",
  handler: "h",
  version: 1,
  level,
  message: "said",
  ...about,
  ...(device === undefined ? {} : { device }),
});
const news: EntryDraft = { at: "deploy", handler: "h", what: "live", version: 2 };
const uplink: EntryDraft = { at: "uplink", uplink: "cloud", what: "down", waiting: 3 };
const ALL = [done(), dead(), dead("other"), log("debug"), log("error", "press"), news, uplink];

describe("a reader of the stream", () => {
  it.each([
    [{}, 7],
    [{ handler: "h" }, 5],
    [{ status: "error" }, 4],
    [{ status: "done" }, 3],
    [{ level: "error" }, 3],
    [{ level: "debug", status: "dead" }, 6],
    [{ device: "press" }, 1],
    [{ device: "nobody" }, 0],
  ] as const)("that asks for %j is told %i of 7", (filter, count) => {
    const { stream } = opened();
    const screen = new Screen();
    stream.open(screen, filter, {});
    for (const entry of ALL) stream.tell(entry);
    expect(screen.entries).toHaveLength(count);
  });

  it("begins with what is kept, which events that were done are not (ST2)", () => {
    const { stream, pass } = opened();
    stream.tell(dead("old"));
    pass(10_000);
    for (const entry of ALL) stream.tell(entry);
    const [recent, everything, none] = [new Screen(), new Screen(), new Screen()];
    stream.open(recent, {}, { sinceMs: 1_005_000 });
    stream.open(everything, {}, { sinceMs: 0 });
    stream.open(none, {}, {});
    expect(recent.entries).toHaveLength(6);
    expect(everything.entries).toHaveLength(7);
    expect(none.entries).toHaveLength(0);
    pass(16 * 60_000);
    stream.tell(news);
    const later = new Screen();
    stream.open(later, {}, { sinceMs: 0 });
    expect(later.entries).toHaveLength(1);
  });

  it("goes on behind the entry that it had last, and by the time when that is another run's (ST4)", () => {
    const { stream } = opened();
    const first = new Screen();
    const end = stream.open(first, {}, {});
    stream.tell(dead("a"));
    end();
    stream.tell(dead("b"));
    const again = new Screen();
    stream.open(again, {}, { after: first.ids.at(-1), sinceMs: 0 });
    expect(again.entries).toMatchObject([{ handler: "b" }]);
    const other = new Screen();
    stream.open(other, {}, { after: "0000-7", sinceMs: 0 });
    expect(other.entries).toMatchObject([{ handler: "a" }, { handler: "b" }]);
  });

  it("is told how many were too many a second, when that is over (ST3)", () => {
    const { stream, pass } = opened();
    const screen = new Screen();
    stream.open(screen, {}, {});
    for (let i = 0; i < PER_SECOND + 5; i++) stream.tell(done());
    expect(screen.entries).toHaveLength(PER_SECOND);
    pass(1000);
    stream.tell(done());
    expect(screen.entries.slice(PER_SECOND)).toMatchObject([{ at: "left-out", rate: 5, slow: 0 }, { at: "outcome" }]);
    expect(stream.figures().leftOut).toMatchObject({ rate: 5 });
  });

  it("that does not read costs no more than its buffer, and hears what it missed (ST3)", () => {
    const { stream } = opened();
    const screen = new Screen();
    stream.open(screen, {}, {});
    screen.writableLength = 1024 * 1024;
    for (let i = 0; i < 3; i++) stream.tell(done());
    expect(screen.entries).toEqual([]);
    screen.writableLength = 0;
    stream.tell(done());
    expect(screen.entries).toMatchObject([{ at: "left-out", rate: 0, slow: 3 }, { at: "outcome" }]);
  });
});

describe("what is kept", () => {
  it("is bounded by a rate, a count and its length (ST2)", () => {
    const { stream, pass } = opened();
    for (let i = 0; i < KEPT_PER_SECOND; i++) stream.tell(dead());
    expect(stream.takes).toBe(false);
    expect(stream.figures().leftOut.kept).toBe(1);
    for (let second = 0; second < 5; second++) {
      pass(1000);
      for (let i = 0; i < KEPT_PER_SECOND; i++) stream.tell(dead());
    }
    const screen = new Screen();
    stream.open(screen, {}, { sinceMs: 0 });
    expect(screen.entries).toHaveLength(2000);
    for (let i = 0; i < 300; i++) {
      pass(10);
      stream.tell({ ...(log("error") as object), message: "x".repeat(10_000) } as EntryDraft);
    }
    const large = new Screen();
    stream.open(large, {}, { sinceMs: 0 });
    expect(large.text.length).toBeLessThan(1.1 * 1024 * 1024);
    expect(large.entries.length).toBeGreaterThan(90);
  });

  it("asks for nothing of what is done while nobody looks (ST1)", () => {
    const { stream } = opened();
    expect(stream.isWatched).toBe(false);
    const end = stream.open(new Screen(), {}, {});
    expect(stream.isWatched).toBe(true);
    end();
    expect(stream.isWatched).toBe(false);
  });
});

describe("/api/v1/stream", () => {
  it("tells at once, to a few readers at a time, and ends with the gateway", async () => {
    await using control = await openControl();
    const { source, ask } = control;
    const answer = await ask("/api/v1/stream?handler=h&status=error");
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    const second = await ask("/api/v1/stream");
    const refused = await ask("/api/v1/stream");
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ code: "CONTROL_STREAMS" });
    await second.body?.cancel();
    await expect.poll(() => source.stream.figures().open).toBe(1);
    source.stream.tell(done());
    source.stream.tell(dead());
    const reader = answer.body?.getReader();
    const decoder = new TextDecoder();
    let text = "";
    while (!text.includes("data:")) text += decoder.decode((await reader?.read())?.value);
    expect(text).toMatch(/^id: \w+-2\nevent: outcome\ndata: \{.*"status":"dead"/m);
    const closed = control.control.close(5000);
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read())
      text += decoder.decode(part.value);
    expect(text).toMatch(/event: closing\ndata: \{\}\n\n$/);
    await closed;
  });

  it("wants a token, and filters that there are", async () => {
    await using control = await openControl();
    expect((await fetch(`${control.control.url}/api/v1/stream`)).status).toBe(401);
    expect((await control.ask("/api/v1/stream?status=good")).status).toBe(400);
  });
});

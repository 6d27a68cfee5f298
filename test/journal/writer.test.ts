/**
 * The writer loop, on its own: what it does when writing fails and works again.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Writer } from "../../src/journal/writer.ts";
import type { WriterDoors } from "../../src/journal/writer.ts";
import { quiet, Remembering, SetClock } from "./fixture.ts";

const disk = { fails: false, writes: 0 };
const clock = new SetClock();

function doors(more: Partial<WriterDoors> = {}): WriterDoors {
  return {
    cut: () => [],
    write: () => {
      disk.writes++;
      return disk.fails ? Promise.reject(new Error("EIO")) : Promise.resolve();
    },
    reopen: () => Promise.resolve(),
    acknowledge: () => undefined,
    landed: () => undefined,
    givenUp: () => undefined,
    clock,
    log: quiet,
    ...more,
  };
}

beforeEach(() => {
  disk.fails = true;
  disk.writes = 0;
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a writer whose disk fails", () => {
  it("has given up when it says so, also where the clock is some milliseconds behind its timer", async () => {
    const told: boolean[] = [];
    const writer: Writer = new Writer(doors({ givenUp: () => told.push(writer.hasGivenUp) }), 0);
    writer.group.receive(new Remembering(), 1);
    writer.schedule();
    await vi.advanceTimersByTimeAsync(4990);
    clock.pass(4990);
    expect(told).toEqual([]);
    expect(writer.hasGivenUp).toBe(false);
    await vi.advanceTimersByTimeAsync(100);
    expect(told).toEqual([true]);
    disk.fails = false;
    await vi.advanceTimersByTimeAsync(2000);
    expect(writer.failing).toBe(false);
    expect(writer.hasGivenUp).toBe(false);
  });

  it("writes a batch once more and not again when what hears of it throws (J1)", async () => {
    const thrown: unknown[] = [];
    const hear = (error: unknown): unknown => thrown.push(error);
    const others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", hear);
    let landed = 0;
    const writer = new Writer(
      doors({
        acknowledge: () => {
          landed++;
          throw new Error("a bug of whoever was told");
        },
      }),
      0,
    );
    writer.group.receive(new Remembering(), 1);
    writer.schedule();
    await vi.advanceTimersByTimeAsync(100);
    disk.fails = false;
    const before = disk.writes;
    await vi.advanceTimersByTimeAsync(10_000);
    vi.useRealTimers();
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.removeListener("unhandledRejection", hear);
    for (const other of others) process.on("unhandledRejection", other);
    expect({ landed, writes: disk.writes - before, thrown: thrown.length }).toEqual({
      landed: 1,
      writes: 1,
      thrown: 1,
    });
  });
});

describe("a writer whose disk works", () => {
  beforeEach(() => {
    disk.fails = false;
  });

  it("lets acknowledgements leave before anything else follows from a commit", async () => {
    const order: string[] = [];
    const acknowledge = (): void => queueMicrotask(() => order.push("acknowledgements left"));
    const writer = new Writer(doors({ acknowledge, landed: () => order.push("landed") }), 0);
    writer.group.receive(new Remembering(), 1);
    writer.schedule();
    const synced = writer.synced().then(() => order.push("synced"));
    await vi.advanceTimersByTimeAsync(100);
    await synced;
    expect(order).toEqual(["acknowledgements left", "landed", "synced"]);
  });

  it("tells nobody a second time when a write lands that was given up at the end (J1)", async () => {
    let land = (): void => undefined;
    const told: (string | undefined)[] = [];
    const receiver = { committed: (_tag: number, fault: { code: string } | undefined) => told.push(fault?.code) };
    const acknowledge: WriterDoors["acknowledge"] = (group) => {
      for (const [i, each] of group.receivers.entries()) each.committed(group.tags[i] as number, undefined);
    };
    const write = (): Promise<void> => new Promise((resolve) => (land = resolve));
    const writer = new Writer(doors({ acknowledge, write }), 0);
    writer.group.receive(receiver, 1);
    writer.schedule();
    await vi.advanceTimersByTimeAsync(10);
    writer.stop();
    land();
    await vi.advanceTimersByTimeAsync(10);
    expect(told).toEqual(["JOURNAL_CLOSED"]);
  });
});

import { describe, expect, it } from "vitest";
import type { Clock } from "#src/time.ts";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";
import { ScriptedUplink } from "../doubles/scripted-uplink.ts";
import { deliver } from "./delivering.ts";

const KB = 1024;
const broken = { at: "breaks", takes: 0, acknowledges: 0 } as const;
const data = JSON.stringify({ text: "x".repeat(KB - 11) });

describe("an uplink's buffer", () => {
  it("under drop-oldest gives up the oldest entries at sizeMax, counts them, and delivers the rest", async () => {
    const uplink = new ScriptedUplink({ script: Array.from({ length: 3 }, () => broken) });
    const outbox = new MemoryOutbox();
    outbox.emitMany(100, { data });
    const { delivery } = deliver(uplink, { buffer: { sizeMax: "40KB", whenFull: "drop-oldest" } }, { outbox });
    await outbox.drained();
    expect(outbox.count("dropped")).toBe(60);
    expect(delivery.figures()).toMatchObject({ dropped: 60, delivered: 40 });
    expect(uplink.taken).toEqual(Array.from({ length: 40 }, (_, i) => 60 + i));
  });

  it("drops while it is paused, too", async () => {
    const outbox = new MemoryOutbox();
    const { delivery } = deliver(new ScriptedUplink(), { buffer: { sizeMax: "10KB" } }, { outbox });
    delivery.pause();
    outbox.emitMany(30, { data });
    await outbox.until(() => outbox.count("dropped") === 20);
    expect(delivery.status()).toMatchObject({ state: "paused", waiting: 10 });
  });

  it("under refuse gives nothing up and says that it is full", async () => {
    const outbox = new MemoryOutbox();
    const uplink = new ScriptedUplink();
    const { delivery } = deliver(uplink, { buffer: { sizeMax: "10KB", whenFull: "refuse" } }, { outbox });
    delivery.pause();
    outbox.emitMany(9, { data });
    expect(delivery.refusing).toBe(false);
    outbox.emitMany(11, { data });
    expect(delivery.refusing).toBe(true);
    expect(delivery.status().full).toBe(true);
    delivery.resume();
    await outbox.drained();
    expect(delivery.refusing).toBe(false);
    expect(uplink.taken).toHaveLength(20);
  });

  it.each(["drop-oldest", "refuse"] as const)(
    "under %s is full until it has room again, not only at the limit",
    async (whenFull) => {
      const outbox = new MemoryOutbox();
      const { delivery } = deliver(new ScriptedUplink(), { buffer: { sizeMax: "10KB", whenFull } }, { outbox });
      delivery.pause();
      const emitted = [9, 20, 1];
      const seen = emitted.map((count) => {
        outbox.emitMany(count, { data });
        return delivery.status().full;
      });
      expect(seen).toEqual([false, true, true]);
      if (whenFull === "drop-oldest") await outbox.until(() => outbox.count("dropped") === 20);
      expect(delivery.status().full).toBe(true);
      delivery.resume();
      await outbox.drained();
      expect(delivery.status().full).toBe(false);
    },
  );

  it("expires entries past ageMax, while the other side is down as well", async () => {
    let nowMs = Date.UTC(2026, 0, 1);
    const clock: Clock = { now: () => nowMs, monotonic: () => performance.now() };
    const outbox = new MemoryOutbox();
    outbox.emitMany(10, { timeMs: nowMs });
    outbox.emitMany(10, { timeMs: nowMs + 3_600_000 });
    nowMs += 1000;
    const uplink = new ScriptedUplink({ script: Array.from({ length: 30 }, () => broken) });
    const { delivery } = deliver(uplink, { buffer: { ageMax: "10m" }, breakerAfter: 1 }, { outbox, clock });
    await outbox.until(() => delivery.figures().faults > 2);
    expect(outbox.receipts.size).toBe(0);
    nowMs += 3_600_000;
    await outbox.drained();
    expect(delivery.figures()).toMatchObject({ expired: 10, delivered: 10 });
    expect(uplink.taken).toEqual(Array.from({ length: 10 }, (_, i) => 10 + i));
  });

  it("expires nothing that bears a time from before the box knew the time", async () => {
    const outbox = new MemoryOutbox();
    outbox.emitMany(5, { timeMs: 60_000 });
    deliver(new ScriptedUplink(), { buffer: { ageMax: "1m" } }, { outbox });
    await outbox.drained();
    expect(outbox.count("delivered")).toBe(5);
  });

  it("gives up a long expired backlog in slices", async () => {
    const outbox = new MemoryOutbox();
    outbox.emitMany(6000, { timeMs: Date.UTC(2025, 0, 1) });
    outbox.emitMany(3);
    deliver(new ScriptedUplink(), { buffer: { ageMax: "1h" } }, { outbox });
    await outbox.drained();
    expect(outbox.count("expired")).toBe(6000);
    expect(outbox.count("delivered")).toBe(3);
  });
});

describe("a rate cap", () => {
  it("lets a second's worth go at once and the rest at its pace", async () => {
    let ms = 0;
    const clock: Clock = { now: () => Date.now(), monotonic: () => ms };
    const outbox = new MemoryOutbox();
    outbox.emitMany(300);
    const uplink = new ScriptedUplink({ batchCountMax: 1000 });
    deliver(uplink, { rate: 100 }, { outbox, clock });
    await outbox.until(() => uplink.taken.length >= 100);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(uplink.taken).toHaveLength(100);
    ms += 500;
    await outbox.until(() => uplink.taken.length >= 150);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(uplink.taken).toHaveLength(150);
    ms += 10_000;
    await outbox.until(() => uplink.taken.length >= 250);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(uplink.taken).toHaveLength(250);
  });
});

/**
 * What every kind of uplink has to do, over real sockets and files. A kind's test calls {@link uplinkContract} with a way
 * to make its other side.
 */
import { describe, expect, it, onTestFinished } from "vitest";
import type { Uplinks } from "#src/uplinks/uplinks.ts";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";
import { idOf, openUplink } from "../uplinks/opened.ts";

export type Behaviour =
  | "well"
  /** Cannot be reached at all. */
  | "down"
  /** Takes everything and acknowledges nothing. */
  | "silent"
  /** Breaks off in the middle of a batch. */
  | "resetting"
  /** Does not accept our credentials. */
  | "denying";

export interface Arrival {
  readonly id: string;
  readonly sluiceseq: number;
  readonly sluicekey: string;
}

/** The other side of an uplink. */
export interface Peer {
  readonly settings: Record<string, unknown>;
  readonly folder?: string;
  /** Everything that came in, in order, with repeats. What is here without having been acknowledged may come again. */
  arrivals(): Promise<readonly Arrival[]>;
  behave(behaviour: Behaviour): Promise<void>;
  /** Makes it refuse the event with this `sluiceseq`, whatever else is in the batch. Only where `can` has "poison". */
  poison(seq: number): void;
  close(): Promise<void>;
}

export interface KindUnderTest {
  readonly kind: string;
  /** What the other side of this kind can do besides being well and down. */
  readonly can: ReadonlySet<Behaviour | "poison">;
  open(): Promise<Peer>;
}

interface Bench {
  readonly peer: Peer;
  readonly outbox: MemoryOutbox;
  readonly lines: string[];
  /** Opens the uplinks, as a gateway does when it starts. */
  start(settings?: Record<string, unknown>): Uplinks;
}

export function uplinkContract({ kind, can, open }: KindUnderTest): void {
  const bench = async (): Promise<Bench> => {
    const peer = await open();
    onTestFinished(() => peer.close());
    const outbox = new MemoryOutbox();
    const lines: string[] = [];
    const folder = peer.folder === undefined ? {} : { folder: peer.folder };
    const start = (settings: Record<string, unknown> = {}): Uplinks =>
      openUplink({ outbox, lines, ...folder, settings: { ...peer.settings, ...settings } });
    return { peer, outbox, lines, start };
  };

  /** Everything arrived; first arrivals are in order; what came again came with the same id; receipts tell the truth. */
  const expectWhole = async ({ peer, outbox }: Bench): Promise<void> => {
    const arrivals = await peer.arrivals();
    const firsts = new Map<number, string>();
    for (const { sluiceseq, id } of arrivals) {
      const before = firsts.get(sluiceseq);
      if (before !== undefined) expect(id).toBe(before);
      else firsts.set(sluiceseq, id);
    }
    const delivered = outbox.order.filter(({ verdict }) => verdict === "delivered").map(({ seq }) => seq);
    const seqs = [...firsts.keys()];
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(delivered.filter((seq) => !firsts.has(seq))).toEqual([]);
    for (const [seq, id] of firsts) expect(id).toBe(idOf(outbox, seq));
    const dead = outbox.count("rejected");
    expect(delivered.length + dead).toBe(outbox.entries.length);
  };

  /** A property that only shows where the other side can behave so. */
  const where = (ability: Behaviour | "poison", property: string, holds: () => Promise<void>): void => {
    if (can.has(ability)) it(property, holds);
  };

  describe(`an uplink of kind ${kind}`, () => {
    it("delivers everything once and in order when nothing fails (U1, U2)", async () => {
      const made = await bench();
      made.outbox.emitMany(1500);
      made.start();
      made.outbox.emitMany(500);
      await made.outbox.drained();
      made.outbox.emitMany(3);
      await made.outbox.drained();
      expect(await made.peer.arrivals()).toHaveLength(2003);
      await expectWhole(made);
    });

    it("delivers in order after an outage, and says once that it is down and once that it is back", async () => {
      const made = await bench();
      const { peer, outbox, lines } = made;
      await peer.behave("down");
      outbox.emitMany(300);
      const uplinks = made.start();
      await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 3);
      expect(outbox.receipts.size).toBe(0);
      expect(uplinks.status()[0]).toMatchObject({ healthy: false, waiting: 300 });
      await expect(uplinks.test("cloud")).rejects.toMatchObject({ name: "Fault" });
      await peer.behave("well");
      await outbox.drained();
      await uplinks.test("cloud");
      expect(uplinks.status()[0]).toMatchObject({ healthy: true, waiting: 0, fault: undefined });
      await peer.behave("down");
      outbox.emitMany(200);
      await outbox.until(() => uplinks.status()[0]?.healthy === false);
      await peer.behave("well");
      await outbox.drained();
      await expectWhole(made);
      expect(lines.filter((line) => line.includes("uplink is down"))).toHaveLength(2);
      expect(lines.filter((line) => line.includes("uplink is back"))).toHaveLength(2);
    });

    it("goes on after a restart with what has no receipt, under the same ids (G3)", async () => {
      const made = await bench();
      made.outbox.emitMany(400);
      const first = made.start({ rate: 200 });
      await made.outbox.until(() => made.outbox.receipts.size > 20);
      await first.close(0);
      const receipts = made.outbox.receipts.size;
      expect(receipts).toBeLessThan(400);
      made.start();
      await made.outbox.drained();
      await expectWhole(made);
    });

    it("pauses and resumes", async () => {
      const made = await bench();
      const uplinks = made.start();
      made.outbox.emitMany(10);
      await made.outbox.drained();
      uplinks.pause("cloud");
      made.outbox.emitMany(10);
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(made.outbox.receipts.size).toBe(10);
      expect(uplinks.status()[0]).toMatchObject({ state: "paused", waiting: 10 });
      uplinks.resume("cloud");
      await made.outbox.drained();
      await expectWhole(made);
    });

    where("silent", "gives no receipt for what is not acknowledged, and sends it again (U1)", async () => {
      const made = await bench();
      await made.peer.behave("silent");
      made.outbox.emitMany(50);
      const uplinks = made.start({ timeout: "250ms" });
      await made.outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 2);
      expect(made.outbox.receipts.size).toBe(0);
      expect(uplinks.status()[0]?.fault?.code).toBe("UPLINK_TIMEOUT");
      await made.peer.behave("well");
      await made.outbox.drained();
      await expectWhole(made);
      expect((await made.peer.arrivals()).length).toBeGreaterThan(50);
    });

    where("silent", "closes in its deadline while the other side hangs, and lies about nothing (D5)", async () => {
      const made = await bench();
      await made.peer.behave("silent");
      made.outbox.emitMany(50);
      const uplinks = made.start({ timeout: "30s" });
      await made.outbox.until(() => (uplinks.figures()["cloud"]?.outstanding ?? 0) > 0);
      const startMs = performance.now();
      await uplinks.close(150);
      expect(performance.now() - startMs).toBeLessThan(150 + 1000 + 1000);
      expect(made.outbox.receipts.size).toBe(0);
    });

    where("silent", "holds no more than its window of a backlog that nobody takes (U5)", async () => {
      const made = await bench();
      await made.peer.behave("silent");
      made.outbox.emitMany(20_000);
      const uplinks = made.start();
      await made.outbox.until(() => (uplinks.figures()["cloud"]?.outstanding ?? 0) > 0);
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(made.outbox.takenMost).toBeLessThanOrEqual(2048);
      await uplinks.close(0);
    });

    where("resetting", "sends again in order what a reset cut off (U2)", async () => {
      const made = await bench();
      made.outbox.emitMany(1000);
      await made.peer.behave("resetting");
      const uplinks = made.start();
      await made.outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 4);
      await made.peer.behave("well");
      await made.outbox.drained();
      await expectWhole(made);
      expect(made.outbox.count("rejected")).toBe(0);
    });

    where("denying", "rejects nothing while its credentials are refused, and says so once", async () => {
      const made = await bench();
      await made.peer.behave("denying");
      made.outbox.emitMany(20);
      const uplinks = made.start();
      await made.outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 3);
      expect(uplinks.status()[0]).toMatchObject({ healthy: false, fault: { code: "UPLINK_DENIED" } });
      expect(made.outbox.receipts.size).toBe(0);
      const said = made.lines.filter((line) => line.includes("UPLINK_DENIED"));
      expect(said).toHaveLength(1);
      expect(said[0]).toContain('"level":50');
      await made.peer.behave("well");
      await made.outbox.drained();
      await expectWhole(made);
    });

    where("poison", "rejects one bad entry and nothing else (D3)", async () => {
      const made = await bench();
      made.peer.poison(137);
      made.outbox.emitMany(300);
      made.start();
      await made.outbox.drained();
      expect(made.outbox.count("rejected")).toBe(1);
      expect(made.outbox.receipts.get(137)).toMatchObject({
        verdict: "rejected",
        failure: { code: expect.any(String) },
      });
      expect((await made.peer.arrivals()).map(({ sluiceseq }) => sluiceseq)).toContain(138);
    });
  });
}

/**
 * What the uplinks rely on in outboxes: those of the journal, and the one in memory that stands for them in the tests of
 * uplinks.
 */
import { describe, expect, it } from "vitest";
import type { OutboxEntry } from "../../src/task.ts";
import type { OutboxFeed, Outboxes } from "../../src/uplinks/outbox.ts";

export interface OutboxSubject {
  readonly outboxes: Outboxes;
  /** Emits so many more to the uplink `cloud`, each with its number, from 0, as data; resolves when they are there. */
  emit(count: number): Promise<void>;
  /** Resolves when what was staged counts. */
  synced(): Promise<void>;
}

const LIMITS = { entriesMax: 8, bytesMax: 64 * 1024, whenFull: "refuse" } as const;

export function outboxContract(name: string, open: () => Promise<OutboxSubject>): void {
  describe(`the outbox ${name}`, () => {
    interface Bench extends OutboxSubject {
      readonly feed: OutboxFeed;
      readonly wakes: { count: number };
      /** Takes, waiting for what is still to come from disk. */
      take(count: number, from?: OutboxFeed): Promise<OutboxEntry[]>;
      deliver(entries: readonly OutboxEntry[]): Promise<void>;
    }

    async function bench(): Promise<Bench> {
      const opened = await open();
      const { outboxes, synced } = opened;
      const wakes = { count: 0 };
      const feed = outboxes.outbox("cloud", LIMITS, () => wakes.count++);
      return {
        ...opened,
        feed,
        wakes,
        take: async (count, from = feed) => {
          const taken: OutboxEntry[] = [];
          for (let tries = 0; taken.length < count && tries < 2000; tries++) {
            const entry = from.take();
            if (entry === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
            else taken.push(entry);
          }
          return taken;
        },
        deliver: async (entries) => {
          outboxes.received(
            "cloud",
            entries.map(({ seq }) => ({ seq, verdict: "delivered" })),
          );
          await synced();
        },
      };
    }

    const numbers = (entries: readonly OutboxEntry[]): number[] => entries.map(({ data }) => Number(data.toString()));
    const upTo = (count: number, first = 0): number[] => Array.from({ length: count }, (_, n) => first + n);

    it("hands out all entries in order, with numbers that rise by one, however little it holds in memory", async () => {
      const { emit, take, feed } = await bench();
      await emit(50);
      const taken = await take(50);
      expect(numbers(taken)).toEqual(upTo(50));
      const first = taken[0]?.seq as number;
      expect(taken.map(({ seq }) => seq)).toEqual(upTo(50, first));
      expect(feed.take()).toBeUndefined();
      await emit(3);
      expect(numbers(await take(3))).toEqual(upTo(3, 50));
    });

    it("counts what has no receipt as waiting, taken or not, in whatever order receipts come", async () => {
      const { emit, take, feed, deliver } = await bench();
      await emit(5);
      expect(feed.waiting).toBe(5);
      const bytes = feed.waitingBytes;
      expect(bytes).toBeGreaterThan(0);
      const [a, b, c] = (await take(3)) as [OutboxEntry, OutboxEntry, OutboxEntry];
      expect(feed.waiting).toBe(5);
      await deliver([b, a]);
      expect(feed.waiting).toBe(3);
      expect([a, b, c].map(({ seq }) => feed.isWaiting(seq))).toEqual([false, false, true]);
      await deliver([c, ...(await take(2))]);
      expect([feed.waiting, feed.waitingBytes]).toEqual([0, 0]);
    });

    it("wakes once there is something again, and only who found nothing", async () => {
      const { emit, take, feed, wakes } = await bench();
      expect(feed.take()).toBeUndefined();
      await emit(1);
      await expect.poll(() => wakes.count).toBe(1);
      await emit(1);
      expect(numbers(await take(2))).toEqual([0, 1]);
      expect(feed.take()).toBeUndefined();
      const before = wakes.count;
      await emit(1);
      await expect.poll(() => wakes.count).toBe(before + 1);
    });

    it("hands out what has no receipt again to who opens it once more", async () => {
      const { outboxes, emit, take, feed, deliver } = await bench();
      await emit(6);
      const taken = await take(4);
      await deliver(taken.filter((_, at) => at !== 2));
      feed.close();
      const again = outboxes.outbox("cloud", LIMITS, () => undefined);
      expect(again.waiting).toBe(3);
      expect(numbers(await take(3, again))).toEqual([2, 4, 5]);
    });
  });
}

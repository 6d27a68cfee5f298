import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ScriptedUplink } from "../doubles/scripted-uplink.ts";
import type { Word } from "../doubles/scripted-uplink.ts";
import { deliver } from "./delivering.ts";

const word: fc.Arbitrary<Word> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Word>({ at: "well" }) },
  {
    weight: 4,
    arbitrary: fc.record({ at: fc.constant("breaks" as const), takes: fc.nat(20), acknowledges: fc.nat(20) }),
  },
  { weight: 1, arbitrary: fc.constant<Word>({ at: "hangs" }) },
  { weight: 1, arbitrary: fc.constant<Word>({ at: "throws" }) },
);

describe("the delivery loop", () => {
  it("delivers everything in order, whatever the other side does (D1, D2, D3)", async () => {
    const story = fc.record({
      script: fc.array(word, { maxLength: 12 }),
      window: fc.constantFrom(1, 3),
      entries: fc.integer({ min: 1, max: 150 }),
      poison: fc.uniqueArray(fc.nat(149), { maxLength: 3 }),
      pauses: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(story, async ({ script, window, entries, poison, pauses }) => {
        const uplink = new ScriptedUplink({ script, window });
        // Refusing a batch is for kinds with one batch outstanding.
        if (window === 1) for (const seq of poison) uplink.poison.add(seq);
        const { delivery, outbox } = deliver(uplink, { timeout: "10ms" });
        outbox.emitMany(entries);
        if (pauses) {
          await new Promise((resolve) => setTimeout(resolve, 3));
          delivery.pause();
          await new Promise((resolve) => setTimeout(resolve, 3));
          delivery.resume();
        }
        await outbox.drained();
        await delivery.close(100);

        const bad = (seq: number): boolean => poison.includes(seq) && outbox.receipts.get(seq)?.verdict === "rejected";
        const firsts = [...new Set(uplink.taken)].filter((seq) => !bad(seq));
        const wanted = Array.from({ length: entries }, (_, seq) => seq).filter((seq) => !bad(seq));
        expect(firsts).toEqual(wanted);
        for (const { seq, verdict } of outbox.order) {
          if (verdict === "rejected") expect(poison).toContain(seq);
          else expect(verdict).toBe("delivered");
        }
        expect(uplink.outstandingMost).toBeLessThanOrEqual(window);
        expect(uplink.closed).toBe(true);
      }),
      { numRuns: 120 },
    );
  });

  it("goes on when a kind never answers and does not hear its abort either", async () => {
    const uplink = new ScriptedUplink({ script: [{ at: "ignores" }] });
    const { delivery, outbox } = deliver(uplink, { timeout: "20ms" });
    outbox.emitMany(3);
    await outbox.until(() => delivery.figures().faults > 0, 3000);
    expect(outbox.receipts.size).toBe(0);
    await outbox.drained();
    expect(delivery.figures()).toMatchObject({ delivered: 3, rejected: 0 });
  });
});

describe("the breaker", () => {
  it("opens after so many faults in a row, and then carries one entry at a time until one gets through", async () => {
    const broken: Word = { at: "breaks", takes: 0, acknowledges: 0 };
    const uplink = new ScriptedUplink({ script: Array.from({ length: 5 }, () => broken) });
    const { delivery, outbox, lines } = deliver(uplink, { breakerAfter: 3 });
    outbox.emitMany(40);
    await outbox.drained();
    expect(uplink.batches).toEqual([16, 16, 16, 1, 1, 1, 2, 4, 8, 16, 9]);
    expect(delivery.figures()).toMatchObject({ faults: 5, breakerOpened: 1, delivered: 40 });
    expect(lines.filter((line) => line.includes("uplink is down"))).toHaveLength(1);
    expect(lines.filter((line) => line.includes("uplink is back"))).toHaveLength(1);
  });
});

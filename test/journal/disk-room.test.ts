/** The journal leaves its disk some room. */
import { describe, expect, it } from "vitest";
import { levelStore } from "../../src/journal/store.ts";
import type { Store } from "../../src/journal/store.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { byTopic, dataFolder, done, draft, fill, MB, nothing, openJournal, Remembering, takeTasks } from "./fixture.ts";

const receiver = new Remembering();

describe("a disk with little room", () => {
  const RESERVE = 8 * MB;

  it("is left some: events are refused, and taken again when there is room (J7)", async () => {
    let freeBytes = RESERVE + MB;
    const journal = await openJournal(await dataFolder(), {
      sizeMaxBytes: 16 * MB,
      sweepMs: 5,
      freeBytes: async () => freeBytes,
    });
    const handler = journal.handlerId("h");
    expect(await fill(journal, handler, 10)).toBe(10);
    freeBytes = RESERVE - 1;
    await expect.poll(() => journal.append(draft("t"), [handler], receiver, 0), { timeout: 5000 }).toBe("refused");
    expect(journal.figures()).toMatchObject({ full: 1, isDiskShort: true, diskFreeBytes: freeBytes });
    // A little more is not room to speak of: it would be gone at once.
    freeBytes = RESERVE + 1;
    await expect.poll(() => journal.figures().diskFreeBytes, { timeout: 5000 }).toBe(freeBytes);
    expect(journal.append(draft("t"), [handler], receiver, 0)).not.toBe("taken");
    freeBytes = 2 * RESERVE;
    await expect.poll(() => journal.append(draft("t"), [handler], receiver, 0), { timeout: 5000 }).toBe("taken");
  });

  it("has settled events go before their time, as many as it needs, and no tasks handed out when it has hardly any", async () => {
    let freeBytes = 4 * RESERVE;
    let before = 0;
    const journal: Journal = await openJournal(await dataFolder(), {
      sizeMaxBytes: 16 * MB,
      retainMs: 86_400_000,
      sweepMs: 5,
      // What is deleted comes back to it.
      freeBytes: async () => freeBytes + (before === 0 ? 0 : before - journal.figures().eventBytes),
    });
    const handler = journal.handlerId("h");
    const feed = journal.tasks(handler, byTopic, nothing);
    expect(await fill(journal, handler, 400)).toBe(400);
    for (const task of await takeTasks(feed, 390)) journal.settle(task, done(), 1);
    await journal.synced();
    before = journal.figures().eventBytes;
    freeBytes = 1.25 * RESERVE - MB;
    await expect.poll(() => before - journal.figures().eventBytes, { timeout: 5000 }).toBeGreaterThanOrEqual(MB);
    await expect.poll(() => journal.figures().diskWantedBytes, { timeout: 5000 }).toBe(0);
    expect(before - journal.figures().eventBytes).toBeLessThan(2 * MB);
    freeBytes = -3 * MB; // All that is settled comes back to it, and it has hardly any yet.
    await expect.poll(() => journal.figures().diskFreeBytes, { timeout: 5000 }).toBeLessThan(2 * MB);
    expect(feed.take()).toBeUndefined();
    freeBytes = 4 * RESERVE;
    expect(await takeTasks(feed, 10)).toHaveLength(10);
    expect(await journal.audit()).toEqual(journal.ledger());
  });

  it("has the store asked for its room again when it could not give it back", async () => {
    const factory = levelStore({ writeBufferBytes: MB, cacheBytes: MB });
    let asked = 0;
    const open = async (path: string): Promise<Store> => {
      const store = await factory.open(path);
      const merge = store.compactRange.bind(store);
      store.compactRange = async (start, end) => {
        if (++asked === 1) throw new Error("no room for that either");
        await merge(start, end);
      };
      return store;
    };
    let freeBytes = 4 * RESERVE;
    const journal = await openJournal(await dataFolder(), {
      sizeMaxBytes: 16 * MB,
      sweepMs: 5,
      store: { ...factory, open },
      freeBytes: async () => freeBytes,
    });
    const handler = journal.handlerId("h");
    const feed = journal.tasks(handler, byTopic, nothing);
    await fill(journal, handler, 20);
    for (const task of await takeTasks(feed, 20)) journal.settle(task, done(), 1);
    await journal.synced();
    freeBytes = MB;
    // All that is settled goes at once, so nothing that is deleted later asks for it.
    await expect.poll(() => asked, { timeout: 5000 }).toBeGreaterThan(1);
    expect(journal.figures().eventBytes).toBe(0);
  });
});

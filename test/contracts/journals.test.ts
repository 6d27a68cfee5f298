import { MemoryJournal } from "../doubles/memory-journal.ts";
import { dataFolder, openJournal } from "../journal/fixture.ts";
import { journalContract } from "./journal.ts";

journalContract("on disk", async () => {
  const journal = await openJournal(await dataFolder());
  return {
    journal,
    handlers: [journal.handlerId("first"), journal.handlerId("second")],
    synced: () => journal.synced(),
  };
});

journalContract("in memory", () => {
  const journal = new MemoryJournal();
  const synced = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return Promise.resolve({ journal, handlers: [1, 2], synced });
});

import type { Outboxes } from "../../src/uplinks/outbox.ts";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";
import {
  byTopic,
  dataFolder,
  done,
  draft,
  nothing,
  openJournal,
  output,
  Remembering,
  takeTasks,
} from "../journal/fixture.ts";
import { outboxContract } from "./outbox.ts";

outboxContract("on disk", async () => {
  const journal = await openJournal(await dataFolder());
  const handler = journal.handlerId("h");
  const tasks = journal.tasks(handler, byTopic, nothing);
  // As the gateway wires them (gateway/outlets.ts).
  const outboxes: Outboxes = {
    outbox: (name, limits, wake) => journal.outbox(journal.uplinkId(name), limits, wake),
    received: (name, receipts) => journal.received(journal.uplinkId(name), receipts),
  };
  let emitted = 0;
  return {
    outboxes,
    synced: () => journal.synced(),
    emit: async (count) => {
      for (let n = 0; n < count; n++) journal.append(draft("t"), [handler], new Remembering(), 0);
      await journal.synced();
      const cloud = journal.uplinkId("cloud");
      for (const task of await takeTasks(tasks, count)) {
        journal.settle(task, done([output(cloud, String(emitted++))]), 1);
        // A page each, so that there is more than memory may hold.
        await journal.synced();
      }
    },
  };
});

outboxContract("in memory", () => {
  const outboxes = new MemoryOutbox();
  const synced = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return Promise.resolve({
    outboxes,
    synced,
    emit: async (count) => {
      for (let n = 0; n < count; n++) outboxes.emit({ data: String(outboxes.entries.length) });
      await synced();
    },
  });
});

/** Data folders of other versions of the program: UPGRADING.md. */
import { join } from "node:path";
import { Level } from "level";
import { expect, it } from "vitest";
import { eventRecord } from "../../src/event.ts";
import { FORMAT } from "../../src/journal/header.ts";
import { Journal } from "../../src/journal/journal.ts";
import { keys } from "../../src/journal/keys.ts";
import { seal, SEAL_BYTES } from "../../src/journal/seal.ts";
import { byTopic, dataFolder, draft, nothing, openJournal, optionsFor, Remembering, takeTasks } from "./fixture.ts";

/** The rows of the journal's own that bear its format; with a `format`, as a program with that one would have written them. */
async function formatsOf(path: string, format?: number): Promise<Set<number>> {
  const store = new Level<Buffer, Buffer>(join(path, "journal"), { keyEncoding: "buffer", valueEncoding: "buffer" });
  const found = new Set<number>();
  for (const range of [keys.commits(0), keys.checkpoints(0), keys.checkpoints(1)]) {
    for (const [key, value] of await store.iterator(range).all()) {
      if (keys.commitNumber(key) === -1 && key[1] !== 0) continue; // Of a consumer.
      found.add(value[SEAL_BYTES] as number);
      if (format === undefined) continue;
      value[SEAL_BYTES] = format;
      await store.put(key, seal(key, value));
    }
  }
  await store.close();
  return found;
}

async function written(): Promise<string> {
  const path = await dataFolder();
  const journal = await openJournal(path);
  const receiver = new Remembering();
  journal.append(draft("a", "1"), [journal.handlerId("h")], receiver, 0);
  await journal.close();
  return path;
}

it.each([1, 2])("a folder of format %i is read, and is of today's format with the next write", async (format) => {
  const path = await written();
  expect(await formatsOf(path, format)).toEqual(new Set([FORMAT]));
  const journal = await openJournal(path);
  const handler = journal.handlerId("h");
  const [task] = await takeTasks(journal.tasks(handler, byTopic, nothing), 1);
  expect(task === undefined ? "" : eventRecord.payload(task.page, task.at).toString()).toBe("1");
  journal.append(draft("a", "2"), [handler], new Remembering(), 0);
  await journal.close();
  expect(await formatsOf(path)).toContain(FORMAT);
});

it("a folder of a newer format is refused, and its rows stay what they were", async () => {
  const path = await written();
  await formatsOf(path, FORMAT + 1);
  await expect(Journal.open(optionsFor(path))).rejects.toMatchObject({ code: "JOURNAL_FORMAT" });
  expect(await formatsOf(path)).toEqual(new Set([FORMAT + 1]));
});

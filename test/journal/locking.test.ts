/**
 * One gateway at a time, and none where the folder cannot be used.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Journal } from "../../src/journal/journal.ts";
import { dataFolder, openJournal, optionsFor } from "./fixture.ts";

it("a data folder that another journal has open is refused, by name", async () => {
  const path = await dataFolder();
  const journal = await openJournal(path);
  const second = Journal.open(optionsFor(path));
  await expect(second).rejects.toMatchObject({ code: "JOURNAL_LOCKED", where: path });
  await journal.close();
  await openJournal(path);
});

it("a mark that cannot be opened is a fault, and lets the folder go", async () => {
  const path = await dataFolder();
  const mark = join(path, "journal.mark");
  await mkdir(mark);
  await expect(Journal.open(optionsFor(path))).rejects.toMatchObject({ code: "JOURNAL_UNOPENABLE", where: mark });
  await rm(mark, { recursive: true });
  await openJournal(path);
});

/**
 * One gateway at a time.
 */
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

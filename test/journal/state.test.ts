/**
 * State: what was staged counts at once, what is on disk comes back, and the cache forgets only what is on disk.
 */
import { expect, it } from "vitest";
import type { Journal } from "../../src/journal/journal.ts";
import { byTopic, dataFolder, done, draft, nothing, openJournal, Remembering, takeTasks } from "./fixture.ts";

async function setStates(journal: Journal, handler: number, states: ReadonlyMap<string, string>): Promise<void> {
  const feed = journal.tasks(handler, byTopic, nothing);
  for (const key of states.keys()) journal.append(draft(key), [handler], new Remembering(), 0);
  await journal.synced();
  for (const task of await takeTasks(feed, states.size)) journal.settle(task, done([], states.get(task.key)), 1);
  feed.close();
}

it("state is read at once when it is staged or cached, and from disk when it is not", async () => {
  const path = await dataFolder();
  const first = await openJournal(path);
  const handler = first.handlerId("h");
  expect(first.state(handler, ["a", "b"])).toEqual([undefined, undefined]);
  await setStates(
    first,
    handler,
    new Map([
      ["a", '{"n":1}'],
      ["b", '{"é":2}'],
    ]),
  );
  expect(first.state(handler, ["b", "a"])).toEqual(['{"é":2}', '{"n":1}']);
  await first.close();

  const second = await openJournal(path);
  const read = second.state(handler, ["a", "b", "c"]);
  expect(read).toBeInstanceOf(Promise);
  expect(await read).toEqual(['{"n":1}', '{"é":2}', undefined]);
  expect(second.state(handler, ["c", "a"])).toEqual([undefined, '{"n":1}']);
  await setStates(second, handler, new Map([["a", ""]]));
  expect(second.state(handler, ["a"])).toEqual([undefined]);
  await second.close();
  const third = await openJournal(path);
  expect(await third.state(handler, ["a", "b"])).toEqual([undefined, '{"é":2}']);
});

it("a cache that is too small for all of it still gives the right answers", async () => {
  const journal = await openJournal(await dataFolder(), { stateCacheBytesMax: 4000 });
  const handler = journal.handlerId("h");
  const states = new Map(
    Array.from({ length: 200 }, (_, i) => [`key${i}`, JSON.stringify({ i, pad: "x".repeat(50) })]),
  );
  for (let round = 0; round < 3; round++) {
    for (const [key, value] of states) states.set(key, value.replace(/"pad":"x+"/, `"pad":"${"x".repeat(round + 1)}"`));
    await setStates(journal, handler, states);
    const keys = [...states.keys()];
    expect(await journal.state(handler, keys)).toEqual([...states.values()]);
    await journal.synced();
    expect(await journal.state(handler, keys)).toEqual([...states.values()]);
  }
});

/**
 * QoS 2: a message enters the journal once, whatever the device repeats.
 */
import { expect, it } from "vitest";
import { dataFolder, draft, openJournal, Remembering } from "./fixture.ts";

it("a QoS 2 message that comes again is acknowledged again and not stored again, also after a restart (G1)", async () => {
  const path = await dataFolder();
  const first = await openJournal(path);
  const handler = first.handlerId("h");
  const receiver = new Remembering();
  const event = draft("t", "once", { qos: 2, device: "d1" });
  expect(first.append(event, [handler], receiver, 1, 7)).toBe("taken");
  expect(first.append(event, [handler], receiver, 2, 7)).toBe("taken");
  await first.synced();
  expect(receiver.tags).toEqual([1, 2]);
  expect(first.append({ ...event, device: "d2" }, [handler], receiver, 3, 7)).toBe("taken");
  await first.close();

  const second = await openJournal(path);
  expect([...second.claimed("d1")]).toEqual([7]);
  expect(second.append(event, [handler], receiver, 4, 7)).toBe("taken");
  await second.synced();
  expect(second.ledger().events.accepted).toBe(2);
  second.release("d1", 7, receiver, 5);
  second.release("d1", 7, receiver, 6);
  await second.synced();
  expect(receiver.tags).toEqual([1, 2, 3, 4, 5, 6]);
  expect(second.append(event, [handler], receiver, 7, 7)).toBe("taken");
  expect(second.append(event, [], receiver, 8, 9)).toBe("taken");
  await second.synced();
  expect([...second.claimed("d1")]).toEqual([7, 9]);
  expect(second.ledger().events.accepted).toBe(3);
  second.forget("d1");
  await second.close();
  const third = await openJournal(path);
  expect([...third.claimed("d1")]).toEqual([]);
  expect([...third.claimed("d2")]).toEqual([7]);
});

it("claims beyond claimsMax are refused", async () => {
  const journal = await openJournal(await dataFolder(), { claimsMax: 2 });
  const handler = journal.handlerId("h");
  const receiver = new Remembering();
  expect(journal.append(draft("t"), [handler], receiver, 1, 1)).toBe("taken");
  expect(journal.append(draft("t"), [handler], receiver, 2, 2)).toBe("taken");
  expect(journal.append(draft("t"), [handler], receiver, 3, 3)).toBe("refused");
  expect(journal.append(draft("t"), [handler], receiver, 4)).toBe("taken");
});

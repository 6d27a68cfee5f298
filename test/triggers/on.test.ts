import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { lineageOf, writeEventRecord } from "../../src/event.ts";
import type { EventDraft } from "../../src/event.ts";
import type { Task } from "../../src/task.ts";
import { ENTRIES_MAX, FILES_MAX, Folders } from "../../src/triggers/folders.ts";
import type { FileChange } from "../../src/triggers/folders.ts";
import { Notices, NOTICES_BURST, NOTICES_PER_SECOND } from "../../src/triggers/notices.ts";
import { OnTrigger } from "../../src/triggers/on.ts";
import type { OnConfig } from "../../src/triggers/on.ts";
import type { TriggerConfig } from "../../src/triggers/triggers.ts";
import { triggerContract } from "../contracts/trigger.ts";
import { SetClock } from "../journal/fixture.ts";

const wants = (...on: OnConfig[]): TriggerConfig => ({ topics: [], key: undefined, name: "h", on });

triggerContract("on", {
  make: () => new OnTrigger(),
  asks: wants({ what: "device.connected" }, { what: "device.connected" }),
  covered: "$on/device.connected/press/7",
  elsewhere: "$on/device.disconnected/press/7",
  refused: wants({ what: "device.connected" }, { what: "device.exploded" }),
});

interface Told {
  readonly topic: string;
  readonly device: string;
  readonly hops: number;
  readonly data: unknown;
}

function open(...on: OnConfig[]): { notices: Notices; clock: SetClock; told: Told[]; room: { has: boolean } } {
  const trigger = new OnTrigger();
  trigger.bind(3, wants(...on));
  const clock = new SetClock();
  const told: Told[] = [];
  const room = { has: true };
  const accept = ({ topic, device, hops, payload }: EventDraft, wanted: readonly number[]): boolean => {
    if (!room.has) return false;
    if (wanted.join() !== "3") throw new Error("it is for somebody else");
    told.push({ topic, device, hops, data: JSON.parse(payload.toString()) });
    return true;
  };
  return { notices: new Notices({ on: trigger, accept, hopsMax: 2, clock }), clock, told, room };
}

describe("a notice", () => {
  it("is an event for who waits for it, with what it is about and the device that caused it", () => {
    const { notices, told } = open({ what: "device.connected" });
    notices.tell("device.connected", "press-7", { device: "press-7" }, "press-7");
    notices.tell("device.disconnected", "press-7", { device: "press-7" }, "press-7");
    expect(told).toEqual([
      { topic: "$on/device.connected/press-7", device: "press-7", hops: 0, data: { device: "press-7" } },
    ]);
  });

  it("is told so many times at once and a second; what is more is counted, in the next one too", () => {
    const { notices, told, clock } = open({ what: "device.connected" });
    for (let n = 0; n < NOTICES_BURST + 1000; n++) notices.tell("device.connected", "d", { device: "d" }, "d");
    expect(told.length).toBe(NOTICES_BURST);
    expect(notices.figures()).toEqual({ notices: NOTICES_BURST, suppressed: { rate: 1000, hops: 0, room: 0 } });
    clock.pass(1000);
    for (let n = 0; n < 1000; n++) notices.tell("device.connected", "d", { device: "d" }, "d");
    expect(told.length).toBe(NOTICES_BURST + NOTICES_PER_SECOND);
    expect(told[NOTICES_BURST]?.data).toEqual({ device: "d", suppressed: 1000 });
    expect(told.at(-1)?.data).toEqual({ device: "d" });
  });

  it("for which the journal has no room is counted", () => {
    const { notices, told, room } = open({ what: "gateway.started" });
    room.has = false;
    notices.tell("gateway.started", "", { version: "1" });
    room.has = true;
    notices.tell("gateway.started", "", { version: "1" });
    expect(notices.figures().suppressed.room).toBe(1);
    expect(told.map(({ data }) => data)).toEqual([{ version: "1", suppressed: 1 }]);
  });

  it("of a failure is a hop of the event that failed, and ends where chains end", () => {
    const { notices, told } = open({ what: "handler.failed" });
    notices.failed("h", taskAfter(1), { code: "X", message: "why" }, "d7");
    notices.failed("h", taskAfter(2), { code: "X", message: "why" }, "d7");
    const data = { handler: "h", code: "X", message: "why", key: "k", topic: "t" };
    expect(told).toEqual([{ topic: "$on/handler.failed/h", device: "d", hops: 2, data }]);
    expect(notices.figures().suppressed.hops).toBe(1);
  });
});

it("a failure of an event that failed before, was redriven and failed again is another event", () => {
  const trigger = new OnTrigger();
  trigger.bind(3, wants({ what: "handler.failed" }));
  const lineages: (string | undefined)[] = [];
  const accept = ({ lineage }: EventDraft): boolean => lineages.push(lineage) > 0;
  const notices = new Notices({ on: trigger, accept, hopsMax: 2, clock: new SetClock() });
  for (const letter of ["d7", "d8", "d8"]) notices.failed("h", taskAfter(1), { code: "X", message: "why" }, letter);
  expect(lineages).toHaveLength(3);
  expect(lineages[1]).not.toBe(lineages[0]);
  expect(lineages[2]).toBe(lineages[1]);
});

function taskAfter(hops: number): Task {
  let lineage = "";
  for (let hop = 0; hop < hops; hop++) lineage = lineageOf(7, lineage, 1, 0);
  const page = Buffer.alloc(512);
  const event = { kind: "topic", topic: "t", device: "d", payload: Buffer.alloc(0), qos: 1, retain: false } as const;
  writeEventRecord(page, 0, { ...event, hops, lineage, timeMs: 1 }, [1]);
  return { handler: 2, seq: 7, page, at: 0, key: "k", attempt: 0, parked: false };
}

describe("a watched folder", () => {
  async function watched(): Promise<{ folder: string; folders: Folders; changes: FileChange[] }> {
    const folder = await mkdtemp(join(tmpdir(), "sluice-watched-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const changes: FileChange[] = [];
    const folders = new Folders((change) => changes.push(change));
    onTestFinished(() => folders.close());
    return { folder, folders, changes };
  }

  it("tells of files that come, change and go, and not of what was there, nor of folders in it", async () => {
    const { folder, folders, changes } = await watched();
    await writeFile(join(folder, "old.csv"), "1");
    folders.set(new Set([folder]));
    await folders.look();
    await mkdir(join(folder, "deeper"));
    await writeFile(join(folder, "new.csv"), "12");
    await writeFile(join(folder, "old.csv"), "123");
    await folders.look();
    await unlink(join(folder, "old.csv"));
    await folders.look();
    await folders.look();
    expect(changes).toEqual([
      { change: "added", path: join(folder, "new.csv"), bytes: 2 },
      { change: "changed", path: join(folder, "old.csv"), bytes: 3 },
      { change: "removed", path: join(folder, "old.csv"), bytes: 0 },
    ]);
  });

  it("that cannot be read for a while has lost nothing, nor has a file that cannot be asked", async () => {
    const { folder, folders, changes } = await watched();
    const [drive, away] = [join(folder, "drive"), join(folder, "away")];
    await mkdir(drive);
    await writeFile(join(drive, "a.csv"), "1");
    folders.set(new Set([drive]));
    await folders.look();
    await rename(drive, away);
    await symlink(drive, drive); // It leads to itself: there, and not to be read.
    await folders.look();
    await unlink(drive);
    await rename(away, drive);
    await rename(join(drive, "a.csv"), away);
    await symlink("a.csv", join(drive, "a.csv"));
    await folders.look();
    await rename(away, join(drive, "a.csv"));
    await folders.look();
    expect(changes).toEqual([]);
    await unlink(join(drive, "a.csv"));
    await folders.look();
    expect(changes.map(({ change }) => change)).toEqual(["removed"]);
  });

  it("that comes later is watched from then on, and one with too many files as far as the limit", async () => {
    const { folder, folders, changes } = await watched();
    const later = join(folder, "later");
    folders.set(new Set([later]));
    await folders.look();
    await mkdir(later);
    await Promise.all(
      Array.from({ length: FILES_MAX + 1 }, (_, n) => writeFile(join(later, String(n).padStart(5, "0")), "")),
    );
    await folders.look();
    expect(changes.length).toBe(FILES_MAX);
    // What is pushed out of sight, or comes back into it, has neither gone nor come.
    await writeFile(join(later, "00000-first"), "");
    await folders.look();
    await unlink(join(later, "00000-first"));
    await folders.look();
    expect(changes.slice(FILES_MAX)).toEqual([
      { change: "added", path: join(later, "00000-first"), bytes: 0 },
      { change: "removed", path: join(later, "00000-first"), bytes: 0 },
    ]);
  });

  it("with so many entries that their names alone would take long is not looked at, until it has fewer", async () => {
    const { folder, folders, changes } = await watched();
    const [full, later] = [join(folder, "full"), join(folder, "later")];
    await mkdir(full);
    for (let n = 0; n <= ENTRIES_MAX; n += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, i) => writeFile(join(full, `${n + i}`), "")));
    }
    folders.set(new Set([later]));
    await folders.look();
    // All at once: it is looked at every two seconds anyway.
    await rename(full, later);
    await folders.look();
    expect(changes).toEqual([]);
    for (let n = 0; n < 500; n++) await unlink(join(later, `${n}`));
    await folders.look();
    expect(changes.length).toBe(FILES_MAX);
  });

  it("that takes long to look at is looked at once more afterwards, however often that was asked for", async () => {
    const { folder, folders } = await watched();
    folders.set(new Set([folder]));
    const looks = new Set(Array.from({ length: 100 }, () => folders.look()));
    expect(looks.size).toBe(1);
    await Promise.all(looks);
  });

  it("tells only the handlers that wait for that folder", () => {
    const trigger = new OnTrigger();
    trigger.bind(1, wants({ what: "file.changed", folder: "/in" }));
    trigger.bind(2, wants({ what: "file.changed", folder: "/inbox" }));
    expect(trigger.match("$on/file.changed//inbox/a.csv")).toEqual([2]);
  });
});

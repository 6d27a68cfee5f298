/** What a runner's process has and has not, as the kernel tells it. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Level } from "level";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSandbox } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
let folderOfStore: string;
let store: Level;
beforeAll(async () => {
  folderOfStore = mkdtempSync(join(tmpdir(), "sluice-process-"));
  store = new Level(join(folderOfStore, "store"));
  await store.open(); // As in a gateway, where the journal is open before a runner is started.
  opened = await openSandbox();
});
afterAll(async () => {
  await opened.sandbox.close();
  await store.close();
  rmSync(folderOfStore, { recursive: true });
});

const proc = (name: string): string => readFileSync(`/proc/${opened.sandbox.pids[0]}/${name}`, "utf8");
/** Fields of /proc/<pid>/stat from the state on, as proc(5) numbers them from 3. */
const stat = (field: number): number =>
  Number(
    proc("stat")
      .replace(/^.*\) /s, "")
      .split(" ")[field - 3],
  );

describe("a runner's process", () => {
  it("has no environment, and no folder of ours under its feet", () => {
    expect(proc("environ")).toBe("");
    expect(readlinkSync(`/proc/${opened.sandbox.pids[0]}/cwd`)).toBe("/");
  });

  it("is a session and process group of its own, so that signals of a terminal pass it by", () => {
    expect([stat(5), stat(6)]).toEqual([opened.sandbox.pids[0], opened.sandbox.pids[0]]);
  });

  it("is the first to wait for the processor, and the first to go when memory runs out", () => {
    expect(stat(19)).toBeGreaterThanOrEqual(5);
    expect(Number(proc("oom_score_adj"))).toBeGreaterThanOrEqual(800);
  });

  it("has open what Node itself needs and the channel, and no file, though LevelDB hands its own on", () => {
    const folder = `/proc/${opened.sandbox.pids[0]}/fd`;
    const open = readdirSync(folder).flatMap((fd) => {
      try {
        return [readlinkSync(`${folder}/${fd}`)];
      } catch {
        return []; // It was closed meanwhile.
      }
    });
    expect(open.length).toBeGreaterThan(3);
    expect(open.filter((target) => !/^(socket:|pipe:|anon_inode:|\/dev\/null$)/.test(target))).toEqual([]);
  });
});

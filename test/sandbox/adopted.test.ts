/** Versions that go live without being loaded, as those do at a start that ran before it. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { CgroupTree } from "../doubles/cgroup-tree.ts";
import { bundle, loadAll, openSandbox, run, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

const MB = 1024 * 1024;

let opened: Opened;
beforeAll(async () => (opened = await openSandbox({ runners: 1 })));
afterAll(() => opened.sandbox.close());

/** When it is later than that. */
async function laterThan(timeMs: number): Promise<number> {
  while (Date.now() <= timeMs) await new Promise((resolve) => setTimeout(resolve, 1));
  return Date.now();
}

it("a version that is adopted is loaded with its first event, and not before", async () => {
  const { sandbox } = opened;
  // Its module says when it was evaluated.
  const code = "const atMs = Date.now(); module.exports.default = () => atMs;";
  const adopted = bundle("", { code });
  await sandbox.adopt(adopted);
  await loadAll(sandbox, bundle("return 1"));
  const askedMs = await laterThan(Date.now());
  const { results } = await run(sandbox, adopted.id, [task(adopted.id)]);
  expect(Number(String(shortly(results)))).toBeGreaterThanOrEqual(askedMs);
});

it("it takes over from the one that was live, also when that has run", async () => {
  const { sandbox } = opened;
  const before = bundle("return 1");
  await loadAll(sandbox, before);
  await run(sandbox, before.id, [task(before.id)]);
  await sandbox.adopt({ ...before, version: 2, code: "module.exports.default = () => 2;" });
  const { version, results } = await run(sandbox, before.id, [task(before.id)]);
  expect([version, shortly(results)]).toEqual([2, [["2"]]]);
});

it("warming loads it, and says why one cannot be loaded any more; its events fail with the same", async () => {
  const { sandbox } = opened;
  const [sound, broken] = [bundle("return 1"), bundle("", { code: "throw new Error('no more');" })];
  await sandbox.adopt(sound);
  await sandbox.adopt(broken);
  expect(await sandbox.warm(0, sound.id)).toMatchObject({ at: "ready" });
  expect(await sandbox.warm(0, broken.id)).toMatchObject({ at: "failed", failure: { code: "HANDLER_LOAD_THREW" } });
  const { results } = await run(sandbox, broken.id, [task(broken.id)]);
  expect(results).toMatchObject([{ at: "failed", failure: { code: "HANDLER_LOAD_THREW" } }]);
  expect(await sandbox.warm(0, bundle("").id)).toBeUndefined();
});

it("its runner may have the memory that it takes, by the kernel's limit as well (M2)", async () => {
  const cgroups = new CgroupTree(1, "/sluice");
  const { sandbox } = await openSandbox({ runners: 1, cgroup: "auto" }, { cgroups });
  onTestFinished(() => sandbox.close());
  const group = (): string => cgroups.groupOf(sandbox.pids[0] as number) ?? "";
  const limit = (): number => Number(cgroups.files.get(join(group(), "memory.limit_in_bytes")));
  const before = limit();
  expect(before).toBeGreaterThan(0);
  await sandbox.adopt(bundle("return 1", { settings: { memoryBytes: 1024 * MB } }));
  expect(limit()).toBeGreaterThan(Math.max(before, 1024 * MB));
});

/** Which groups are made, where, and what they are told: on a tree of our own (doubles/cgroup-tree.ts). */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLog } from "../../src/log.ts";
import { MemoryGroups } from "../../src/sandbox/cgroup.ts";
import type { MemoryGroup } from "../../src/sandbox/cgroup.ts";
import { CgroupTree } from "../doubles/cgroup-tree.ts";

const MB = 1024 * 1024;
/** Beyond what the supervisor allows. */
const SLACK = 32 * MB;
const RUNNER = 4_000_001;
const OTHER = 4_000_002;
const log = createLog({ level: "silent", pretty: false });

const LIMIT = { 1: "memory.limit_in_bytes", 2: "memory.max" } as const;
const OURS = /^sluice-\d/;

/** A gateway alone in a group that was delegated to it. */
function delegated(version: 1 | 2): CgroupTree {
  const tree = new CgroupTree(version, "/system.slice/sluice.service");
  tree.uid = 1000;
  return tree;
}

function opened(tree: CgroupTree): MemoryGroups {
  const groups = MemoryGroups.open(log, tree);
  if (groups === undefined) throw new Error("there are no groups");
  groups.allow(300 * MB);
  return groups;
}

/** The group that it is in. */
async function hold(groups: MemoryGroups, pid: number): Promise<MemoryGroup> {
  const held = groups.hold(pid);
  if (held === undefined) throw new Error("there is no group");
  await held.entered;
  return held;
}

const groupsIn = (tree: CgroupTree, path = join(tree.point, tree.own)): string[] =>
  tree
    .list(path)
    .filter((name) => OURS.test(name))
    .map((name) => join(path, name));

const limitOf = (tree: CgroupTree, group: string | undefined): number =>
  Number(tree.files.get(join(group ?? "", LIMIT[tree.version])));

describe.each([1, 2] as const)("with cgroups of version %i, a runner's group", (version) => {
  it("is below the gateway's own, has the runner in it, and its limit with some slack (M1)", async () => {
    const tree = delegated(version);
    const groups = opened(tree);
    const held = await hold(groups, RUNNER);
    expect(groupsIn(tree)).toEqual([tree.groupOf(RUNNER)]);
    expect(limitOf(tree, tree.groupOf(RUNNER))).toBe(300 * MB + SLACK);
    expect(groups.isHolding).toBe(true);
    expect(held.hasKilled()).toBe(false);
  });

  it("cannot swap its way past the limit, and does without that where the kernel knows no swap", async () => {
    const name = version === 1 ? "memory.swappiness" : "memory.swap.max";
    const tree = delegated(version);
    await hold(opened(tree), RUNNER);
    expect(tree.files.get(join(tree.groupOf(RUNNER) ?? "", name))).toBe("0");
    const without = delegated(version);
    without.missing.add(name);
    expect(await hold(opened(without), RUNNER)).toBeDefined();
  });

  it("may have more at once when more is allowed, and less only for the next runner (M2)", async () => {
    const tree = delegated(version);
    const groups = opened(tree);
    await hold(groups, RUNNER);
    groups.allow(400 * MB);
    expect(limitOf(tree, tree.groupOf(RUNNER))).toBe(400 * MB + SLACK);
    groups.allow(310 * MB);
    await hold(groups, OTHER);
    expect(limitOf(tree, tree.groupOf(RUNNER))).toBe(400 * MB + SLACK);
    expect(limitOf(tree, tree.groupOf(OTHER))).toBe(310 * MB + SLACK);
    groups.allow(350 * MB);
    expect(limitOf(tree, tree.groupOf(OTHER))).toBe(350 * MB + SLACK);
  });

  it("tells that the kernel has killed in it", async () => {
    const tree = delegated(version);
    const groups = opened(tree);
    const [held, other] = [await hold(groups, RUNNER), await hold(groups, OTHER)];
    tree.kill(tree.groupOf(RUNNER) as string);
    expect([held.hasKilled(), other.hasKilled()]).toEqual([true, false]);
  });

  it("goes with its runner, or as soon as the kernel lets it (M4)", async () => {
    const tree = delegated(version);
    const groups = opened(tree);
    const held = await hold(groups, RUNNER);
    tree.leave(RUNNER);
    held.remove();
    expect(groupsIn(tree)).toEqual([]);
    const late = await hold(groups, RUNNER);
    late.remove();
    expect(groupsIn(tree)).toHaveLength(1);
    tree.leave(RUNNER);
    await hold(groups, OTHER);
    expect(groupsIn(tree)).toEqual([tree.groupOf(OTHER)]);
    tree.leave(OTHER);
    groups.close();
    expect(groupsIn(tree)).toEqual([]);
  });

  it("that the kernel does not let go is tried once a runner (M3, M4)", async () => {
    const tree = delegated(version);
    const groups = opened(tree);
    const held = await hold(groups, RUNNER);
    held.remove();
    let tries = 0;
    const rmdir = tree.rmdir.bind(tree);
    tree.rmdir = (path) => {
      if (++tries > 10) tree.leave(RUNNER); // So that a loop ends.
      rmdir(path);
    };
    await hold(groups, OTHER);
    expect(tries).toBe(1);
  });

  it("goes with the next gateway when its own was killed, unless a process is in it; those of others stay (M4)", () => {
    const tree = delegated(version);
    const path = join(tree.point, tree.own);
    const gone = spawnSync("true").pid;
    const parent = process.ppid;
    if (version === 2) {
      tree.mkdir(join(path, "sluice-gateway"));
      tree.enter(join(path, "sluice-gateway"), process.pid);
      tree.write(join(path, "cgroup.subtree_control"), "+memory");
    }
    for (const name of [
      `sluice-${gone}-1`,
      `sluice-${gone}-2`,
      `sluice-${process.pid}-0`,
      `sluice-${parent}-1`,
      "mine",
    ])
      tree.mkdir(join(path, name));
    tree.enter(join(path, `sluice-${gone}-2`), OTHER);
    opened(tree);
    expect(tree.list(path).filter((name) => name !== "sluice-gateway")).toEqual([
      `sluice-${gone}-2`,
      `sluice-${parent}-1`,
      "mine",
    ]);
  });

  it("is left out where the tree cannot be written, and nothing fails (M3)", () => {
    const tree = delegated(version);
    tree.isWritable = false;
    expect(MemoryGroups.open(log, tree)).toBeUndefined();
    expect(tree.groupOf(process.pid)).toBe(join(tree.point, tree.own));
  });

  it("is left out for a runner that cannot be put into one, which shows until one can (M3)", async () => {
    const tree = delegated(version);
    const groups = opened(tree);
    const late = groups.hold(RUNNER);
    tree.isWritable = false;
    await late?.entered;
    expect([tree.groupOf(RUNNER), groups.isHolding]).toEqual([undefined, false]);
    expect(groups.hold(OTHER)).toBeUndefined();
    expect(groups.isHolding).toBe(false);
    tree.isWritable = true;
    await hold(groups, OTHER);
    expect(groups.isHolding).toBe(true);
  });

  it("that goes before its process is in it is nothing to tell", async () => {
    const tree = delegated(version);
    const groups = opened(tree);
    const held = groups.hold(RUNNER);
    held?.remove();
    await held?.entered;
    expect([groupsIn(tree), groups.isHolding]).toEqual([[], true]);
  });

  it("is found where a part of the tree is mounted, as in a container, and not where it is another part", async () => {
    const tree = new CgroupTree(version, "/docker/0123");
    tree.root = "/docker/0123";
    tree.enter(tree.point, process.pid);
    for (const folder of tree.folders) if (folder !== tree.point) tree.folders.delete(folder);
    await hold(opened(tree), RUNNER);
    expect(tree.groupOf(RUNNER)).toMatch(new RegExp(`^${tree.point}/sluice-`));
    tree.root = "/docker/4567";
    expect(MemoryGroups.open(log, tree)).toBeUndefined();
  });
});

describe("with cgroups of version 2, a gateway", () => {
  it("that is alone in its group moves into a leaf of it", () => {
    const tree = delegated(2);
    opened(tree);
    expect(tree.groupOf(process.pid)).toBe("/sys/fs/cgroup/system.slice/sluice.service/sluice-gateway");
    expect(tree.read("/sys/fs/cgroup/system.slice/sluice.service/cgroup.subtree_control")).toContain("memory");
  });

  it("that is not alone in it moves nobody and nothing", () => {
    const tree = delegated(2);
    tree.enter(join(tree.point, tree.own), OTHER);
    expect(MemoryGroups.open(log, tree)).toBeUndefined();
    expect(tree.groupOf(process.pid)).toBe(join(tree.point, tree.own));
    expect(tree.list(join(tree.point, tree.own))).toEqual([]);
  });

  it.each([
    ["sluice-gateway", "memory"],
    ["sluice-gateway", ""],
    ["main", ""],
  ])(
    "that was started in a leaf '%s' (DelegateSubgroup=) uses the group above, which hands on '%s'",
    async (leaf, on) => {
      const unit = "/sys/fs/cgroup/system.slice/sluice.service";
      const tree = new CgroupTree(2, `/system.slice/sluice.service/${leaf}`);
      tree.files.set(join(unit, "cgroup.subtree_control"), on);
      await hold(opened(tree), RUNNER);
      expect(groupsIn(tree, unit)).toEqual([tree.groupOf(RUNNER)]);
      expect(tree.groupOf(process.pid)).toBe(join(unit, leaf));
    },
  );

  it("leaves the group of a unit alone that was not delegated (M5)", () => {
    for (const [own, uid] of [
      ["/system.slice/sluice.service", 0],
      ["/user.slice/user-0.slice/session-3.scope", 0],
      ["/user.slice/user-1000.slice/user@1000.service/app.slice/sluice.service", 1000],
    ] as const) {
      const tree = new CgroupTree(2, own);
      tree.uid = uid;
      const before = [...tree.folders];
      expect(MemoryGroups.open(log, tree)).toBeUndefined();
      expect([...tree.folders]).toEqual(before);
      expect(tree.groupOf(process.pid)).toBe(join(tree.point, own));
    }
  });

  it("does without where nobody hands the memory controller on to it", () => {
    const tree = delegated(2);
    tree.files.set("/sys/fs/cgroup/system.slice/cgroup.subtree_control", "cpu");
    expect(MemoryGroups.open(log, tree)).toBeUndefined();
    expect(tree.groupOf(process.pid)).toBe(join(tree.point, tree.own));
  });
});

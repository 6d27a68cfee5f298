/** Where in the kernel's tree of cgroups the gateway may make groups, and what that takes: see cgroup.ts. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Where a gateway goes that has to leave its group to others. */
const LEAF = "sluice-gateway";
const REMEDY = "it takes Delegate=memory, and User= or DelegateSubgroup= (docs/security-model.md)";

/** What is needed of the kernel's files; tests have a tree of their own. */
export interface CgroupFiles {
  readonly read: (path: string) => string;
  readonly write: (path: string, text: string) => void;
  /** On another thread: moving a process waits until no processor looks at it, which takes up to 50 ms. */
  readonly writeApart: (path: string, text: string) => Promise<void>;
  readonly mkdir: (path: string) => void;
  readonly rmdir: (path: string) => void;
  readonly list: (path: string) => string[];
  /** Who owns it: a user's number. */
  readonly owner: (path: string) => number;
}

export const kernel: CgroupFiles = {
  read: (path) => readFileSync(path, "utf8"),
  write: (path, text) => writeFileSync(path, text),
  writeApart: (path, text) => writeFile(path, text),
  mkdir: (path) => mkdirSync(path),
  rmdir: (path) => rmdirSync(path),
  list: (path) => readdirSync(path),
  owner: (path) => statSync(path).uid,
};

/** Where groups are made. */
export interface Place {
  readonly version: 1 | 2;
  readonly path: string;
}

/** Throws where no groups can be made. */
export function openPlace(files: CgroupFiles): Place {
  const place = placeOf(files);
  if (place.version === 2) handOn(files, place.path);
  return place;
}

/** The gateway's own group in the hierarchy that has the memory controller. Throws where there is none that it may use. */
function placeOf(files: CgroupFiles): Place {
  const lines = files.read("/proc/self/cgroup").split("\n");
  const found = lines.map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []);
  const first = found.find(([, controllers]) => controllers?.split(",").includes("memory"));
  const [, , own] = first ?? found.find(([, controllers]) => controllers === "") ?? [];
  if (own === undefined) throw new Error("there is no memory cgroup");
  const version = first === undefined ? 2 : 1;
  for (const line of files.read("/proc/self/mountinfo").split("\n")) {
    const [mount = "", kind = ""] = line.split(" - ");
    const [, , , root = "", point = ""] = mount.split(" ");
    const [type, , options = ""] = kind.split(" ");
    if (version === 2 ? type !== "cgroup2" : type !== "cgroup" || !options.split(",").includes("memory")) continue;
    const inside = insideOf(root, own);
    if (inside === undefined || inside.split("/").includes("..")) continue;
    const path = join(point, inside);
    if (version === 1) return { version, path };
    if (!isDelegated(files, own, path))
      throw new Error(`${own} is a unit's, and nothing shows that it was delegated: ${REMEDY}`);
    return { version, path: inside !== "/" && isLeaf(files, own, path) ? dirname(path) : path };
  }
  throw new Error(`${own} is not in a mounted cgroup file system`);
}

/** Where a group is in a mount of the tree from `root` on; "/" is that itself. undefined: elsewhere. */
function insideOf(root: string, group: string): string | undefined {
  if (root === "/") return group;
  if (group === root) return "/";
  return group.startsWith(`${root}/`) ? group.slice(root.length) : undefined;
}

/** Whether it is for the group above to hand the controller on, as in a subgroup of a unit (`DelegateSubgroup=`). */
function isLeaf(files: CgroupFiles, own: string, path: string): boolean {
  if (isUnit(own)) return false;
  return !hasMemory(files, path, "controllers") || basename(path) === LEAF;
}

/** M5. Units of a user's own systemd belong to that user, delegated or not. */
function isDelegated(files: CgroupFiles, own: string, path: string): boolean {
  return !isUnit(own) || (files.owner(path) !== 0 && !own.includes("/user@"));
}

function isUnit(group: string): boolean {
  return /\.(service|scope|slice)$/.test(group);
}

function hasMemory(files: CgroupFiles, path: string, which: "controllers" | "subtree_control"): boolean {
  return files.read(join(path, `cgroup.${which}`)).includes("memory");
}

/** Lets groups below this one have the memory controller; moves the gateway out of it where that is what it takes. */
function handOn(files: CgroupFiles, path: string): void {
  if (hasMemory(files, path, "subtree_control")) return;
  if (!hasMemory(files, path, "controllers")) throw new Error(`${path} has no memory controller`);
  const begin = (): void => files.write(join(path, "cgroup.subtree_control"), "+memory");
  const move = (to: string): void => files.write(join(to, "cgroup.procs"), String(process.pid));
  try {
    begin();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
    if (files.read(join(path, "cgroup.procs")).trim() !== String(process.pid))
      throw new Error(`the gateway is not alone in ${path}`, { cause: error });
    const leaf = join(path, LEAF);
    if (!files.list(path).includes(LEAF)) files.mkdir(leaf);
    move(leaf);
    try {
      begin();
    } catch (again) {
      move(path);
      throw again;
    }
  }
}

/**
 * The kernel's tree of cgroups, in memory, of version 1 or 2, with the gateway's process in one group of it.
 *
 * It keeps the rules that matter here: a process is in one group; in version 2 a group has a controller when the one above
 * hands it on, and one with processes in it hands nothing on; a group with processes or groups in it cannot be removed; a
 * file that a group has not got cannot be made. It differs from the real one in that nobody is killed: `kill` is the test's to
 * call. The root of version 2 keeps the rule about processes too, as the root of a container does.
 */
import { basename, dirname, join } from "node:path";
import type { CgroupFiles } from "#src/sandbox/cgroup-place.ts";

const V1_FILES = { "memory.limit_in_bytes": "9223372036854771712", "memory.swappiness": "60" };
const V2_FILES = { "memory.max": "max", "memory.swap.max": "max", "memory.oom.group": "0" };

export class CgroupTree implements CgroupFiles {
  readonly version: 1 | 2;
  /** Where it is mounted. */
  readonly point: string;
  /** The gateway's own group at first, as /proc/self/cgroup tells it. */
  readonly own: string;
  /** Who owns what. */
  uid = 0;
  isWritable = true;
  /** What of the tree is mounted. */
  root = "/";
  /** Files that this kernel has not got. */
  readonly missing = new Set<string>();
  /** File → text; a folder is in `folders`. */
  readonly files = new Map<string, string>();
  readonly folders = new Set<string>();
  readonly #groupOf = new Map<number, string>();

  constructor(version: 1 | 2, own: string) {
    this.version = version;
    this.own = own;
    this.point = version === 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    let path = this.point;
    this.#add(path);
    for (const name of own.split("/").filter((part) => part !== "")) {
      // The box's init has handed the controller on, down to the group that the gateway was started in.
      if (version === 2) this.files.set(join(path, "cgroup.subtree_control"), "cpu memory pids");
      this.#add((path = join(path, name)));
    }
    this.enter(path, process.pid);
  }

  enter(path: string, pid: number): void {
    this.#groupOf.set(pid, path);
  }

  /** The process has ended. */
  leave(pid: number): void {
    this.#groupOf.delete(pid);
  }

  /** As when the kernel has killed in it for memory. */
  kill(path: string, kills = 1): void {
    const [file, text] =
      this.version === 1
        ? ["memory.oom_control", `oom_kill_disable 0\nunder_oom 0\noom_kill ${kills}\n`]
        : ["memory.events", `low 0\nhigh 0\nmax 9\noom 1\noom_kill ${kills}\noom_group_kill 0\n`];
    this.files.set(join(path, file), text);
  }

  groupOf(pid: number): string | undefined {
    return this.#groupOf.get(pid);
  }

  read(path: string): string {
    if (path === "/proc/self/cgroup")
      return this.version === 1 ? `7:cpu,cpuacct:/x\n4:memory:${this.own}\n0::/\n` : `0::${this.own}\n`;
    if (path === "/proc/self/mountinfo") {
      const memory =
        this.version === 1 ? "- cgroup cgroup rw,memory" : "- cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";
      return [
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw",
        `31 30 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct`,
        `34 30 0:31 ${this.root} ${this.point} rw,relatime shared:9 ${memory}`,
        "",
      ].join("\n");
    }
    if (basename(path) === "cgroup.procs") return this.#pids(dirname(path)).map(String).join("\n");
    if (basename(path) === "cgroup.controllers") return this.#controllers(dirname(path));
    return this.files.get(path) ?? fail("ENOENT", path);
  }

  write(path: string, text: string): void {
    const group = dirname(path);
    if (!this.isWritable) fail("EROFS", path);
    if (!this.folders.has(group)) fail("ENOENT", path);
    if (basename(path) === "cgroup.procs") {
      if (this.version === 2 && (this.files.get(join(group, "cgroup.subtree_control")) ?? "") !== "")
        fail("EBUSY", path);
      this.enter(group, Number(text));
      return;
    }
    if (basename(path) === "cgroup.subtree_control") {
      if (!this.#controllers(group).includes("memory")) fail("ENOENT", path);
      if (this.#pids(group).length > 0) fail("EBUSY", path);
      this.files.set(path, "memory");
      for (const below of this.list(group)) this.#fill(join(group, below));
      return;
    }
    if (!this.files.has(path)) fail("EACCES", path);
    this.files.set(path, text);
  }

  async writeApart(path: string, text: string): Promise<void> {
    await new Promise(setImmediate);
    this.write(path, text);
  }

  mkdir(path: string): void {
    if (!this.isWritable) fail("EROFS", path);
    if (this.folders.has(path)) fail("EEXIST", path);
    if (!this.folders.has(dirname(path))) fail("ENOENT", path);
    this.#add(path);
  }

  rmdir(path: string): void {
    if (!this.folders.has(path)) fail("ENOENT", path);
    if (this.#pids(path).length > 0 || this.list(path).length > 0) fail("EBUSY", path);
    this.folders.delete(path);
    for (const file of this.files.keys()) if (dirname(file) === path) this.files.delete(file);
  }

  /** Groups only: the names of files are of no interest. */
  list(path: string): string[] {
    return [...this.folders].filter((folder) => folder !== path && dirname(folder) === path).map((f) => basename(f));
  }

  owner(): number {
    return this.uid;
  }

  #pids(group: string): number[] {
    return [...this.#groupOf].filter(([, of]) => of === group).map(([pid]) => pid);
  }

  #controllers(group: string): string {
    if (group === this.point) return "cpu memory pids";
    return this.files.get(join(dirname(group), "cgroup.subtree_control")) ?? "";
  }

  #add(path: string): void {
    this.folders.add(path);
    if (this.version === 2) this.files.set(join(path, "cgroup.subtree_control"), "");
    this.#fill(path);
  }

  #fill(path: string): void {
    if (this.version === 2 && !this.#controllers(path).includes("memory")) return;
    for (const [name, text] of Object.entries(this.version === 1 ? V1_FILES : V2_FILES))
      if (!this.missing.has(name)) this.files.set(join(path, name), text);
    this.kill(path, 0);
  }
}

function fail(code: string, path: string): never {
  throw Object.assign(new Error(`${code}: ${path}`), { code });
}

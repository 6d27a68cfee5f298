/**
 * Rig: a memory cgroup for a gateway to be started in, as systemd would give it one. What a box's kernel and container
 * allow no package can change, so a box may have none; `findPlace` then says why, and its caller says so too.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { until } from "../../stories/rig/wait.ts";

/** Puts itself into the group, or into the leaf that a gateway before it has made there, and becomes the gateway. */
const ENTER = `group="$0"; [ -d "$group/sluice-gateway" ] && group="$group/sluice-gateway"; echo $$ > "$group/cgroup.procs" && exec "$@"`;

export class Place {
  readonly version: 1 | 2;
  readonly path: string;

  constructor(version: 1 | 2, path: string) {
    this.version = version;
    this.path = path;
  }

  /** Words before the gateway's command. */
  get words(): string[] {
    return ["/bin/sh", "-c", ENTER, this.path];
  }

  /** Names of the runners' groups in it. */
  groups(): string[] {
    return readdirSync(this.path).filter((name) => /^sluice-\d/.test(name));
  }

  /** How many processes the kernel has killed in these groups, as far as they are still there. */
  kills(groups: readonly string[]): number {
    const file = this.version === 1 ? "memory.oom_control" : "memory.events";
    let kills = 0;
    for (const name of this.groups().filter((each) => groups.includes(each)))
      kills += Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(this.path, name, file), "utf8"))?.[1] ?? 0);
    return kills;
  }

  pids(group: string): number[] {
    return readFileSync(join(this.path, group, "cgroup.procs"), "utf8")
      .trim()
      .split("\n")
      .filter(Boolean)
      .map(Number);
  }

  /** All processes in the runners' groups. */
  runners(): number[] {
    return this.groups().flatMap((name) => this.pids(name));
  }

  limitOf(group: string): number {
    return Number(
      readFileSync(join(this.path, group, this.version === 1 ? "memory.limit_in_bytes" : "memory.max"), "utf8"),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const isGone = (): boolean => {
      for (const { name } of readdirSync(this.path, { withFileTypes: true }).filter((entry) => entry.isDirectory()))
        rmdirSync(join(this.path, name));
      rmdirSync(this.path);
      return true;
    };
    await until("the end of the test's cgroups", isGone, { withinMs: 10_000 });
  }
}

/** A new group with the memory controller, or why this box has none. */
export function findPlace(): Place | string {
  const own = readFileSync("/proc/self/cgroup", "utf8");
  const first = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(own)?.[1];
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const find = (mount: RegExp): string => mounts.find((line) => mount.test(line))?.split(" ")[1] ?? "";
  const point = first === undefined ? find(/ cgroup2 /) : find(/ cgroup [^ ]*\bmemory\b/);
  if (point === "") return "no cgroup file system with memory is mounted";
  const name = `sluice-test-${process.pid}`;
  try {
    if (first !== undefined) {
      const here = join(point, first);
      const path = join(existsSync(here) ? here : point, name);
      mkdirSync(path);
      return new Place(1, path);
    }
    // Up to where the controller is handed on.
    let above = join(point, /^0::(.*)$/m.exec(own)?.[1] ?? "/");
    while (!readFileSync(join(above, "cgroup.subtree_control"), "utf8").includes("memory")) {
      if (above === point) return `${point} does not hand the memory controller on`;
      above = dirname(above);
    }
    mkdirSync(join(above, name));
    return new Place(2, join(above, name));
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * A memory cgroup for each runner: where the gateway may make cgroups, the kernel itself stops a runner that grows
 * faster than the supervisor looks. It kills within the group where the limit is met, so it never comes to choose
 * between a runner and the gateway. Where the gateway may not, the supervisor's look stands alone, and nothing else changes.
 *
 * Mechanism. Groups are made below the gateway's own one, which /proc/self names. In version 2 of cgroups only a group
 * without processes hands controllers on, so a gateway that is alone in its group moves down into a leaf first; one that
 * has company there (a shell, an init) leaves everything as it is. Version 1 has no such rule.
 *
 *   M1  A runner's limit is what the supervisor allows plus SLACK_BYTES: who looks comes first and tells how much it was.
 *   M2  A limit rises at once, and falls with the next runner: one that falls would kill what is about to give memory back.
 *   M3  Nothing here fails a start or a runner. What cannot be had is left out, and told once.
 *   M4  Groups go with their runners; those of a gateway that was killed go when the next one starts beside it. Names begin
 *       with the gateway's process, so two gateways in one group leave each other's alone.
 *   M5  systemd stops a service in which the kernel has killed for memory (`OOMPolicy=`), unless its group was delegated. So
 *       the group of a unit is used only where delegation shows: it belongs to the gateway's user, or is one below the unit's.
 *
 * Limits: one group for each process of a runner. What a runner had before it was put in, its first few MB, counts elsewhere.
 */
import { join } from "node:path";
import { messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import { kernel, openPlace } from "./cgroup-place.ts";
import type { CgroupFiles, Place } from "./cgroup-place.ts";

/** What one look misses of a runner that grows by 2 GB a second. */
const SLACK_BYTES = 32 * 1024 * 1024;
const GROUP = /^sluice-(\d+)-\d+$/;

/** What the two versions call it. `besides` is good to have: a limit that swap stretches is none. */
const VERSIONS = {
  1: { limit: "memory.limit_in_bytes", besides: { "memory.swappiness": "0" }, events: "memory.oom_control" },
  2: { limit: "memory.max", besides: { "memory.swap.max": "0", "memory.oom.group": "1" }, events: "memory.events" },
} as const;

/** The group of one runner. */
export interface MemoryGroup {
  /** Resolves when its process is in it, or cannot be. */
  readonly entered: Promise<void>;
  /** Whether the kernel has killed in it for memory. */
  hasKilled(): boolean;
  /** Its process is gone. */
  remove(): void;
}

/** Counts across sandboxes of one process. */
let groupsMade = 0;

export class MemoryGroups {
  readonly #files: CgroupFiles;
  readonly #log: Log;
  readonly #place: Place;
  /** With the limit that each has. */
  readonly #groups = new Map<string, number>();
  /** Those that could not be removed yet. */
  readonly #left = new Set<string>();
  #bytesMax = Number.MAX_SAFE_INTEGER;
  #hasFailed = false;

  private constructor(files: CgroupFiles, log: Log, place: Place) {
    this.#files = files;
    this.#log = log;
    this.#place = place;
  }

  /** undefined where the gateway may not make any, which the log tells. Starts no process, and has to come before one is. */
  static open(log: Log, files: CgroupFiles = kernel): MemoryGroups | undefined {
    try {
      const place = openPlace(files);
      const groups = new MemoryGroups(files, log, place);
      groups.#clear();
      groups.#try();
      log.info({ cgroup: place.path, version: place.version }, "runners have a memory cgroup each");
      return groups;
    } catch (error) {
      log.info({ why: messageOf(error) }, "runners have no memory cgroup");
      return undefined;
    }
  }

  /** Whether the runner that was started last has one. */
  get isHolding(): boolean {
    return !this.#hasFailed;
  }

  /** What the supervisor allows a runner from now on (M1, M2). */
  allow(rssBytesMax: number): void {
    this.#bytesMax = rssBytesMax + SLACK_BYTES;
    for (const [path, bytesMax] of this.#groups) {
      if (bytesMax >= this.#bytesMax) continue;
      this.#groups.set(path, this.#bytesMax);
      try {
        this.#limit(path);
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  /** Puts a process that has just been started into a group of its own; undefined where that fails (M3). */
  hold(pid: number): MemoryGroup | undefined {
    for (const path of [...this.#left]) this.#remove(path); // What stays is put back into the set.
    const path = this.#next();
    try {
      this.#make(path);
    } catch (error) {
      this.#failed(error);
      this.#remove(path);
      return undefined;
    }
    this.#groups.set(path, this.#bytesMax);
    return {
      entered: this.#enter(path, pid),
      hasKilled: () => this.#hasKilled(path),
      remove: () => {
        this.#groups.delete(path);
        this.#remove(path);
      },
    };
  }

  /** All runners are gone. */
  close(): void {
    for (const path of [...this.#groups.keys(), ...this.#left]) this.#remove(path);
  }

  async #enter(path: string, pid: number): Promise<void> {
    try {
      await this.#files.writeApart(join(path, "cgroup.procs"), String(pid));
      this.#hasFailed = false;
    } catch (error) {
      if (this.#groups.has(path)) this.#failed(error); // Else it is gone already.
    }
  }

  #next(): string {
    return join(this.#place.path, `sluice-${process.pid}-${++groupsMade}`);
  }

  #make(path: string): void {
    this.#files.mkdir(path);
    this.#limit(path);
    for (const [name, value] of Object.entries(VERSIONS[this.#place.version].besides)) {
      try {
        this.#files.write(join(path, name), value);
      } catch {
        continue; // A kernel without swap, or without that file.
      }
    }
  }

  #limit(path: string): void {
    this.#files.write(join(path, VERSIONS[this.#place.version].limit), String(this.#bytesMax));
  }

  #hasKilled(path: string): boolean {
    try {
      const events = this.#files.read(join(path, VERSIONS[this.#place.version].events));
      return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0) > 0;
    } catch {
      return false;
    }
  }

  #remove(path: string): void {
    this.#left.delete(path);
    try {
      this.#files.rmdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EBUSY") this.#left.add(path);
    }
  }

  /** Of gateways that were killed (M4); in a container the one before had our own number. Those with processes stay. */
  #clear(): void {
    for (const name of this.#files.list(this.#place.path)) {
      const pid = Number(GROUP.exec(name)?.[1] ?? 0);
      if (pid > 0 && (pid === process.pid || !isAlive(pid))) this.#remove(join(this.#place.path, name));
    }
    this.#left.clear();
  }

  /** Throws where none can be made. */
  #try(): void {
    const path = this.#next();
    try {
      this.#make(path);
    } finally {
      this.#remove(path);
    }
  }

  /** M3: told once, until it goes well again. */
  #failed(error: unknown): void {
    if (!this.#hasFailed) this.#log.warn({ why: messageOf(error) }, "a runner has no memory cgroup");
    this.#hasFailed = true;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

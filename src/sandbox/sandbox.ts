/**
 * The sandbox: runs tasks in handlers' isolates, in runner processes that may die at any time.
 *
 * Mechanism. A pool of runners, each a child process under Node's permission model with an empty environment and one
 * descriptor, the channel (wire.ts). There are as many as are used: one begins, the others start with the first request
 * for them and end when they have had none for long. A runner gets a version with the first batch of it, and builds its
 * isolate then (isolates.ts), so a batch may go to any of them; which key goes where is the caller's choice. A batch
 * crosses the process border once and the isolate's border once, as text (guest.ts), and its answer comes back the same
 * way. A supervisor per runner (supervisor.ts) kills it when in doubt and starts the next one; after a loss it keeps one
 * in reserve (spare.ts).
 *
 *   S1  Every batch is answered exactly once, one result a task, whatever becomes of the runner.
 *   S2  A task that failed costs nobody else anything: tasks of other keys are done or `unrun`, those behind it `behind`.
 *   S3  Nothing is believed that a runner says: an answer that breaks a rule costs the runner, and no result of it stands.
 *   S4  A limit is enforced inside the isolate first (an ordinary failure), by the runner second (the isolate is lost),
 *       by the gateway last (the runner is lost).
 *   S5  A runner has a version before it gets the first batch of it.
 *   S6  A version takes over when one runner has loaded it, or at once where it is known to load (`adopt`); batches sent
 *       before that end on the version before.
 *
 * Limits: runners, memory of each and slice (settings.ts); timeout, memory and limits of each handler (HandlerBundle);
 * batches of 256 tasks and frames of 64 MB (wire.ts). Batches in flight are the caller's to bound.
 */
import { availableParallelism } from "node:os";
import type { Log } from "../log.ts";
import type { Task } from "../task.ts";
import type { Clock } from "../time.ts";
import { guestOf } from "./bundle.ts";
import type { HandlerBundle } from "./bundle.ts";
import { MemoryGroups } from "./cgroup.ts";
import type { CgroupFiles } from "./cgroup-place.ts";
import type { Loaded } from "./isolates.ts";
import { buildPrograms } from "./programs.ts";
import { asLoad } from "./loads.ts";
import type { Load } from "./loads.ts";
import type { Redact } from "./redaction.ts";
import { runnerCommand } from "./runner-process.ts";
import type { RunnerCommand } from "./runner-process.ts";
import type { BatchResult } from "./results.ts";
import { Stacks } from "./stacks.ts";
import { Supervisor } from "./supervisor.ts";
import type { Waiting } from "./in-flight.ts";
import { sumOf } from "./sandbox-figures.ts";
import type { SandboxFigures } from "./sandbox-figures.ts";
import type { LoadOptions, RunOptions, Slot } from "./slots.ts";
import { Versions } from "./versions.ts";
import type { LoadedVersion, VersionsOptions } from "./versions.ts";
import type { Spent } from "./wire.ts";

export type { HandlerBundle } from "./bundle.ts";
export type { Load } from "./loads.ts";
export type { SandboxFigures } from "./sandbox-figures.ts";
export type { LoadOptions, RunOptions, Slot } from "./slots.ts";

export interface SandboxOptions extends VersionsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Tests start a program of their own instead of a runner. */
  readonly command?: RunnerCommand;
  /** Where cgroups are made: the kernel's files, or a test's. */
  readonly cgroups?: CgroupFiles;
}

/** A load whose runner was lost is tried again on its successor, for another handler may have cost it. */
const LOADS_MAX = 2;
/** How much runners stand back when others need the processor; what is not proven also for those that are. */
const NICE = { shared: 5, apart: 10 };
const REST_EVERY_MS = 1000;
const NOTHING_SPENT: Spent = { tookMs: 0, cpuMs: 0, heapBytes: 0 };

export class Sandbox {
  /** The most that are for proven handlers; the one apart comes after them. */
  readonly sharedMax: number;
  readonly #options: SandboxOptions;
  readonly #webCode: (name: string) => Promise<string>;
  readonly #versions: Versions;
  readonly #supervisors: Supervisor[];
  readonly #live = new Map<number, LoadedVersion>();
  /** Versions that are in a slot beside the live one. */
  readonly #aside: Readonly<Record<Exclude<Slot, "live">, Map<number, LoadedVersion>>> = {
    candidate: new Map(),
    replay: new Map(),
  };
  /** By handler that is live, since the start. */
  readonly #logLinesDropped = new Map<string, number>();
  #batches = 0;
  #tasks = 0;
  readonly #rest: NodeJS.Timeout;
  readonly #groups: MemoryGroups | undefined;

  private constructor(options: SandboxOptions, command: RunnerCommand, groups: MemoryGroups | undefined) {
    const { settings, clock, log } = options;
    this.#options = options;
    this.#groups = groups;
    this.#webCode = command.webCode ?? (() => Promise.resolve(""));
    this.sharedMax = settings.runners ?? Math.max(1, availableParallelism() - 1);
    this.#versions = new Versions(options, {
      webCode: this.#webCode,
      allow: (bytesMax) => groups?.allow(bytesMax),
      dropped: ({ id, name }, lines) => {
        const before = this.#logLinesDropped.get(name) ?? 0;
        if (this.#live.has(id)) this.#logLinesDropped.set(name, before + lines); // Batches of one that is gone still end.
      },
    });
    const rssBytesMax = (): number => this.#versions.rssBytesMax;
    const redact: Redact = (text) => this.#versions.redacted(text);
    const shared = { command, groups, sliceMs: settings.slice, clock, log, rssBytesMax, redact };
    this.#supervisors = Array.from({ length: this.sharedMax + 1 }, (_, index) => {
      const nice = index < this.sharedMax ? NICE.shared : NICE.apart;
      return new Supervisor({ ...shared, index, nice });
    });
    this.#rest = setInterval(() => this.#letRest(settings.idle), REST_EVERY_MS);
    this.#rest.unref();
  }

  /** Resolves when the first runner is ready. Throws Fault SANDBOX_UNAVAILABLE. */
  static async open(options: SandboxOptions): Promise<Sandbox> {
    const groups = options.settings.cgroup === "off" ? undefined : MemoryGroups.open(options.log, options.cgroups);
    const sandbox = new Sandbox(options, options.command ?? runnerCommand(await buildPrograms()), groups);
    try {
      await sandbox.wake(0);
      return sandbox;
    } catch (error) {
      await sandbox.close();
      throw error;
    }
  }

  /** Evaluates the bundle in an isolate of its own, for the config that it exports. Nothing stays behind. */
  async inspect(bundle: HandlerBundle, runner = 0): Promise<Load> {
    const guest = await guestOf(bundle, this.#options, this.#webCode);
    const loaded = await insist(() => this.#at(runner).inspect(guest));
    return asLoad(loaded, new Stacks(bundle.sourceMap));
  }

  /**
   * Loads the version into that runner, then makes it the one that runs in its slot, anywhere. Failed: the one before goes
   * on. `makesRequests`: whether its fetches are made; where not, they fail.
   */
  async load(
    bundle: HandlerBundle,
    runner = 0,
    { slot = "live", makesRequests = true }: LoadOptions = {},
  ): Promise<Load> {
    const version = await this.#versions.add(bundle, makesRequests);
    let loaded: Loaded | undefined;
    try {
      loaded = await insist(() => this.#at(runner).load(version));
    } catch (error) {
      this.#forget(version);
      throw error;
    }
    const stacks = new Stacks(bundle.sourceMap);
    if (loaded?.at !== "ready") {
      this.#forget(version);
      return asLoad(loaded, stacks, version.redact);
    }
    this.#takeOver(this.#slot(slot), version);
    return asLoad(loaded, stacks);
  }

  /** The version runs from now on, and is loaded where and when the first batch of it comes: it did load before. */
  async adopt(bundle: HandlerBundle): Promise<undefined> {
    const version = await this.#versions.add(bundle, true);
    this.#takeOver(this.#live, version);
  }

  /**
   * Builds the isolate of what is live in that runner, so that its first event there does not wait for it. undefined:
   * nothing is live, or something else is by now, or the runner was lost.
   */
  async warm(runner: number, handler: number): Promise<Load | undefined> {
    const live = this.#live.get(handler);
    if (live === undefined) return undefined;
    const loaded = await this.#at(runner).load(live);
    // Replaced while that waited: nobody else would take it out of there.
    if (!this.#versions.has(live)) {
      this.#at(runner).unload(live.serial);
      return undefined;
    }
    return loaded === undefined ? undefined : asLoad(loaded, new Stacks(live.bundle.sourceMap), live.redact);
  }

  async prepare(runner: number, handler: number): Promise<boolean> {
    return (await this.warm(runner, handler))?.at === "ready";
  }

  /** Resolves when that runner is ready for work. Throws Fault SANDBOX_UNAVAILABLE. */
  wake(runner: number): Promise<void> {
    return this.#at(runner).ready();
  }

  /** Processor time that its main thread has had; undefined where that cannot be known, or it is not up. */
  busyMs(runner: number): number | undefined {
    return this.#at(runner).busyMs;
  }

  /** Batches in flight are still answered; later ones are `unrun`. */
  unload(handler: number): void {
    this.unloadAside(handler, "candidate");
    this.unloadAside(handler, "replay");
    const live = this.#live.get(handler);
    if (live === undefined) return;
    this.#live.delete(handler);
    this.#logLinesDropped.delete(live.bundle.name);
    this.#forget(live);
  }

  /** What is in that slot beside the live version goes. Batches of a candidate that are not sent yet go to the live one. */
  unloadAside(handler: number, slot: Exclude<Slot, "live">): void {
    const version = this.#aside[slot].get(handler);
    if (version === undefined) return;
    this.#aside[slot].delete(handler);
    this.#forget(version);
  }

  /**
   * Runs `batch` (tasks of one handler) in order on the runner of that number. `states` are aligned with the batch; only
   * a key's first task needs it. `done` is called exactly once (S1), never before this returns.
   *
   * The tasks' clocks begin with the time when the batch is sent, or with `atMs`. A captured run is one in an isolate of its
   * own, with chance drawn from the events, and without waiting for timers. The same tasks, states and `atMs` come to the
   * same answer then, whenever it is made. With `startsMs` tasks share nothing of that but the isolate.
   */
  run(
    runner: number,
    handler: number,
    batch: readonly Task[],
    states: readonly (string | undefined)[],
    done: (result: BatchResult) => void,
    options: RunOptions = {},
  ): void {
    const { slot = "live", version, isShadow = false, stateVersions, startsMs } = options;
    const { atMs = startsMs?.[0], isCaptured = startsMs !== undefined } = options;
    this.#batches++;
    this.#tasks += batch.length;
    const work: Waiting = {
      version: () => {
        const aside = slot === "live" ? undefined : this.#aside[slot].get(handler);
        if (aside !== undefined && (version ?? aside.bundle.version) === aside.bundle.version) return aside;
        return isShadow ? undefined : this.#live.get(handler);
      },
      batch,
      states,
      stateVersions,
      done: (version, results, { tookMs, cpuMs, heapBytes } = NOTHING_SPENT) => {
        done({
          version: (version as LoadedVersion | undefined)?.bundle.version ?? 0,
          startMs: work.startMs,
          tookMs,
          cpuMs,
          heapBytes,
          results,
        });
      },
      atMs,
      startsMs,
      isCaptured,
      startMs: 0,
    };
    this.#at(runner).run(work);
  }

  /** Process ids by number of the runner, 0 for one that is down or asleep. */
  get pids(): readonly number[] {
    return this.#supervisors.map((supervisor) => supervisor.pid);
  }

  /** Likewise those in reserve. */
  get sparePids(): readonly number[] {
    return this.#supervisors.map((supervisor) => supervisor.spare.pid);
  }

  figures(): SandboxFigures {
    return {
      ...sumOf(this.#supervisors),
      memoryCgroup: this.#groups?.isHolding === true ? 1 : 0,
      batches: this.#batches,
      tasks: this.#tasks,
      handlers: this.#live.size,
      logLinesDropped: Object.fromEntries(this.#logLinesDropped),
    };
  }

  /** What is in flight is answered `unrun`. Resolves when all processes are gone. */
  async close(): Promise<void> {
    clearInterval(this.#rest);
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.close()));
    this.#groups?.close();
  }

  #takeOver(slotted: Map<number, LoadedVersion>, version: LoadedVersion): void {
    const before = slotted.get(version.bundle.id);
    slotted.set(version.bundle.id, version);
    if (before !== undefined) this.#forget(before);
  }

  #slot(slot: Slot): Map<number, LoadedVersion> {
    return slot === "live" ? this.#live : this.#aside[slot];
  }

  #at(runner: number): Supervisor {
    return this.#supervisors[runner] as Supervisor;
  }

  /** Runners with nothing to do for `idleMs` end, but for the first: a first event is not to wait for a process. */
  #letRest(idleMs: number): void {
    for (const [runner, supervisor] of this.#supervisors.entries()) {
      supervisor.spare.rest(idleMs);
      if (runner > 0) supervisor.rest(idleMs);
    }
  }

  #forget(version: LoadedVersion): void {
    this.#versions.delete(version);
    for (const supervisor of this.#supervisors) supervisor.unload(version.serial);
  }
}

async function insist(load: () => Promise<Loaded | undefined>): Promise<Loaded | undefined> {
  for (let tries = 0; tries < LOADS_MAX; tries++) {
    const loaded = await load();
    if (loaded !== undefined) return loaded;
  }
  return undefined;
}

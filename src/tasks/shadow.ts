/**
 * A shadow: a candidate that runs what the live version has run, without effects, and what came of it is compared. Its
 * outputs and states go nowhere; it makes no requests.
 *
 * It has the same events, states, and clock. Chance is not the same, so what a handler draws by lot differs.
 *
 * Bounded: one batch at a time of {@link TASKS_MAX} events and about {@link CHARS_MAX} characters of outcomes; what comes
 * meanwhile is skipped, and counted. The first differences of each kind are kept (differences.ts).
 */
import { eventRecord } from "../event.ts";
import type { Task } from "../task.ts";
import { Differences, shortened, shownCame } from "./differences.ts";
import type { Came, DifferenceCounts } from "./differences.ts";
import type { BatchResult, Runners, RunResult } from "./run.ts";
import type { Suspects } from "./suspects.ts";

const TASKS_MAX = 64;
const CHARS_MAX = 1024 * 1024;
/** Runners lost in a row with nothing but shadows' work in hand: it is the shadow that costs them. */
const LOSSES_MAX = 2;

export interface Difference {
  /** Sequence number of the event. */
  readonly event: number;
  readonly topic: string;
  readonly key: string;
  readonly live: string;
  readonly candidate: string;
}

export interface ShadowReport {
  readonly version: number;
  /** Events compared, and how many of them came to the same. */
  readonly events: number;
  readonly same: number;
  /** Events that the live version ran and the shadow did not. */
  readonly skipped: number;
  readonly differences: DifferenceCounts;
  /** Mean time of an event. */
  readonly liveMs: number;
  readonly candidateMs: number;
  readonly samples: readonly Difference[];
}

export interface ShadowDoors {
  /** Runs the tasks on the candidate; `done` is called once, later. */
  readonly run: (
    version: number,
    tasks: readonly Task[],
    states: readonly (string | undefined)[],
    atMs: number,
    done: (result: BatchResult) => void,
  ) => void;
  /** The shadow of that version costs runners: it is not to be asked again. */
  readonly lost: (version: number) => void;
}

export class Shadow {
  readonly version: number;
  readonly #doors: ShadowDoors;
  readonly #found = new Differences<Difference>();
  #busy = false;
  #skipped = 0;
  #ranLive = 0;
  #ranHere = 0;
  #liveMs = 0;
  #hereMs = 0;
  #losses = 0;

  constructor(version: number, doors: ShadowDoors) {
    this.version = version;
    this.#doors = doors;
  }

  /** The live version has run `tasks`. What is in `result` is not kept. */
  offer(tasks: readonly Task[], states: readonly (string | undefined)[], result: BatchResult): void {
    if (result.tookMs !== undefined) {
      this.#liveMs += result.tookMs;
      this.#ranLive += tasks.length;
    }
    const chosen: Task[] = [];
    const given: (string | undefined)[] = [];
    const came: Came[] = [];
    let chars = 0;
    for (let i = 0; !this.#busy && i < tasks.length && chosen.length < TASKS_MAX && chars < CHARS_MAX; i++) {
      const live = cameOf(result.results[i] as RunResult);
      if (live === undefined) continue;
      chosen.push(tasks[i] as Task);
      given.push(states[i]);
      came.push(live);
      chars += live.outputs.length + live.state.length;
    }
    this.#skipped += tasks.length - chosen.length;
    if (chosen.length === 0) return;
    this.#busy = true;
    this.#doors.run(this.version, chosen, given, result.startMs ?? 0, (answer) => {
      this.#busy = false;
      this.#compare(chosen, came, answer);
    });
  }

  get report(): ShadowReport {
    const mean = (ms: number, events: number): number => (events === 0 ? 0 : ms / events);
    return {
      version: this.version,
      events: this.#found.events,
      same: this.#found.same,
      skipped: this.#skipped,
      differences: { ...this.#found.counts },
      liveMs: mean(this.#liveMs, this.#ranLive),
      candidateMs: mean(this.#hereMs, this.#ranHere),
      samples: [...this.#found.samples],
    };
  }

  #compare(tasks: readonly Task[], live: readonly Came[], { version, results, tookMs }: BatchResult): void {
    // One that could not be stopped is known to have done it; one that was there when its runner died may not have.
    const isCulprit = results.some((result) => result.at === "failed" && result.cost === "runner");
    this.#losses = results.some(({ at }) => at === "crashed") ? this.#losses + 1 : 0;
    if (isCulprit || this.#losses >= LOSSES_MAX) this.#doors.lost(this.version);
    if (version !== this.version) {
      this.#skipped += tasks.length; // It did not come to run.
      return;
    }
    if (tookMs !== undefined) {
      this.#hereMs += tookMs;
      this.#ranHere += tasks.length;
    }
    for (let i = 0; i < tasks.length; i++) {
      const here = cameOf(results[i] as RunResult);
      if (here === undefined) this.#skipped++;
      else this.#judge(tasks[i] as Task, live[i] as Came, here);
    }
  }

  #judge(task: Task, live: Came, here: Came): void {
    this.#found.judge(live, here, () => ({
      event: task.seq,
      topic: shortened(eventRecord.topic(task.page, task.at)),
      key: shortened(task.key),
      live: shownCame(live),
      candidate: shownCame(here),
    }));
  }
}

/** undefined: it was not run to an end. Failures are the same when their codes are: messages may hold what was drawn. */
function cameOf(result: RunResult): Came | undefined {
  if (result.at === "failed")
    return { failed: `${result.failure.code}: ${result.failure.message}`, outputs: "", state: "" };
  if (result.at !== "done") return undefined;
  const outputs = result.outputs.map(({ data, json, to, type, subject, publish }) => {
    const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString(json ? "utf8" : "base64");
    const address = { to, type, subject, publish };
    return Object.values(address).every((value) => value === undefined) ? text : `${text} ${JSON.stringify(address)}`;
  });
  return { failed: undefined, outputs: outputs.join("\n"), state: result.state ?? "" };
}

interface ShadowPlace {
  /** The one apart. */
  readonly runner: number;
  readonly handler: number;
  /** Aligned with the tasks: the versions that wrote their keys' states. */
  readonly stateVersions: readonly number[] | undefined;
}

/**
 * Runs what a shadow is to run in the runner apart. It is in nobody's way: where suspects are tried it stays away, and what
 * has it in hand is not free for them.
 */
export function runShadow(
  runners: Runners,
  suspects: Pick<Suspects<unknown>, "blocks" | "handed" | "back">,
  { runner, handler, stateVersions }: ShadowPlace,
  [version, tasks, states, atMs, done]: Parameters<ShadowDoors["run"]>,
): void {
  if (suspects.blocks(runner)) {
    setImmediate(() => done({ version: 0, results: tasks.map(() => ({ at: "unrun" })) }));
    return;
  }
  suspects.handed(runner);
  const back = (result: BatchResult): void => {
    suspects.back(runner);
    done(result);
  };
  const where = { slot: "candidate", version, isShadow: true, atMs, stateVersions } as const;
  runners.run(runner, handler, tasks, states, back, where);
}

/**
 * A replay: past events of a handler are run again on one of its versions, and what comes of it is compared with what was
 * recorded of their first run; or it is sent, as new outputs that say that they are replayed.
 *
 * Each event has what it had: its bytes, key and tries, the state that was there before it, and the time that its clock
 * began with. So each stands by itself: what the version does differently with one event does not reach the next. Chance is
 * drawn from the events, and requests are not made (a captured run, sandbox.ts).
 *
 *   R1  Without `apply` nothing has effects. With it outputs have; a state is never changed.
 *   R2  What a step sent and how far it came are one commit, and a step that was not finished is done again from its start:
 *       so a replay that is cancelled, or that a crash interrupts, goes on later and sends nothing twice.
 *   R3  It gives way: its runs are those of the runner apart, one batch at a time, and it pauses while events wait.
 *
 * Bounded: steps of {@link TASKS_MAX} events, or those of a second, or about {@link BYTES_MAX} bytes, and as many differences as are kept.
 */
import { eventRecord } from "../event.ts";
import { Fault } from "../fault.ts";
import { digestOf, outputsAsBytes, readOutputs } from "../output-bytes.ts";
import type { Output, Task } from "../task.ts";
import { sleep } from "../time.ts";
import type { Clock } from "../time.ts";
import { Differences, shortened } from "./differences.ts";
import type { Came, DifferenceCounts, Kind } from "./differences.ts";
import type { BatchResult, RawOutput, RunResult } from "./run.ts";

const TASKS_MAX = 64;
const BYTES_MAX = 1024 * 1024;
/** Runners that one replay may cost. */
const LOSSES_MAX = 3;
/** How long it waits, in pauses, for the events that came meanwhile; then it takes a step all the same. */
const PAUSE_MS = 50;
const PAUSES_MAX = 5;
/** While an uplink or the journal takes no more. */
const FULL_MS = 250;
/** Times that a batch comes back not run. */
const UNRUN_MAX = 50;
/** A lineage has at most 255 characters, and the replay's id is to go behind it. */
const LINEAGE_CHARS_MAX = 230;

/** What the journal keeps of a run. */
export interface Recorded {
  readonly seq: number;
  readonly version: number;
  readonly startMs: number;
  readonly attempt: number;
  readonly key: string;
  readonly before:
    | { readonly at: "kept"; readonly state: string | undefined; readonly version: number }
    | { readonly at: "unknown" };
  readonly after: Kept | undefined;
  readonly failure: string | undefined;
  readonly outputs: Kept;
}

type Kept = { readonly at: "here"; readonly bytes: Buffer } | { readonly at: "digest"; readonly digest: Buffer };

export interface Plan {
  readonly handler: string;
  readonly version: number;
  /** Events that were accepted from then on, and before then. */
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly key?: string | undefined;
  readonly apply: boolean;
  /** Events of a second, at most. */
  readonly perSecond?: number | undefined;
}

export interface ReplayDifference {
  readonly event: number;
  readonly topic: string;
  readonly key: string;
  readonly kind: Kind;
  /** The version that ran it first. */
  readonly version: number;
  readonly recorded: string;
  readonly replayed: string;
}

export interface Progress {
  /** Where it is, of the places of what is recorded. */
  readonly place: number;
  readonly events: number;
  readonly same: number;
  readonly differences: DifferenceCounts;
  readonly samples: readonly ReplayDifference[];
  /** Not run again: the event, or the state before it, is not kept. */
  readonly skipped: number;
  /** Outputs sent. */
  readonly sent: number;
}

export interface Sent {
  readonly task: Task;
  readonly outputs: readonly Output[];
}

export interface Loaded {
  /** Journal id of the handler. */
  readonly id: number;
  readonly run: (
    tasks: readonly Task[],
    states: readonly (string | undefined)[],
    began: { readonly startsMs: readonly number[]; readonly stateVersions: readonly number[] },
    done: (result: BatchResult) => void,
  ) => void;
  readonly fill: (task: Task, outputs: readonly RawOutput[]) => readonly Output[] | Fault;
}

export interface ReplayDoors {
  readonly read: (
    handler: number,
    span: { readonly from: number; readonly to: number },
    visit: (found: Recorded, behind: number) => boolean,
  ) => Promise<void>;
  readonly event: (seq: number) => Promise<{ readonly page: Buffer; readonly at: number } | undefined>;
  /** Events wait that come first. */
  readonly isBusy: () => boolean;
  /** Outputs of that handler may be sent. */
  readonly hasRoom: (handler: string) => boolean;
  readonly clock: Clock;
}

interface Item {
  readonly task: Task;
  readonly recorded: Recorded;
  readonly state: string | undefined;
}

/** What came of an item; undefined: it is to be run once more. */
type Ran = { readonly came: Came; readonly outputs: readonly Output[] } | undefined;

export class Replay {
  readonly #plan: Plan;
  readonly #to: number;
  readonly #loaded: Loaded;
  readonly #doors: ReplayDoors;
  readonly #signal: AbortSignal;
  #losses = 0;
  /** Since it began or went on: events, and when that was. */
  #done = 0;
  #sinceMs = 0;

  constructor(plan: Plan, to: number, loaded: Loaded, doors: ReplayDoors, signal: AbortSignal) {
    this.#plan = plan;
    this.#to = to;
    this.#loaded = loaded;
    this.#doors = doors;
    this.#signal = signal;
  }

  /** Goes on from `progress` to the end, or until the signal; `save` gets each step. Throws a Fault when it cannot. */
  async run(progress: Progress, save: (next: Progress, sent: readonly Sent[]) => Promise<void>): Promise<Progress> {
    this.#sinceMs = this.#doors.clock.monotonic();
    let now = progress;
    while (now.place < this.#to && !this.#signal.aborted) {
      const step = await this.#step(now);
      if (step === undefined) break;
      now = step.next;
      await save(now, step.sent);
    }
    return now;
  }

  /** undefined: it was to end in the middle of it. */
  async #step(now: Progress): Promise<{ readonly next: Progress; readonly sent: readonly Sent[] } | undefined> {
    const { items, skipped, place } = await this.#collect(now.place);
    if (this.#signal.aborted) return undefined;
    const found = new Differences<ReplayDifference>(now);
    const sent: Sent[] = [];
    if (items.length > 0) {
      await this.#turn();
      if (this.#signal.aborted) return undefined;
      const ran = await this.#runToEnd(items);
      if (ran === undefined) return undefined;
      this.#done += items.length;
      for (const [i, item] of items.entries()) this.#judge(found, item, ran[i], sent);
    }
    const next: Progress = {
      place,
      events: found.events,
      same: found.same,
      differences: { ...found.counts },
      samples: [...found.samples],
      skipped: now.skipped + skipped,
      sent: now.sent + sent.reduce((sum, { outputs }) => sum + outputs.length, 0),
    };
    return { next, sent };
  }

  /** What is replayed next, and the place behind it. */
  async #collect(from: number): Promise<{ items: readonly Item[]; skipped: number; place: number }> {
    const { key, sinceMs, untilMs, perSecond = TASKS_MAX } = this.#plan;
    const { id } = this.#loaded;
    const tasksMax = Math.min(TASKS_MAX, Math.max(1, Math.floor(perSecond)));
    const chosen: Recorded[] = [];
    let [place, bytes] = [this.#to, 0];
    await this.#doors.read(id, { from, to: this.#to }, (recorded, behind) => {
      if (key === undefined || recorded.key === key) {
        chosen.push(recorded);
        bytes += recorded.outputs.at === "here" ? recorded.outputs.bytes.length : 0;
        if (recorded.before.at === "kept") bytes += recorded.before.state?.length ?? 0;
      }
      if (chosen.length < tasksMax && bytes < BYTES_MAX) return !this.#signal.aborted;
      place = behind;
      return false;
    });
    const items: Item[] = [];
    let skipped = 0;
    for (const recorded of chosen) {
      const { seq, before, attempt } = recorded;
      const event = await this.#doors.event(seq);
      if (event !== undefined) {
        const timeMs = eventRecord.timeMs(event.page, event.at);
        if (timeMs < sinceMs || timeMs >= untilMs) continue;
      }
      const isLong = event !== undefined && eventRecord.lineage(event.page, event.at).length > LINEAGE_CHARS_MAX;
      if (event === undefined || before.at === "unknown" || isLong) {
        skipped++;
        continue;
      }
      const task = { handler: id, seq, ...event, key: recorded.key, attempt, parked: false };
      items.push({ task, recorded, state: before.state });
    }
    return { items, skipped, place };
  }

  /** Waits until it may go on. */
  async #turn(): Promise<void> {
    const { isBusy, hasRoom, clock } = this.#doors;
    const { perSecond, apply, handler } = this.#plan;
    const aheadMs = perSecond === undefined ? 0 : (this.#done * 1000) / perSecond - (clock.monotonic() - this.#sinceMs);
    if (aheadMs > 0) await this.#pause(aheadMs);
    for (let n = 0; n < PAUSES_MAX && isBusy(); n++) await this.#pause(PAUSE_MS);
    while (apply && !hasRoom(handler) && !this.#signal.aborted) await this.#pause(FULL_MS);
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, this.#signal).catch(() => undefined);
  }

  /** What was not run, because the slice was over or another one took the runner down, runs once more. undefined: it was to end. */
  async #runToEnd(batch: readonly Item[]): Promise<readonly NonNullable<Ran>[] | undefined> {
    const came = new Map<Item, NonNullable<Ran>>();
    let left = batch;
    for (let tries = 0; left.length > 0; tries++) {
      if (tries > UNRUN_MAX + batch.length) throw new Fault("REPLAY_STOPPED", "no runner takes its events");
      const ran = await this.#run(left);
      if (ran === undefined) return undefined;
      const again: Item[] = [];
      for (const [i, item] of left.entries()) {
        const one = ran[i];
        if (one === undefined) again.push(item);
        else came.set(item, one);
      }
      if (again.length === left.length) {
        // Nothing of it ran: who of them takes the runner down shows alone.
        const [first, ...others] = again;
        if (others.length > 0 && this.#losses > 0) {
          for (const item of again) {
            const alone = await this.#runToEnd([item]);
            if (alone === undefined) return undefined;
            came.set(item, alone[0] as NonNullable<Ran>);
          }
          break;
        }
        if (first !== undefined) await this.#pause(PAUSE_MS);
      }
      left = again;
    }
    return batch.map((item) => came.get(item) as NonNullable<Ran>);
  }

  /** undefined: it is to end. A handler may take its time for each; what a runner has in hand then ends by itself, and is nothing. */
  #run(items: readonly Item[]): Promise<readonly Ran[] | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Ran[] | undefined>();
    if (this.#signal.aborted) return Promise.resolve(undefined);
    const end = (): void => resolve(undefined);
    this.#signal.addEventListener("abort", end, { once: true });
    const tasks = items.map(({ task }) => task);
    const states = items.map(({ state }) => state);
    const startsMs = items.map(({ recorded }) => recorded.startMs);
    const stateVersions = items.map(({ recorded: { before } }) => (before.at === "kept" ? before.version : 0));
    this.#loaded.run(tasks, states, { startsMs, stateVersions }, ({ version, results }) => {
      this.#signal.removeEventListener("abort", end);
      const crashed = results.some(({ at }) => at === "crashed");
      if (crashed && ++this.#losses > LOSSES_MAX) {
        reject(new Fault("REPLAY_STOPPED", `version ${this.#plan.version} has cost ${this.#losses} runners`));
      } else if (version !== this.#plan.version && results.some(({ at }) => at === "done" || at === "failed")) {
        reject(new Fault("REPLAY_STOPPED", `version ${this.#plan.version} was taken out of service`));
      } else {
        // What is in the results is there during this call only.
        resolve(results.map((result, i) => this.#taken(items[i] as Item, result, items.length === 1)));
      }
    });
    return promise;
  }

  #taken({ task, recorded }: Item, result: RunResult, isAlone: boolean): Ran {
    if (result.at === "crashed" && isAlone) return failed("SANDBOX_RUNNER_LOST: it took its runner down");
    if (result.at === "failed") return failed(`${result.failure.code}: ${result.failure.message}`);
    if (result.at !== "done") return undefined;
    const outputs = this.#loaded.fill(task, result.outputs);
    if (outputs instanceof Fault) return failed(`${outputs.code}: ${outputs.message}`);
    const bytes = outputsAsBytes(outputs);
    const kept = this.#plan.apply ? outputs.map((output) => ({ ...output, data: Buffer.from(output.data) })) : NONE;
    const state = result.state === undefined ? UNCHANGED : likeKept(recorded.after, Buffer.from(result.state));
    return { came: { failed: undefined, outputs: likeKept(recorded.outputs, bytes), state }, outputs: kept };
  }

  #judge(found: Differences<ReplayDifference>, { task, recorded }: Item, ran: Ran, sent: Sent[]): void {
    if (ran === undefined) return;
    const first: Came = {
      failed: recorded.failure,
      outputs: keptText(recorded.outputs),
      state: recorded.after === undefined || recorded.failure !== undefined ? UNCHANGED : keptText(recorded.after),
    };
    const second =
      ran.came.failed === undefined ? ran.came : { ...ran.came, outputs: first.outputs, state: first.state };
    found.judge(first, second, (kind) => ({
      event: task.seq,
      topic: shortened(eventRecord.topic(task.page, task.at)),
      key: shortened(task.key),
      kind,
      version: recorded.version,
      recorded: shownOf(first, recorded.outputs.at === "here", kind),
      replayed: shownOf(ran.came, recorded.outputs.at === "here", kind),
    }));
    if (this.#plan.apply && ran.outputs.length > 0) sent.push({ task, outputs: ran.outputs });
  }
}

const NONE: readonly Output[] = [];
/** No state is that: it is no JSON. */
const UNCHANGED = "\0";

function failed(text: string): NonNullable<Ran> {
  return { came: { failed: text, outputs: "", state: UNCHANGED }, outputs: NONE };
}

function keptText(kept: Kept): string {
  return kept.at === "here" ? kept.bytes.latin1Slice() : kept.digest.latin1Slice();
}

/** `bytes` in the form in which the others were kept, so that the two can be compared. */
function likeKept(kept: Kept | undefined, bytes: Buffer): string {
  return kept?.at === "digest" ? digestOf(bytes).latin1Slice() : bytes.latin1Slice();
}

function shownOf(came: Came, isHere: boolean, kind: Kind): string {
  if (came.failed !== undefined) return shortened(came.failed);
  const state = came.state === UNCHANGED ? "state unchanged" : `state ${Buffer.from(came.state, "latin1").toString()}`;
  if (kind === "state") return shortened(state);
  if (!isHere) return `outputs with SHA-256 ${Buffer.from(came.outputs, "latin1").toString("hex")}`;
  const outputs = readOutputs(Buffer.from(came.outputs, "latin1")).map(({ data, json, topic }) => {
    const bytes = Buffer.from(data);
    return `${topic === "" ? "" : `${topic} `}${json ? bytes.toString() : `base64 ${bytes.toString("base64")}`}`;
  });
  return outputs.length === 0 ? "nothing" : shortened(outputs.join("\n"));
}

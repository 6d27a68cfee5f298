/**
 * A line: one handler or route as the pipeline works it. It says what a task's result becomes: outputs with everything
 * filled in, a further try after a wait, or a dead letter. That is decided here and nowhere else.
 */
import { eventRecord } from "../event.ts";
import { Fault } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Failure, Outcome, Output, Task } from "../task.ts";
import { backoffMs } from "../time.ts";
import type { Backoff, Clock } from "../time.ts";
import { BUDGETS, RATE } from "./budgets.ts";
import type { ChainContext } from "./chain.ts";
import { EmitRate } from "./emit-rate.ts";
import type { RateLimits } from "./emit-rate.ts";
import type { LineFigures } from "./line-figures.ts";
import { BATCH_TASKS_MAX, Lane } from "./lane.ts";
import type { Batch, Feed, Side } from "./lane.ts";
import { ParkedKeys } from "./parked.ts";
import { filledIn } from "./outputs.ts";
import type { Ended, Outcomes } from "./outcomes.ts";
import { Quarantine } from "./quarantine.ts";
import { Recent } from "./recent.ts";
import type { Probation, Verdict } from "./probation.ts";
import type { BatchResult, RunResult, Spent } from "./run.ts";
import type { ShadowDoors } from "./shadow.ts";
import { Standing } from "./standing.ts";
import { Watch } from "./watch.ts";
import type { WatchedVersions } from "./watch.ts";

/** What the pipeline has to know of a handler or route. */
export interface LineSettings extends WatchedVersions {
  readonly name: string;
  /** Journal id. */
  readonly id: number;
  /** Journal ids of the uplinks that its outputs go to when they name none. */
  readonly to: readonly number[];
  /** CloudEvents type of its outputs when they name none. */
  readonly type: string;
  readonly retry: Backoff & { readonly triesMax: number };
  /** Batches that one runner works on side by side. */
  readonly concurrency: number;
  readonly route: boolean;
  /**
   * "known": it has served before and counts as proven; "fresh": it has yet to show what it does; "same": the version that
   * ran until now, under other settings.
   */
  readonly trust: "known" | "fresh" | "same";
  readonly keyOf: (topic: string, device: string) => string;
  /** What is limited outside of the sandbox. */
  readonly limits?: RateLimits & { readonly stateTotalBytesMax: number };
}

export interface LineContext extends ChainContext {
  /** Runners that batches may go to, shared ones and the one apart. */
  readonly runners: number;
  /** Says the id of the dead letter, when it became one. `startMs`: what its clock began with; 0: it had none. */
  readonly settle: (task: Task, outcome: Outcome, version: number, startMs: number) => string | undefined;
  /** Whether all states of the task's handler stay within `bytesMax` when its key's becomes `state`, or shrink by it. */
  readonly fits: (task: Task, state: string, bytesMax: number) => boolean;
  /** Journal id of an uplink by its name, or undefined when there is none. */
  readonly uplink: (name: string) => number | undefined;
  /** Journal id of the outbox that ctx.publish goes through. */
  readonly local: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Runners that a handler may cost within ten minutes before it stands aside. */
  readonly lossesMax: number;
  /** Time without an offence after which a new version is proven. */
  readonly provenAfterMs: number;
  /** A line stands aside for so long. */
  readonly quarantined: (ms: number) => void;
  /** It hands out nothing for so long; then it is asked again. */
  readonly heldBack: (ms: number) => void;
  readonly outcomes?: Outcomes | undefined;
  /** A task of the handler `name` has become a dead letter. */
  readonly died?: ((name: string, task: Task, failure: Failure, letter: string) => void) | undefined;
  /** It was proven, and is not any more. */
  readonly offended: () => void;
  /** There is a verdict on a version that was on probation. Rejected, it gets nothing more to run. */
  readonly judged: (version: number, verdict: Verdict) => void;
  /** Runs what a shadow is to run. */
  readonly shadow: ShadowDoors["run"];
}

/** What says nothing of the version that fails with it. */
const PASSING: ReadonlySet<string> = new Set(["TASK_CHAIN_REFUSED"]);
/** A topic or key may have 64 KB; `sluice dead show` has all of it. */
const SHOWN_CHARS_MAX = 200;
const NOTHING_SPENT: Spent = {};

export class Line {
  settings: LineSettings;
  /** Its handler is gone for now: what waits goes on waiting. */
  paused = false;
  /** Its live version was rejected: what waits is for the one that takes its place. */
  held = false;
  /** Version that ran the last batch that came back. */
  version = 0;
  readonly lane: Lane;
  readonly parked: ParkedKeys;
  readonly quarantine: Quarantine;
  readonly standing: Standing;
  readonly watch: Watch;
  readonly #recent: Recent;
  readonly #context: LineContext;
  readonly #rate: EmitRate;
  readonly #budgets = new Map<string, number>();
  #lastPort = -1;
  /** Of the version whose batch is being settled: where its outputs go, and what they are. */
  #own: Pick<LineSettings, "to" | "type">;
  /** Uplinks that outputs have gone to since its version came, beside those of its settings. */
  readonly #named = new Set<number>();
  /** What its runner says that the batch took; how many of its tasks ran so far, and failed. */
  #spent: Spent = NOTHING_SPENT;
  #meanMs: number | undefined;
  /** Somebody looks at what becomes of each of its tasks. */
  #isWatched = false;
  #ran = 0;
  #failed = 0;
  /** What the clocks of the batch that is being settled began with. */
  #startMs = 0;
  /** Likewise: it is on probation. */
  #probation: Probation | undefined;
  #retried = 0;
  #dead = 0;

  /** `due` is called with keys whose parked tasks are to be tried again. */
  constructor(settings: LineSettings, context: LineContext, feed: Feed, due: (keys: readonly string[]) => void) {
    this.settings = settings;
    this.#context = context;
    const lost = (version: number): void => {
      if (!this.watch.isCandidate(version)) return; // It was dropped meanwhile.
      this.#judge({ at: "rejected", reason: "as a shadow it cost runners" }, version);
    };
    this.watch = new Watch([context.runners - 1], { run: context.shadow, lost }, context.clock);
    this.watch.take(settings);
    this.#recent = new Recent(context.clock);
    this.#own = settings;
    this.parked = new ParkedKeys(context.clock, () => this.settings.retry.maxMs, due);
    this.quarantine = new Quarantine(context.clock, context.lossesMax);
    this.#rate = new EmitRate(context.clock, () => this.settings.limits ?? {});
    this.standing = new Standing(context.clock, context.provenAfterMs);
    const width = (): number => this.settings.concurrency;
    this.lane = new Lane(settings.id, context.runners, feed, this.parked, width, (task) => this.park(task));
  }

  /** Goes on under these settings. True when they are another version's. */
  take(settings: LineSettings): boolean {
    const tried = this.watch.candidate?.version;
    const isAnother =
      settings.version !== this.settings.version || (tried !== undefined && tried !== settings.candidate?.version);
    if (isAnother) this.#named.clear();
    this.settings = settings;
    this.watch.take(settings);
    this.#own = settings;
    this.paused = this.held = false;
    return isAnother;
  }

  /** Whether its outputs go to an uplink that `isFull`: what outputs name is known once they have named it. */
  isHeldBack(isFull: (uplink: number) => boolean): boolean {
    if (this.settings.to.some(isFull)) return true;
    for (const uplink of this.#named) if (isFull(uplink)) return true;
    return false;
  }

  /** Which of the lane's ports is asked first: the one after that which had something last, so that each has its turn. */
  get turn(): number {
    return this.lane.ports.indexOf(this.#lastPort) + 1;
  }

  /** The version that is to run a task of this batch once more. */
  sideOf({ side }: Batch): Side {
    return this.watch.canary === undefined ? "live" : side;
  }

  /** The next batch for that port of the lane, as far as outputs may be had. */
  next(port: number): Batch | undefined {
    const room = this.#rate.room(this.lane.inFlight);
    if (room >= 1) {
      this.#rate.go();
      const batch = this.lane.next(port, Math.min(room, BATCH_TASKS_MAX));
      if (batch !== undefined) this.#lastPort = port;
      return batch;
    }
    if (this.lane.isEmpty) this.#rate.go();
    else this.#holdBack();
    return undefined;
  }

  #holdBack(): void {
    const { log, heldBack } = this.#context;
    const { name: handler, limits } = this.settings;
    const { wakeMs, isSaid } = this.#rate.hold(this.lane.inFlight);
    if (isSaid) {
      const fields = { handler, outputsPerSecond: limits?.outputsPerSecond, waiting: this.lane.waiting };
      log.warn(fields, "handler held back: it sends too much");
    }
    if (wakeMs !== undefined) heldBack(wakeMs);
  }

  /** What a result is taken for when the state that it brings is too much for the handler; undefined when it is not. */
  refused(task: Task, result: RunResult): RunResult | undefined {
    const { limits } = this.settings;
    if (limits === undefined || result.at !== "done" || result.state === undefined || result.state === "") return;
    if (this.#context.fits(task, result.state, limits.stateTotalBytesMax)) return;
    const message = `the states of all keys together would take more than ${limits.stateTotalBytesMax} bytes`;
    return { at: "failed", failure: { code: "SANDBOX_STATE_TOTAL", message }, final: false };
  }

  /** A batch is back; what its tasks came to is settled next. */
  begin(result: BatchResult, events: number): void {
    this.version = result.version;
    this.#startMs = result.startMs ?? 0;
    this.watch.begin(result, events);
    this.#spent = result;
    this.#meanMs = result.tookMs === undefined || events === 0 ? undefined : result.tookMs / events;
    this.#isWatched = this.#context.outcomes?.isWatched === true;
    this.#ran = this.#failed = 0;
    const { candidate, probation } = this.watch;
    this.#own = candidate?.version === this.version ? candidate : this.settings;
    this.#probation = probation;
  }

  /** All of its tasks are settled. */
  ended(): void {
    this.#recent.batch(this.#ran, this.#failed, this.#spent);
    const verdict = this.watch.verdict();
    if (verdict !== undefined) this.#judge(verdict, this.version);
  }

  #judge(verdict: Verdict, version: number): void {
    if (verdict.at === "rejected") {
      if (version === this.settings.version) this.held = true;
      this.watch.reject(version);
    }
    this.#context.judged(version, verdict);
  }

  /** Stages what `result` comes to for `task`. False when the task has to go out once more, having cost nothing. */
  settle(task: Task, result: RunResult): boolean {
    switch (result.at) {
      case "done": {
        const outputs = filledIn(task, result.outputs, this.#own, this.#context);
        if (outputs instanceof Fault) {
          this.fail(task, { code: outputs.code, message: outputs.message }, !outputs.passing);
        } else {
          this.watch.now.done++;
          if (this.#probation !== undefined) this.#probation.done++;
          this.#ran++;
          if (outputs.length > 0) this.#sends(outputs);
          this.#context.settle(task, { at: "done", outputs, state: result.state }, this.version, this.#startMs);
          if (this.#isWatched) this.#context.outcomes?.done(this.#ended(task, "done"), outputs);
          if (task.parked) this.parked.settled(task.key, 1);
        }
        return true;
      }
      case "failed":
        if (result.cost === "runner") this.costRunner();
        else if (result.cost === "isolate") this.#offended();
        this.fail(task, result.failure, result.final);
        return true;
      case "behind":
        if (task.parked) return true;
        // What it was behind may have become a dead letter, and then it need not wait at all.
        if (!this.parked.has(task.key)) return false;
        this.park(task);
        return true;
      case "crashed":
      case "unrun":
        return false;
    }
  }

  #sends(outputs: readonly Output[]): void {
    this.#rate.spend(outputs.length);
    for (const { to } of outputs) if (to !== this.settings.to) for (const uplink of to) this.#named.add(uplink);
  }

  /** One of its tasks has cost a runner. What a candidate does is not held against the live version. */
  costRunner(): void {
    this.#probation?.costRunner();
    if (!this.#isLive) return;
    this.#offended();
    const quarantinedMs = this.quarantine.add();
    if (quarantinedMs === 0) return;
    const { name } = this.settings;
    this.#context.log.error({ handler: name, quarantinedMs }, "handler in quarantine: it keeps costing runners");
    this.#context.quarantined(quarantinedMs);
  }

  /** What a candidate does, or a version that is gone, is not held against the live one. */
  get #isLive(): boolean {
    return this.version === this.settings.version;
  }

  #offended(): void {
    if (this.#isLive && this.standing.offended()) this.#context.offended();
  }

  /** A further try after a wait, or a dead letter when `final` or when there have been enough tries. */
  fail(task: Task, failure: Failure, final: boolean): void {
    const { clock, random, log } = this.#context;
    const { retry, name } = this.settings;
    const budget = BUDGETS[failure.code];
    if (budget !== undefined) this.#budgets.set(budget, (this.#budgets.get(budget) ?? 0) + 1);
    const { isTakenBack, now } = this.watch;
    const probation = PASSING.has(failure.code) ? undefined : this.#probation;
    now.failed++;
    this.#ran++;
    this.#failed++;
    const isFree = probation !== undefined || isTakenBack;
    const failed = probation?.failed(task.seq, `${failure.code}: ${failure.message}`);
    const tries = failed ?? (isTakenBack ? 1 : task.attempt + 1);
    // Rejected just now: the version before takes it.
    const isOver = (final || tries >= retry.triesMax) && !isTakenBack && probation?.isRejected !== true;
    if (isOver) {
      this.#dead++;
      const id = this.#context.settle(task, { at: "dead", failure }, this.version, this.#startMs);
      this.#context.outcomes?.failed(this.#ended(task, "dead"), failure, { tries, letter: id });
      this.#context.died?.(name, task, failure, id ?? "");
      const [topic, key] = [shortened(eventRecord.topic(task.page, task.at)), shortened(task.key)];
      const { code, message: reason } = failure;
      log.warn({ handler: name, id, topic, key, code, reason, where: placeOf(failure), tries }, "dead letter");
      if (task.parked) this.parked.settled(task.key, 1);
      return;
    }
    this.#retried++;
    const dueMs = clock.now() + backoffMs(retry, tries, random);
    this.#context.settle(task, { at: "retry", dueMs, failure, isFree }, this.version, this.#startMs);
    this.#context.outcomes?.failed(this.#ended(task, "retry"), failure, { tries, letter: undefined });
    if (task.parked) this.parked.again(task.key, dueMs);
    else this.parked.park(task.key, dueMs);
  }

  #ended(task: Task, status: Ended["status"]): Ended {
    return { handler: this.settings.name, version: this.version, task, ms: this.#meanMs, status };
  }

  /** An earlier task of its key waits for a further try: it queues up behind that one. */
  park(task: Task): void {
    this.#context.settle(task, { at: "behind" }, this.version, this.#startMs);
    this.parked.park(task.key, undefined);
  }

  /** The batch is back: the lane goes on, and parked keys that are through are freed or queued up again. */
  returned(batch: Batch, again: readonly Task[], ran?: number): void {
    for (const task of batch.tasks) {
      if (task.parked && !again.includes(task)) this.parked.returned(task.key);
    }
    this.lane.finished(batch, again, ran);
  }

  figures(): LineFigures {
    const { lane, parked, version, watch } = this;
    const recent = this.#recent;
    const budgets = Object.fromEntries(this.#budgets);
    if (this.#rate.spent > 0) budgets[RATE] = this.#rate.spent;
    return {
      name: this.settings.name,
      version,
      waiting: lane.waiting,
      running: lane.inFlight,
      parked: parked.tasks,
      retried: this.#retried,
      dead: this.#dead,
      runnersLost: this.quarantine.lost,
      quarantinedMs: this.quarantine.leftMs,
      budgets,
      heldBackMs: this.#rate.heldBackMs,
      proven: this.standing.isProven,
      // Made for whoever reads them: of 500 handlers they take a millisecond, and a status shows neither.
      get versions() {
        return watch.figures();
      },
      get recent() {
        return recent.figures();
      },
    };
  }

  close(): void {
    this.lane.close();
  }
}

/** file:line:column where it failed, or the file alone; undefined when its stack says neither. */
function placeOf({ stack }: Failure): string | undefined {
  const frame = /^ {4}at (?:.*\(|async )?([^()\n]+?)\)?$/m.exec(stack ?? "");
  return frame === null ? undefined : shortened(frame[1] ?? "");
}

function shortened(text: string): string {
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX - 1)}…` : text;
}

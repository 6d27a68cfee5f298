/**
 * The hot path: accept → run → settle.
 *
 * **accept** asks the triggers who wants the event and stages it, with a task for each, in the journal's open commit;
 * the device is acknowledged by the journal once that commit is on disk. **run** hands each lane's next batch to a
 * runner. **settle** stages what every task came to, one atomic unit a task (G2), and lets the lane go on. Nothing here
 * waits: what waits is the journal's commit, the runner, and time.
 *
 * P1  An event that nobody wants is acknowledged and counted, and leaves no trace in the journal.
 * P2  A task is settled exactly once; until then it is in its feed, its lane, a runner, or parked.
 * P3  What a task's failure costs is decided here and nowhere else: a further try, or a dead letter.
 * P4  Only the task that took a runner down twice, the second time alone, is made a dead letter for it (G5).
 */
import type { EventDraft } from "./event.ts";
import { eventRecord } from "./event.ts";
import { Fault } from "./fault.ts";
import type { Log } from "./log.ts";
import type { Failure, Outcome, Output, Task } from "./task.ts";
import { forward, ROUTE_VERSION } from "./tasks/forward.ts";
import { Lane } from "./tasks/lane.ts";
import type { Batch, Feed } from "./tasks/lane.ts";
import { ParkedKeys } from "./tasks/parked.ts";
import type { ParkedKey } from "./tasks/parked.ts";
import { Suspects } from "./tasks/suspects.ts";
import { backoffMs } from "./time.ts";
import type { Backoff, Clock } from "./time.ts";

export type Admission = "taken" | "later" | "refused";

export interface Receiver {
  committed(tag: number, fault: Fault | undefined): void;
}

/** An output as a handler gave it: what it leaves out is filled in from the handler's config and the event. */
export interface RawOutput {
  readonly data: Uint8Array;
  readonly json: boolean;
  readonly to?: readonly string[];
  readonly type?: string;
  readonly subject?: string;
  /** For ctx.publish: goes to local devices on this topic, and to no uplink. */
  readonly publish?: { readonly topic: string; readonly qos: 0 | 1 | 2; readonly retain: boolean };
}

export type RunResult =
  | { readonly at: "done"; readonly outputs: readonly RawOutput[]; readonly state: string | undefined }
  | { readonly at: "failed"; readonly failure: Failure; readonly final: boolean }
  /** An earlier task of its key in the same batch failed. */
  | { readonly at: "behind" }
  /** The runner died with it in its hands. */
  | { readonly at: "crashed" }
  /** It was not started, which costs no try. */
  | { readonly at: "unrun" };

export interface BatchResult {
  readonly version: number;
  readonly results: readonly RunResult[];
}

export interface Runners {
  readonly runners: number;
  run(
    runner: number,
    handler: number,
    batch: readonly Task[],
    states: readonly (string | undefined)[],
    done: (result: BatchResult) => void,
  ): void;
}

interface Journal {
  append(event: EventDraft, wanted: readonly number[], receiver: Receiver, tag: number, packetId?: number): Admission;
  settle(task: Task, outcome: Outcome, version: number): void;
  tasks(handler: number, keyOf: (topic: string, device: string) => string, wake: () => void): Feed;
  state(handler: number, keys: readonly string[]): (string | undefined)[] | Promise<(string | undefined)[]>;
  parked(handler: number): Promise<readonly ParkedKey[]>;
  readParked(handler: number, key: string, max: number): Promise<readonly Task[]>;
}

/** What the pipeline has to know of a handler or route. */
export interface LineSettings {
  readonly name: string;
  /** Journal id. */
  readonly id: number;
  /** Journal ids of the uplinks that its outputs go to when they name none. */
  readonly to: readonly number[];
  readonly type: string;
  readonly retry: Backoff & { readonly triesMax: number };
  readonly route: boolean;
  readonly keyOf: (topic: string, device: string) => string;
}

interface Line {
  settings: LineSettings;
  readonly lane: Lane;
  readonly parked: ParkedKeys;
  /** Its handler is gone for now: what waits goes on waiting. */
  paused: boolean;
  /** Version of the last batch that came back. */
  version: number;
}

export interface PipelineOptions {
  readonly journal: Journal;
  readonly runners: Runners;
  readonly wanted: (topic: string) => readonly number[];
  /** Journal id of an uplink by its name, or undefined when there is none. */
  readonly uplink: (name: string) => number | undefined;
  /** Journal id of the outbox that ctx.publish goes through. */
  readonly local: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** How many of a key's parked tasks are tried in one go. */
const PARKED_BATCH_MAX = 64;

export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #journal: Journal;
  readonly #runners: Runners;
  readonly #lines = new Map<number, Line>();
  readonly #suspects: Suspects<Line>;
  readonly #counts = { unmatched: 0, retried: 0, dead: 0 };

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#journal = options.journal;
    this.#runners = options.runners;
    this.#suspects = new Suspects(options.runners.runners);
  }

  // --- accept

  accept(event: EventDraft, receiver: Receiver, tag: number, packetId?: number): Admission {
    const wanted = this.#options.wanted(event.topic);
    if (wanted.length === 0) {
      this.#counts.unmatched++;
      receiver.committed(tag, undefined);
      return "taken";
    }
    return this.#journal.append(event, wanted, receiver, tag, packetId);
  }

  // --- run

  #run(line: Line): void {
    if (line.paused) return;
    for (let runner = 0; runner < this.#runners.runners; runner++) {
      if (this.#suspects.blocks(runner)) continue;
      for (let batch = line.lane.next(runner); batch !== undefined; batch = line.lane.next(runner)) {
        this.#hand(line, batch, batch.tasks, (result) => this.#settle(line, batch, result));
      }
    }
  }

  #hand(line: Line, { runner }: Batch, tasks: readonly Task[], done: (result: BatchResult) => void): void {
    if (line.settings.route) {
      queueMicrotask(() => done({ version: ROUTE_VERSION, results: forward(tasks) }));
      return;
    }
    const { id } = line.settings;
    const states = this.#journal.state(id, tasks.map(keyOfTask));
    if (states instanceof Promise) {
      states.then(
        (read) => this.#runners.run(runner, id, tasks, read, done),
        (error: unknown) => {
          this.#options.log.error({ handler: line.settings.name, err: error }, "state could not be read");
          setTimeout(() => done({ version: line.version, results: tasks.map(() => ({ at: "unrun" })) }), 1000);
        },
      );
    } else {
      this.#runners.run(runner, id, tasks, states, done);
    }
  }

  // --- settle

  #settle(line: Line, batch: Batch, { version, results }: BatchResult): void {
    line.version = version;
    const again: Task[] = [];
    let crashed: Task[] | undefined;
    for (let i = 0; i < batch.tasks.length; i++) {
      const task = batch.tasks[i] as Task;
      const result = results[i] as RunResult;
      if (result.at === "crashed") (crashed ??= []).push(task);
      else if (!this.#settleOne(line, task, result)) again.push(task);
    }
    if (crashed === undefined) {
      this.#return(line, batch, again);
      this.#run(line);
    } else {
      this.#suspects.hold(line, batch, crashed, again);
      this.#try(batch.runner);
    }
  }

  /** False when the task has to go out once more. */
  #settleOne(line: Line, task: Task, result: RunResult): boolean {
    switch (result.at) {
      case "done": {
        const outputs = this.#outputs(line, task, result.outputs);
        if (outputs instanceof Fault) {
          this.#fail(line, task, { code: outputs.code, message: outputs.message }, true);
        } else {
          this.#journal.settle(task, { at: "done", outputs, state: result.state }, line.version);
          if (task.parked) line.parked.settled(task.key, 1);
        }
        return true;
      }
      case "failed":
        this.#fail(line, task, result.failure, result.final);
        return true;
      case "behind":
        // What it was behind may have become a dead letter, and then it need not wait at all.
        if (task.parked || !line.parked.has(task.key)) return task.parked;
        this.#park(line, task);
        return true;
      case "crashed":
      case "unrun":
        return false;
    }
  }

  #fail(line: Line, task: Task, failure: Failure, final: boolean): void {
    const { retry, name } = line.settings;
    const tries = task.attempt + 1;
    if (final || tries >= retry.triesMax) {
      this.#counts.dead++;
      this.#options.log.warn({ handler: name, code: failure.code, reason: failure.message, tries }, "dead letter");
      this.#journal.settle(task, { at: "dead", failure }, line.version);
      if (task.parked) line.parked.settled(task.key, 1);
      return;
    }
    this.#counts.retried++;
    const dueMs = this.#options.clock.now() + backoffMs(retry, tries, this.#options.random);
    this.#journal.settle(task, { at: "retry", dueMs, failure }, line.version);
    if (task.parked) line.parked.again(task.key, dueMs);
    else line.parked.park(task.key, dueMs);
  }

  #park(line: Line, task: Task): void {
    this.#journal.settle(task, { at: "behind" }, line.version);
    line.parked.park(task.key, undefined);
  }

  /** Fills in what the handler left out. A Fault when it names an uplink that there is not. */
  #outputs(line: Line, task: Task, raw: readonly RawOutput[]): readonly Output[] | Fault {
    const outputs: Output[] = [];
    for (const { data, json, to, type, subject, publish } of raw) {
      let uplinks = line.settings.to;
      if (publish !== undefined) uplinks = [this.#options.local];
      else if (to !== undefined) {
        const named: number[] = [];
        for (const name of to) {
          const id = this.#options.uplink(name);
          if (id === undefined) return new Fault("OUTPUT_UPLINK_UNKNOWN", `no uplink is named "${name}"`);
          named.push(id);
        }
        uplinks = named;
      }
      const topic = publish?.topic ?? "";
      outputs.push({
        to: uplinks,
        data,
        json,
        type: type ?? line.settings.type,
        subject: subject ?? (publish === undefined ? eventRecord.topic(task.page, task.at) : topic),
        topic,
        qos: publish?.qos ?? 1,
        retain: publish?.retain ?? false,
      });
    }
    return outputs;
  }

  /** The lane gets its batch back, and parked keys that are through are freed or queued up again. */
  #return(line: Line, batch: Batch, again: readonly Task[]): void {
    if (line.parked.tasks > 0 || batch.tasks.some(isParked)) {
      for (const task of batch.tasks) if (task.parked && !again.includes(task)) line.parked.returned(task.key);
    }
    line.lane.finished(batch, again);
  }

  // --- trials of what was in the hands of a runner that died

  #try(runner: number): void {
    const trial = this.#suspects.next(runner);
    if (trial === undefined) {
      if (!this.#suspects.blocks(runner)) for (const line of this.#lines.values()) this.#run(line);
      return;
    }
    const { line, task, held } = trial;
    const over = (): void => {
      const last = this.#suspects.tried(trial);
      if (last !== undefined) this.#return(last.line, last.batch, last.again);
      this.#try(runner);
    };
    // An earlier suspect of its key may wait for a further try by now.
    if (task.parked ? line.parked.stopped(task.key) : line.parked.has(task.key)) {
      if (!task.parked) this.#park(line, task);
      over();
      return;
    }
    this.#hand(line, held.batch, [task], ({ version, results }) => {
      line.version = version;
      const result = results[0] as RunResult;
      if (result.at === "crashed") {
        const message = "the runner died while this event was the only one in it";
        this.#fail(line, task, { code: "TASK_CRASHED_RUNNER", message }, true);
      } else if (!this.#settleOne(line, task, result)) {
        this.#suspects.untried(trial);
        setImmediate(() => this.#try(runner));
        return;
      }
      over();
    });
  }

  // --- lines come and go

  /** Begins, or goes on under new settings, to run what waits for the handler. */
  async attach(settings: LineSettings): Promise<void> {
    const known = this.#lines.get(settings.id);
    if (known !== undefined) {
      known.settings = settings;
      known.paused = false;
      this.#run(known);
      return;
    }
    const { clock } = this.#options;
    const before = await this.#journal.parked(settings.id);
    const parked = new ParkedKeys(
      clock,
      () => line.settings.retry.maxMs,
      (keys) => this.#resume(line, keys),
    );
    const feed = this.#journal.tasks(
      settings.id,
      (topic, device) => line.settings.keyOf(topic, device),
      () => this.#run(line),
    );
    const lane = new Lane(settings.id, this.#runners.runners, feed, parked, (task) => this.#park(line, task));
    const line: Line = { settings, lane, parked, paused: false, version: 0 };
    this.#lines.set(settings.id, line);
    parked.restore(before);
    this.#run(line);
  }

  /** Nothing more of the handler is handed out; what waits for it stays where it is until it is attached again. */
  detach(handler: number): void {
    const line = this.#lines.get(handler);
    if (line !== undefined) line.paused = true;
  }

  /** A dead letter of the handler is a parked task again, due now. */
  redriven(handler: number, key: string): void {
    const line = this.#lines.get(handler);
    if (line === undefined) return;
    line.parked.park(key, this.#options.clock.now());
    line.parked.hasten(key);
  }

  #resume(line: Line, keys: readonly string[]): void {
    for (const key of keys) {
      this.#journal.readParked(line.settings.id, key, PARKED_BATCH_MAX).then(
        (tasks) => {
          line.parked.handedOut(key, tasks.length);
          line.lane.resume(tasks);
          this.#run(line);
        },
        (error: unknown) => {
          this.#options.log.error({ handler: line.settings.name, err: error }, "parked tasks could not be read");
          line.parked.unread(key, this.#options.clock.now() + 1000);
        },
      );
    }
  }

  /** True when no runner has a task of ours. */
  get idle(): boolean {
    for (const { lane } of this.#lines.values()) if (lane.inFlight > 0) return false;
    return true;
  }

  figures(): { unmatched: number; retried: number; dead: number; handlers: HandlerFigures[] } {
    const handlers = [...this.#lines.values()].map(({ settings, lane, parked, version }) => ({
      name: settings.name,
      version,
      running: lane.inFlight,
      parked: parked.tasks,
    }));
    return { ...this.#counts, handlers };
  }

  close(): void {
    for (const { lane } of this.#lines.values()) lane.close();
    this.#lines.clear();
  }
}

export interface HandlerFigures {
  readonly name: string;
  readonly version: number;
  readonly running: number;
  readonly parked: number;
}

const keyOfTask = (task: Task): string => task.key;
const isParked = (task: Task): boolean => task.parked;

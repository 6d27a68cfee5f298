/**
 * Door of the tasks: in what order and company a handler's tasks go to the runners.
 *
 * A lane belongs to one handler. It takes tasks from the handler's feed, deals them by key to the runners where the
 * handler has its place, and keeps tasks of one key in order without locks: a key that is in a runner's hands is *busy*,
 * and what comes for it meanwhile waits until the batch is back.
 *
 * L1  Tasks of one key are handed out in the order of their sequence numbers, one batch at a time, also when the runners
 *     change between two of them.
 * L2  A key with a parked task hands out only parked tasks; later ones are parked behind it.
 * L3  At most one batch more than the runner may work on side by side (`width`) is with it, of at most
 *     {@link BATCH_TASKS_MAX} tasks and about {@link BATCH_BYTES_MAX} bytes each; what waits is shared out among them.
 * L4  At most {@link HELD_MAX} tasks have left the feed and not been handed out, and at most {@link PARKED_MAX} are
 *     parked (plus what was in flight when the limit was reached): past that the lane takes nothing more, and the
 *     handler's backlog waits on disk.
 * L5  A key whose events take a runner's whole slice is *slow* for a while: its tasks go out behind those of other keys,
 *     one with each batch that has others. So it has its turn, and the others do not wait for all that has piled up of it,
 *     as long as that is less than L4 lets the lane hold.
 * L6  A key is the candidate's or the live version's by its hash and the share alone, so it stays on one side while the
 *     share does.
 */
import { eventRecord } from "../event.ts";
import type { Task } from "../task.ts";
import type { ParkedKeys } from "./parked.ts";

export const BATCH_TASKS_MAX = 256;
export const BATCH_BYTES_MAX = 1024 * 1024;
export const HELD_MAX = 4096;
export const PARKED_MAX = 20_000;
/** Where the slice is over after so many tasks, the last of them has taken most of it. */
const SLOW_TASKS = 8;
/** A key is slow until so many batches have gone out since it last was. */
const SLOW_BATCHES = 64;
/** So many tasks of slow keys are looked at for one whose key is free. */
const SLOW_LOOKS = 64;

/** What a lane needs of the journal's feed. */
export interface Feed {
  take(): Task | undefined;
  /** Tasks that are not settled, in memory and on disk, handed out or not; parked ones excluded. */
  readonly waiting: number;
  close(): void;
}

/** Which of a handler's versions runs something: the one that is live, or one that is tried on a share of the keys. */
export type Side = "live" | "candidate";

export interface Batch {
  readonly runner: number;
  readonly side: Side;
  /** Where it was waited for. */
  readonly port: number;
  readonly tasks: Task[];
}

/** A share of the keys, from 0 to 1, runs on the candidate, in these runners. */
export interface Canary {
  readonly places: readonly number[];
  readonly share: number;
}

/** A key in a runner's hands: by which batch, and what has come for it since. */
interface Busy {
  batch: Batch;
  waiting: Task[] | undefined;
}

/** Of a slow key: how many tasks wait in lists of their own, and until which batch it counts as slow without any. */
interface Slow {
  waiting: number;
  until: number;
}

/** What waits for one runner and side. `front` goes first: tasks that were there before those of the queue; `slow` last. */
interface Port {
  front: Task[];
  queue: Task[];
  slow: Task[];
  outstanding: number;
}

export class Lane {
  readonly handler: number;
  readonly #feed: Feed;
  readonly #parked: ParkedKeys;
  readonly #width: () => number;
  /** A task whose key is parked and that is not itself parked yet. The pipeline settles it as "behind". */
  readonly #behind: (task: Task) => void;
  readonly #runners: number;
  /** By runner those of the live version, then likewise those of the candidate. */
  readonly #ports: Port[];
  #places: readonly number[] = [0];
  #canary: Canary | undefined;
  /** Numbers of ports that tasks are dealt to. */
  #open: readonly number[] = [0];
  readonly #busy = new Map<string, Busy>();
  /** Keys in a runner's hands of which nothing counts that comes back. */
  voided: Set<string> | undefined;
  readonly #slow = new Map<string, Slow>();
  /** Batches handed out so far. */
  #batches = 0;
  #held = 0;
  #inFlight = 0;

  constructor(
    handler: number,
    runners: number,
    feed: Feed,
    parked: ParkedKeys,
    width: () => number,
    behind: (task: Task) => void,
  ) {
    this.handler = handler;
    this.#feed = feed;
    this.#parked = parked;
    this.#width = width;
    this.#behind = behind;
    this.#runners = runners;
    this.#ports = Array.from({ length: 2 * runners }, () => ({ front: [], queue: [], slow: [], outstanding: 0 }));
  }

  /** Tasks in runners' hands. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Tasks that wait for their turn, in memory and on disk. */
  get waiting(): number {
    return Math.max(0, this.#feed.waiting - this.#inFlight);
  }

  /** Nothing waits that it could hand out. */
  get isEmpty(): boolean {
    return this.#held === 0 && this.waiting === 0;
  }

  /** Runners that the live version's tasks are dealt to; others may still have batches. */
  get places(): readonly number[] {
    return this.#places;
  }

  /** What `next` is to be called with: one for each runner and side that tasks are dealt to. */
  get ports(): readonly number[] {
    return this.#open;
  }

  runnerOf(port: number): number {
    return port % this.#runners;
  }

  /** From now on tasks are dealt to `places`, and a share of the keys to the canary's; what waits already included. */
  place(places: readonly number[], canary?: Canary): void {
    if (places === this.#places && canary === this.#canary) return;
    this.#places = places;
    this.#canary = canary;
    this.#open = canary === undefined ? places : [...places, ...canary.places.map((runner) => runner + this.#runners)];
    const waiting = this.#ports.map(
      (port) => [port.front.splice(0), port.queue.splice(0), port.slow.splice(0)] as const,
    );
    for (const [front, queue, slow] of waiting) {
      for (const task of front) this.#portOf(task).front.push(task);
      for (const task of queue) this.#portOf(task).queue.push(task);
      for (const task of slow) this.#portOf(task).slow.push(task);
    }
  }

  /**
   * The next batch for the runner and side of `number`, of at most `most` tasks, now in its hands; undefined when it has
   * enough to do or there is nothing (L3).
   */
  next(number: number, most = BATCH_TASKS_MAX): Batch | undefined {
    const port = this.#ports[number] as Port;
    const width = this.#width();
    if (port.outstanding > width) return undefined;
    const tasksMax = Math.min(most, width === 1 ? BATCH_TASKS_MAX : this.#share(width));
    const side = number < this.#runners ? "live" : "candidate";
    const batch: Batch = { runner: this.runnerOf(number), side, port: number, tasks: [] };
    this.#batches++;
    // A place for a slow key's task; where there is one place only, every other time.
    const isKept = port.slow.length > 0 && (tasksMax > 1 || this.#batches % 2 === 0);
    const othersMax = isKept ? tasksMax - 1 : tasksMax;
    let bytes = this.#fill(batch, port.front, 0, othersMax);
    bytes = this.#fill(batch, port.queue, bytes, othersMax);
    while (batch.tasks.length < othersMax && bytes < BATCH_BYTES_MAX && this.#mayTake()) {
      const task = this.#feed.take();
      if (task === undefined) break;
      const to = this.#portOf(task);
      if (to !== port) {
        to.queue.push(task);
        this.#held++;
      } else if (this.#slow.size > 0 && this.#isSlow(task.key)) {
        this.#putSlow(port, task);
        this.#held++;
      } else if (this.#claim(batch, task)) {
        bytes += eventRecord.length(task.page, task.at);
      }
    }
    if (port.slow.length > 0) this.#fillSlow(batch, port, batch.tasks.length === 0 ? SLOW_TASKS : 1, tasksMax);
    if (batch.tasks.length === 0) return undefined;
    port.outstanding++;
    this.#inFlight += batch.tasks.length;
    return batch;
  }

  /** Parked tasks whose time has come, oldest first (L2). */
  resume(tasks: readonly Task[]): void {
    this.#held += tasks.length;
    for (const task of tasks) this.#portOf(task).front.push(task);
  }

  /**
   * The batch is back, and settled but for `again`, which go out once more, in order, before anything later of their
   * keys. `ran`: so many tasks of it had been run when the slice was over.
   */
  finished(batch: Batch, again: readonly Task[], ran = batch.tasks.length): void {
    (this.#ports[batch.port] as Port).outstanding--;
    this.#inFlight -= batch.tasks.length;
    if (ran < batch.tasks.length && ran > 0 && ran <= SLOW_TASKS) this.#mark((batch.tasks[ran - 1] as Task).key);
    const first: Task[] = again.length === 0 ? [] : [...again];
    this.#held += again.length;
    for (const { key } of batch.tasks) {
      const busy = this.#busy.get(key);
      if (busy === undefined || busy.batch !== batch) continue;
      this.#busy.delete(key);
      this.voided?.delete(key);
      if (busy.waiting !== undefined) for (const task of busy.waiting) first.push(task);
    }
    if (this.voided?.size === 0) this.voided = undefined;
    if (first.length > 0) this.#toFront(first);
  }

  /** What a runner has of the key counts for nothing when it comes back, and has to run again. */
  void(key: string): void {
    if (this.#busy.has(key)) (this.voided ??= new Set()).add(key);
  }

  /** What comes back of the key counts from here on: it is handed out again while its batch is not back. */
  heed(key: string): void {
    this.voided?.delete(key);
  }

  close(): void {
    this.#feed.close();
    this.#parked.close();
  }

  #toFront(tasks: Task[]): void {
    for (const number of this.#open) {
      const port = this.#ports[number] as Port;
      const own = this.#open.length === 1 ? tasks : tasks.filter((task) => this.#portOf(task) === port);
      if (own.length === 0) continue;
      if (this.#slow.size === 0) {
        port.front = own.concat(port.front);
        continue;
      }
      const slow = own.filter(({ key }) => this.#isSlow(key));
      for (const { key } of slow) (this.#slow.get(key) as Slow).waiting++;
      port.slow = slow.concat(port.slow);
      port.front = own.filter(({ key }) => !this.#slow.has(key)).concat(port.front);
    }
  }

  // --- slow keys (L5). While tasks of one wait in a list of its port, all that comes of it waits there, or order would go.

  #mark(key: string): void {
    const until = this.#batches + SLOW_BATCHES;
    const slow = this.#slow.get(key);
    if (slow !== undefined) slow.until = until;
    else this.#slow.set(key, { waiting: 0, until });
    // Otherwise those that nothing comes of any more would stay: more than this cannot wait.
    if (this.#slow.size > HELD_MAX) for (const each of this.#slow.keys()) this.#isSlow(each);
  }

  #isSlow(key: string): boolean {
    const slow = this.#slow.get(key);
    if (slow === undefined) return false;
    if (slow.waiting > 0 || slow.until > this.#batches) return true;
    this.#slow.delete(key);
    return false;
  }

  #putSlow(port: Port, task: Task): void {
    (this.#slow.get(task.key) as Slow).waiting++;
    port.slow.push(task);
  }

  /** Adds up to `most` tasks of slow keys that are in nobody's hands, the oldest first. */
  #fillSlow(batch: Batch, port: Port, most: number, tasksMax: number): void {
    const until = Math.min(batch.tasks.length + most, tasksMax);
    for (let at = 0; at < port.slow.length && at < SLOW_LOOKS && batch.tasks.length < until;) {
      const task = port.slow[at] as Task;
      const busy = this.#busy.get(task.key);
      if (busy !== undefined && busy.batch !== batch) {
        at++;
        continue;
      }
      port.slow.splice(at, 1);
      (this.#slow.get(task.key) as Slow).waiting--;
      this.#held--;
      this.#claim(batch, task);
    }
  }

  #portOf({ key }: Task): Port {
    const canary = this.#canary;
    const isCandidates = canary !== undefined && shareOf(key) < canary.share;
    const places = isCandidates ? canary.places : this.#places;
    const runner = (places.length === 1 ? places[0] : places[hash(key) % places.length]) as number;
    return this.#ports[isCandidates ? runner + this.#runners : runner] as Port;
  }

  /** A batch runs its tasks one after another: what waits is for all that run side by side. */
  #share(width: number): number {
    return Math.min(BATCH_TASKS_MAX, Math.max(1, Math.ceil(this.waiting / (width * this.#places.length))));
  }

  #mayTake(): boolean {
    return this.#held < HELD_MAX && this.#parked.tasks < PARKED_MAX;
  }

  /** Moves tasks from the head of `queue` into the batch while there is room; returns the batch's bytes. */
  #fill(batch: Batch, queue: Task[], bytes: number, tasksMax: number): number {
    let taken = 0;
    while (taken < queue.length && batch.tasks.length < tasksMax && bytes < BATCH_BYTES_MAX) {
      const task = queue[taken++] as Task;
      if (this.#slow.size > 0 && this.#isSlow(task.key)) {
        this.#putSlow(this.#portOf(task), task);
        continue;
      }
      this.#held--;
      if (this.#claim(batch, task)) bytes += eventRecord.length(task.page, task.at);
    }
    if (taken > 0) queue.splice(0, taken);
    return bytes;
  }

  /** Puts `task` into the batch, unless its key is busy or parked (L1, L2): then it waits where that says. */
  #claim(batch: Batch, task: Task): boolean {
    const busy = this.#busy.get(task.key);
    if (busy !== undefined && busy.batch !== batch) {
      (busy.waiting ??= []).push(task);
      this.#held++;
      return false;
    }
    if (task.parked) {
      if (this.#parked.stopped(task.key)) {
        this.#parked.returned(task.key);
        return false;
      }
    } else if (this.#parked.has(task.key)) {
      this.#behind(task);
      return false;
    }
    if (busy === undefined) this.#busy.set(task.key, { batch, waiting: undefined });
    batch.tasks.push(task);
    return true;
  }
}

/** Where a key lies between 0 and 1, whatever runner it is dealt to. */
function shareOf(key: string): number {
  return (Math.imul(hash(key) ^ 0x5bd1e995, 0x9e3779b1) >>> 0) / 0x1_0000_0000;
}

/** FNV-1a over UTF-16 code units: spreads keys over runners, nothing more. */
function hash(key: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/**
 * The writer loop: one write in flight, and everything that is staged meanwhile is the next one. An idle journal commits
 * at the end of the turn in which something was staged, so what arrived together is written together. Where nobody waits
 * (outcomes and receipts), it waits a moment for somebody who does: the next event would wait behind that write.
 *
 * After a write error the store's memory cannot be trusted: LevelDB may lose what it had acknowledged before. The store
 * is closed and opened again, what is on disk is compared with what was committed, and the very same batch is written
 * again, until it works. Its operations are puts and deletes of absolute values, so once or twice is the same.
 */
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import { backoffMs, sleep } from "../time.ts";
import type { Clock } from "../time.ts";
import { Group } from "./group.ts";
import type { Operation } from "./store.ts";

const RETRY = { firstMs: 25, maxMs: 1000 };

export interface WriterDoors {
  /** Turns what is staged into the batch. */
  cut(group: Group): Operation[];
  write(operations: Operation[]): Promise<void>;
  /** Closes and opens the store again, and looks whether all commits before `number` are there. */
  reopen(number: number, attempt: number, error: unknown): Promise<void>;
  /** The group is on disk: tells those who wait for it. */
  acknowledge(group: Group): void;
  /** Everything else that follows, once acknowledgements have had their turn to leave. */
  landed(group: Group): void;
  /** Called when it has failed for as long as it takes to refuse. */
  givenUp(): void;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long something staged may wait for company, when nobody waits for it. */
const PATIENCE_MS = 2;

/** After so long without a successful write, events are refused instead of put off. */
const REFUSE_AFTER_MS = 5000;

export class Writer {
  /** What is being staged. */
  group: Group;
  readonly #doors: WriterDoors;
  #flying: Group | undefined;
  #scheduled = false;
  #patience: NodeJS.Timeout | undefined;
  #failingSinceMs: number | undefined;
  #givenUp = false;
  #stopped = false;
  commits = 0;
  commitMs = 0;
  commitMsMax = 0;
  failures = 0;
  reopens = 0;

  constructor(doors: WriterDoors, lastCommit: number) {
    this.#doors = doors;
    this.group = new Group(lastCommit + 1);
  }

  get stagedBytes(): number {
    return this.group.bytes + (this.#flying?.bytes ?? 0);
  }

  get failing(): boolean {
    return this.#failingSinceMs !== undefined;
  }

  /** It has failed for as long as it takes to refuse. Once it was told it stays so, whatever two clocks say of 5 s. */
  get hasGivenUp(): boolean {
    return this.#givenUp || this.#failingForMs >= REFUSE_AFTER_MS;
  }

  get #failingForMs(): number {
    return this.#failingSinceMs === undefined ? 0 : this.#doors.clock.monotonic() - this.#failingSinceMs;
  }

  /** Has what is staged written, soon. Cheap: call it whenever something was staged. */
  readonly schedule = (): void => {
    if (this.#scheduled || this.#flying !== undefined) return;
    if (this.group.isAwaited) {
      this.#scheduled = true;
      setImmediate(this.#start);
    } else {
      this.#patience ??= setTimeout(this.#start, PATIENCE_MS);
    }
  };

  /** Resolves when everything staged before the call is on disk. */
  synced(): Promise<void> {
    if (!this.group.dirty && this.#flying === undefined) return Promise.resolve();
    const group = this.group.dirty ? this.group : (this.#flying as Group);
    return new Promise((resolve) => {
      group.waiters.push(resolve);
      this.schedule();
    });
  }

  /** Stops trying: what is staged and not on disk never will be, and whoever waits for it hears so. */
  stop(): void {
    clearTimeout(this.#patience);
    this.#stopped = true;
    for (const group of [this.#flying, this.group]) {
      if (group === undefined || group.receivers.length === 0) continue;
      const fault = new Fault("JOURNAL_CLOSED", "The journal was closed before this could be written.");
      for (const [i, receiver] of group.receivers.entries()) receiver.committed(group.tags[i] as number, fault);
      // A write that lands after all tells nobody a second time.
      group.receivers.length = 0;
    }
  }

  readonly #start = (): void => {
    this.#scheduled = false;
    clearTimeout(this.#patience);
    this.#patience = undefined;
    const { group } = this;
    if (!group.dirty || this.#flying !== undefined || this.#stopped) return;
    this.#flying = group;
    const operations = this.#doors.cut(group);
    this.group = new Group(group.number + 1);
    const startMs = this.#doors.clock.monotonic();
    this.#doors.write(operations).then(
      () => this.#landed(group, startMs),
      (error: unknown) => void this.#recover(group, operations, error, startMs),
    );
  };

  #landed(group: Group, startMs: number): void {
    const tookMs = this.#doors.clock.monotonic() - startMs;
    this.commits++;
    this.commitMs += tookMs;
    if (tookMs > this.commitMsMax) this.commitMsMax = tookMs;
    this.#doors.acknowledge(group);
    group.receivers.length = 0;
    // The microtasks in which acknowledgements leave come first: a device waits for them, and nobody for what follows.
    queueMicrotask(() => {
      this.#flying = undefined;
      this.#doors.landed(group);
      for (const waiter of group.waiters) waiter();
      if (this.group.dirty) this.schedule();
    });
  }

  async #recover(group: Group, operations: Operation[], first: unknown, startMs: number): Promise<void> {
    const { clock, log } = this.#doors;
    this.#failingSinceMs = clock.monotonic();
    let error = first;
    const giveUp = setTimeout(() => {
      this.#givenUp = true;
      this.#doors.givenUp();
    }, REFUSE_AFTER_MS);
    for (let attempt = 1; !this.#stopped; attempt++) {
      this.failures++;
      if (attempt === 1 || attempt % 30 === 0) {
        log.error({ commit: group.number, attempt, reason: messageOf(error) }, "the journal cannot be written");
      }
      await sleep(attempt === 1 ? 0 : backoffMs(RETRY, attempt - 1, Math.random));
      try {
        await this.#doors.reopen(group.number, attempt, error);
        this.reopens++;
        await this.#doors.write(operations);
      } catch (again) {
        error = again;
        continue;
      }
      clearTimeout(giveUp);
      const forMs = Math.round(this.#failingForMs);
      this.#failingSinceMs = undefined;
      this.#givenUp = false;
      log.warn({ commit: group.number, attempt, forMs }, "the journal can be written again");
      // Not where errors mean another try: it is on disk, and is told once (J1).
      this.#landed(group, startMs);
      return;
    }
    clearTimeout(giveUp);
  }
}

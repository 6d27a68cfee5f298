/**
 * The journal: the durable store of events, tasks, state, outbox and dead letters.
 *
 * **Group commit.** All calls that change something stage it, synchronously, in the open group. One write is in flight at
 * a time; when it ends, what was staged meanwhile is cut into one LevelDB batch with `sync: true` (writer.ts). An idle
 * journal commits at the end of the turn. So a busy journal pays one fsync for hundreds of events, an idle one waits for
 * nothing.
 *
 * **Pages, not rows.** A row costs LevelDB about 4 µs. Events of one commit are packed into pages of up to 256 records or
 * 64 KB (page.ts), and so are the outputs of each uplink. A *log* is a sequence of pages with contiguous numbers: the
 * events, and one outbox per uplink. A *consumer* of a log, a handler or an uplink, has its *progress*: a number below
 * which all is settled, and a bitmap of what is settled above it (progress.ts). So there are no rows per task, and opening
 * does not read the backlog. Tasks that wait for a further try are *parked* in rows of their own, so that progress goes on.
 *
 * **Books.** Each commit carries a commit record: its number, the heads, and every consumer that it changed, counters and
 * progress together (header.ts, consumer.ts). Two copies of all of them are checkpointed every 64 commits. A gap in the
 * numbers of commits, of events or of outputs, or in the count of a handler's tasks, is a loss, and is seen.
 *
 * J1  committed() is called for what was staged after its batch is synced, in the order of staging, and only then.
 * J2  What one call stages is in one batch: all of it is on disk, or none.
 * J3  A task that is settled is never handed out again; one that is not is handed out again after a restart (feed.ts).
 * J4  Nothing is handed out whose checksum, key or number does not fit. What is lost is reported with its range, counted
 *     as dropped, and passed over (log.ts, recovery.ts).
 * J5  After a write error nothing is acknowledged until the store has been closed and opened and the same batch is on disk.
 * J6  The ledger's columns are on disk with what they count, and add up (ledger.ts).
 * J7  Memory is bounded: staged bytes, feed windows, caches, parked and dead rows all have limits. So is the disk: at
 *     `sizeMax` events are refused, or the oldest waiting tasks dropped (retention.ts).
 * J8  A number is never used again: not of an event, not of an output, not of a handler.
 */
import { join } from "node:path";
import type { EventDraft } from "../event.ts";
import { Fault } from "../fault.ts";
import type { Outcome, Task } from "../task.ts";
import { sleep } from "../time.ts";
import { arrive } from "./arrive.ts";
import { audit } from "./audit.ts";
import { Consumer, HANDLER, UPLINK } from "./consumer.ts";
import { isBrimming } from "./core.ts";
import type { Core, OutboxLimits } from "./core.ts";
import type { DamageReport } from "./damage.ts";
import { deadId } from "./dead.ts";
import { Feeds } from "./feeds.ts";
import { figuresOf } from "./figures.ts";
import type { JournalFigures } from "./figures.ts";
import type { Receiver } from "./group.ts";
import { handlerColumns, ledgerOf } from "./ledger.ts";
import type { EventColumns, Ledger } from "./ledger.ts";
import { DeadLetters } from "./letters.ts";
import { consumersOf, newOutbox, openCore } from "./open.ts";
import { limitsOf, STATE_CACHE_BYTES_MAX } from "./options.ts";
import type { JournalOptions } from "./options.ts";
import { Once } from "./once.ts";
import type { OutboxFeed } from "./outbox-feed.ts";
import type { ParkedKey } from "./parked.ts";
import { dropPending, pendingOf } from "./pending.ts";
import type { Pending } from "./pending.ts";
import { Past } from "./past.ts";
import { Progress } from "./progress.ts";
import { Retention } from "./retention.ts";
import { Room } from "./room.ts";
import type { Admission } from "./room.ts";
import { receive, settle } from "./settle.ts";
import type { Receipt } from "./settle.ts";
import { StateDoor } from "./state-door.ts";
import { endRun } from "./tables.ts";
import type { TaskFeed } from "./task-feed.ts";

export type { JournalOptions } from "./options.ts";
export type { Admission } from "./room.ts";
export type { Receiver } from "./group.ts";
export type { TaskFeed } from "./task-feed.ts";
export type { OutboxFeed } from "./outbox-feed.ts";
export type { OutboxLimits } from "./core.ts";
export type { Receipt } from "./settle.ts";
export type { ParkedKey } from "./parked.ts";
export type { DamageReport } from "./damage.ts";
export type { EventColumns, Ledger } from "./ledger.ts";
export type { JournalFigures } from "./figures.ts";
export type { StoreFactory } from "./store.ts";
export { levelStore } from "./store.ts";

export class Journal {
  /** Called once when `later` has ended, or has become `refused`. */
  onRoom: () => void = () => undefined;
  /** Called when a dead task has been redriven: it is parked under `key`, due now. */
  onParked: (handler: number, key: string) => void = () => undefined;
  /** A parked task is to be dropped, for want of room. False: tasks of its key are being run, and it stays. */
  onDrop: (handler: number, key: string) => boolean = () => true;
  readonly dead: DeadLetters;
  readonly once: Once;
  readonly past: Past;
  /** What handlers remember, for people. */
  readonly states: StateDoor;
  readonly #core: Core;
  readonly #ended: () => Promise<void>;
  readonly #retention: Retention;
  readonly #handlerIds = new Map<string, number>();
  readonly #uplinkIds = new Map<string, number>();
  readonly #room: Room;
  readonly #feeds: Feeds;
  #closed = false;

  /**
   * Locks the folder, recovers, and reports damage.
   *
   * @throws Fault JOURNAL_LOCKED when another gateway has the folder, JOURNAL_FORMAT when a newer program wrote it,
   *   JOURNAL_UNOPENABLE when neither opening nor repairing works.
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const { path, clock, log, store, freeBytes } = options;
    const stateCacheBytesMax = options.stateCacheBytesMax ?? STATE_CACHE_BYTES_MAX;
    const core = await openCore({ path, limits: limitsOf(options), clock, log, store, freeBytes, stateCacheBytesMax });
    const journal = new Journal(core, () => endRun(join(path, "journal")));
    journal.#retention.start(options.sweepMs ?? 1000);
    return journal;
  }

  private constructor(core: Core, ended: () => Promise<void>) {
    this.#core = core;
    this.#ended = ended;
    this.#retention = new Retention(core, (handler, key) => this.onDrop(handler, key));
    this.dead = new DeadLetters(core, (handler, key) => this.onParked(handler, key));
    for (const { kind, name, id } of consumersOf(core)) {
      (kind === HANDLER ? this.#handlerIds : this.#uplinkIds).set(name, id);
    }
    this.#feeds = new Feeds(core, this.#retention.soon);
    this.#room = new Room(core, this.#retention, () => this.onRoom());
    core.room = this.#room;
    this.once = new Once(core, this.#room);
    this.past = new Past(core);
    this.states = new StateDoor(core);
  }

  /** Drawn with the data folder: 12 hex characters. See eventId(). */
  get id(): string {
    return this.#core.header.id;
  }

  /** What was found damaged since start. */
  get damage(): readonly DamageReport[] {
    return this.#core.damage.reports;
  }

  // --- names

  /** A small number for a handler or route, from 1, the same for ever; durable with the next commit. */
  handlerId(name: string): number {
    const known = this.#handlerIds.get(name);
    if (known !== undefined) return known;
    const { header, handlers } = this.#core;
    const handler = new Consumer(HANDLER, claimId(header.handlerNext++, "handlers"), name);
    // A new handler sees what comes from now on.
    handler.nextSeq = header.head;
    handlers[handler.id] = handler;
    this.#handlerIds.set(name, handler.id);
    this.#made(handler);
    return handler.id;
  }

  /** As handlerId(), of one that has a number already. */
  knownHandler(name: string): number | undefined {
    return this.#handlerIds.get(name);
  }

  handlerName(id: number): string {
    return this.#core.handlers[id]?.name ?? `handler ${id}`;
  }

  uplinkId(name: string): number {
    const known = this.#uplinkIds.get(name);
    if (known !== undefined) return known;
    const { header, outboxes } = this.#core;
    const uplink = new Consumer(UPLINK, claimId(header.uplinkNext++, "uplinks"), name);
    uplink.progress = new Progress(1);
    uplink.ordinals = uplink.committed = uplink.tail = uplink.taken = 1;
    outboxes[uplink.id] = newOutbox(uplink);
    this.#uplinkIds.set(name, uplink.id);
    this.#made(uplink);
    return uplink.id;
  }

  uplinkName(id: number): string {
    return this.#core.outboxes[id]?.uplink.name ?? `uplink ${id}`;
  }

  #made(consumer: Consumer): void {
    consumer.idleSinceMs = this.#core.clock.monotonic();
    this.#core.writer.group.touch(consumer);
    this.#core.writer.schedule();
  }

  /** Whoever runs has opened its feed: what waits for others will expire. Until then nothing does. */
  begun(): void {
    this.#feeds.begun();
  }

  // --- staging

  /**
   * Stages an event and a task for each handler in `wanted`, all different; `receiver.committed(tag)` follows when they
   * are on disk. With `packetId`, the device's QoS 2 message is claimed in the same commit; if it was claimed before, the
   * event is here already and only the answer is staged.
   */
  append(event: EventDraft, wanted: readonly number[], receiver: Receiver, tag: number, packetId?: number): Admission {
    const core = this.#core;
    const { group } = core.writer;
    const admission = this.#room.admission();
    if (admission !== "taken") return admission;
    if (packetId !== undefined) {
      if (core.claims.has(event.device, packetId)) return this.#answer(receiver, tag);
      if (core.claims.full) return this.#room.refuse();
      core.claims.stage(group, event.device, packetId);
      // Nobody wants it: the claim is all there is to keep.
      if (wanted.length === 0) return this.#answer(receiver, tag);
    }
    arrive(core, event, wanted);
    return this.#answer(receiver, tag);
  }

  /**
   * Stages what a task came to: its end, its outputs and its state, its further try or its dead letter, and the ledger
   * (G2). `startMs`, what its clock began with, has it recorded for replays (records.ts). A task that is not in hand any more, because it was dropped meanwhile, is left as it is. Says the id of the dead
   * letter, when it became one.
   */
  settle(task: Task, outcome: Outcome, version: number, startMs = 0): string | undefined {
    const core = this.#core;
    const isSettled = settle(core, task, outcome, version, startMs);
    if (!isSettled) core.late++;
    core.writer.schedule();
    return isSettled && outcome.at === "dead" ? deadId(core.dead.next - 1) : undefined;
  }

  /** Whether there is room for the events that the handler's outputs make. It is looked at before, for settle() takes all. */
  takesChained(handler: number): boolean {
    const { full, writer, chained } = this.#core;
    return full !== "refuse" && !writer.hasGivenUp && !isBrimming(this.#core) && chained.takes(handler);
  }

  /** Stages receipts of an uplink: their entries are settled. Rejected ones are kept as dead letters. */
  received(uplink: number, receipts: readonly Receipt[]): void {
    const outbox = this.#core.outboxes[uplink];
    if (outbox === undefined) return;
    receive(this.#core, outbox, receipts);
    this.#core.writer.schedule();
  }

  /** The device's PUBREL came: the claim goes, and committed() follows when it is gone from disk. */
  release(device: string, packetId: number, receiver: Receiver, tag: number): void {
    this.#core.claims.unstage(this.#core.writer.group, device, packetId);
    this.#answer(receiver, tag);
  }

  /** The device starts a clean session: all its claims go. */
  forget(device: string): void {
    const { claims, writer } = this.#core;
    for (const packetId of [...claims.of(device)]) claims.unstage(writer.group, device, packetId);
    if (writer.group.dirty) writer.schedule();
  }

  /** Packet ids of QoS 2 messages of `device` that are here and not released. */
  claimed(device: string): ReadonlySet<number> {
    return new Set(this.#core.claims.of(device));
  }

  /** Devices that have such messages. */
  claimants(): readonly string[] {
    return this.#core.claims.devices;
  }

  /** Resolves when all that was staged before is on disk. */
  synced(): Promise<void> {
    return this.#core.writer.synced();
  }

  #answer(receiver: Receiver, tag: number): "taken" {
    const { writer } = this.#core;
    writer.group.receive(receiver, tag);
    writer.schedule();
    return "taken";
  }

  // --- reading

  /**
   * The handler's tasks, from the oldest that is not settled. `wake` is called, at most once a commit, when take() has
   * found nothing and there is something again. One feed a handler at a time: opening another closes the first, and what
   * that one had in hand is handed out again.
   */
  tasks(handler: number, keyOf: (topic: string, device: string) => string, wake: () => void): TaskFeed {
    return this.#feeds.tasks(handler, keyOf, wake);
  }

  /** The uplink's waiting outputs, from the oldest. See {@link tasks} for `wake` and for opening twice. */
  outbox(uplink: number, limits: OutboxLimits, wake: () => void): OutboxFeed {
    return this.#feeds.outbox(uplink, limits, wake);
  }

  /**
   * State of each of `keys`, JSON text, undefined where there is none; staged changes count. Answers at once when memory
   * has them all or the handler has no state.
   */
  state(handler: number, keys: readonly string[]): (string | undefined)[] | Promise<(string | undefined)[]> {
    return this.#core.states.read(this.#core.handlers[handler] as Consumer, keys);
  }

  /**
   * By which version the states were written that were just read, aligned with `keys`; 0 where that is not known.
   * Undefined when the handler has no state.
   */
  stateVersions(handler: number, keys: readonly string[]): number[] | undefined {
    const { handlers, states } = this.#core;
    const of = handlers[handler] as Consumer;
    return of.hasState ? keys.map((key) => states.written(of, key).version) : undefined;
  }

  /** From now on, state of the handler that was not written for `ttlMs` is gone; undefined: it stays. */
  keepState(handler: number, ttlMs: number | undefined): void {
    (this.#core.handlers[handler] as Consumer).stateTtlMs = ttlMs;
  }

  /**
   * Whether the states of all keys of the task's handler stay within `bytesMax` as they are stored, when its key's becomes
   * `state`; or take no more than before.
   */
  fits(task: Task, state: string, bytesMax: number): boolean {
    const { handlers, states } = this.#core;
    return states.fits(handlers[task.handler] as Consumer, task.key, state, bytesMax);
  }

  /** What is parked, by key, when nothing is being staged: at start. */
  async parked(handler: number): Promise<ParkedKey[]> {
    await this.synced();
    return this.#core.parked.keysOf(this.#core.handlers[handler] as Consumer);
  }

  /** The oldest `max` parked tasks of a key, oldest first. */
  async readParked(handler: number, key: string, max: number): Promise<Task[]> {
    await this.synced();
    return this.#core.parked.read(this.#core.handlers[handler] as Consumer, key, max);
  }

  /** Of every handler and route for which anything waits, also of those that are gone. */
  pending(): readonly Pending[] {
    return pendingOf(this.#core.handlers);
  }

  /** Gives up, in one commit, all that waits for it: nobody may run it any more. Undefined: there never was such a name. */
  async dropPending(name: string): Promise<number | undefined> {
    const handler = this.#core.handlers[this.#handlerIds.get(name) ?? 0];
    return handler === undefined ? undefined : dropPending(this.#core, handler);
  }

  // --- the books

  ledger(): Ledger {
    const { handlers, outboxes, header } = this.#core;
    const present = handlers.filter((handler) => handler !== undefined);
    const uplinks = outboxes.filter((outbox) => outbox !== undefined).map(({ uplink }) => uplink);
    return ledgerOf(present, uplinks, header.lost);
  }

  /** The ledger's columns of one handler or route. */
  handlerLedger(handler: number): EventColumns {
    return handlerColumns(this.#core.handlers[handler] as Consumer);
  }

  /** The same ledger, with everything that waits counted from the records on disk. Reads all of them: for doctor and tests. */
  async audit(): Promise<Ledger> {
    await this.synced();
    return audit(this.#core);
  }

  figures(): JournalFigures {
    return figuresOf(this.#core, this.#retention.trimmedPages);
  }

  /** Has everything that is staged synced, and gives the folder back. While writing fails it waits, at most `deadlineMs`. */
  async close(deadlineMs = 10_000): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const core = this.#core;
    for (const feed of core.feeds) feed?.close();
    for (const outbox of core.outboxes) outbox?.feed?.close();
    const gone = new AbortController();
    await Promise.race([
      this.#retention.close().then(() => core.writer.synced()),
      sleep(deadlineMs, gone.signal).catch(() => undefined),
    ]);
    gone.abort();
    core.writer.stop();
    await core.disk.close();
    core.mark.close();
    await this.#ended().catch(() => undefined);
  }
}

function claimId(id: number, of: string): number {
  if (id <= 0xffff) return id;
  throw new Fault("JOURNAL_NAMES", `There have been 65,535 ${of} with different names in this data folder.`);
}

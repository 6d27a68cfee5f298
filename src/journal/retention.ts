/**
 * The sweep: what is not needed any more goes, and at a limit what the operator chose goes. It runs every second and as
 * soon as somebody waits for room. What it decides is staged like anything else, each step one atomic unit.
 *
 * - Events that every handler has settled go when they are older than `retain`, or earlier when the room is needed, in
 *   the journal or on its disk.
 * - Records of what tasks came to go with the last of their events, or earlier: the oldest, at their limit.
 * - Under `drop-oldest`, a full journal drops the oldest of what fills it: waiting tasks or outputs (unless that uplink is
 *   to refuse), a page at a time, or parked tasks.
 * - Tasks of handlers that nobody runs any more expire after `retain`, and so do outputs for uplinks that are gone.
 * - Dead letters beyond their limits: the oldest are dropped, those of a handler that has more than half of them first.
 */
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import { settledBelow, usedBytes } from "./core.ts";
import type { Core, Outbox } from "./core.ts";
import { GiveBack } from "./give-back.ts";
import { keys } from "./keys.ts";
import type { PageKey } from "./keys.ts";
import { EVENTS } from "./log.ts";
import { page } from "./page.ts";
import { dropParked } from "./parked-room.ts";
import type { LetsGo } from "./parked-room.ts";
import { releasePages } from "./settle.ts";
import { StateSweep } from "./state-sweep.ts";

/** Shares of sizeMax: above the first settled events are trimmed early, down to the second; above the third waiting
 * tasks are dropped (drop-oldest), down to the first. */
const TRIM_ABOVE = 0.9;
const TRIM_TO = 0.85;
const DROP_ABOVE = 0.95;
/** Pages deleted in one step. */
const PAGES_MAX = 512;
/** Rows of records deleted in one sweep. */
const RECORD_ROWS_MAX = 4096;
/** A handler or uplink that nobody has open for so long counts as gone, however short `retain` is: it may be on its way
 * to other settings. At a start nobody is gone before all have come (Journal.begun). */
const GONE_AFTER_MS = 60_000;

export class Retention {
  readonly #core: Core;
  readonly #lets: LetsGo;
  readonly #states: StateSweep;
  readonly #giveBack: GiveBack;
  #running = false;
  #again = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #run: Promise<void> = Promise.resolve();
  /** Monotonic: since when the oldest page is from a time to come. */
  #aheadSinceMs: number | undefined;
  trimmedPages = 0;
  /** Events below this number must be settled before the oldest page can go; as of the last sweep, at least. */
  oldestEnd = 0;

  /** `lets`: parked tasks go only where it does. */
  constructor(core: Core, lets: LetsGo) {
    this.#core = core;
    this.#lets = lets;
    this.#states = new StateSweep(core);
    this.#giveBack = new GiveBack(core);
  }

  start(everyMs: number): void {
    this.#timer = setInterval(() => this.soon(), everyMs);
    this.#timer.unref();
  }

  get running(): boolean {
    return this.#running;
  }

  readonly soon = (): void => {
    if (this.#closed) return;
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    this.#run = this.#loop();
  };

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#run;
    await this.#giveBack.close();
  }

  async #loop(): Promise<void> {
    const core = this.#core;
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        await core.diskRoom.look();
        for (const outbox of core.outboxes) if (outbox?.ragged) await this.#tidy(outbox);
        for (const feed of core.feeds) feed?.letGo();
        this.#letters();
        await this.#gone();
        await this.#states.slice();
        await this.#trim();
        await this.#records();
        if (core.limits.whenFull === "drop-oldest") await this.#dropOldest();
        this.#giveBack.soon();
        core.used = usedBytes(core);
      }
    } catch (error) {
      if (!this.#closed) core.log.error({ err: error }, "the journal could not be swept");
    } finally {
      this.#running = false;
    }
    core.room.swept();
  }

  /** Bytes of what is not needed any more that have to go before their time; not those that have been deleted already. */
  #excess(): number {
    const { limits, diskRoom } = this.#core;
    const used = usedBytes(this.#core);
    const ofSize = used > limits.sizeMaxBytes * TRIM_ABOVE ? used - limits.sizeMaxBytes * TRIM_TO : 0;
    return Math.max(ofSize, diskRoom.wantedBytes - this.#giveBack.bytes);
  }

  // --- events

  /** Deletes pages that every handler is past and that are old, or in the way. */
  async #trim(): Promise<void> {
    const core = this.#core;
    const { header } = core;
    for (;;) {
      const excess = this.#excess();
      const nowMs = core.clock.now();
      const floor = Math.min(settledBelow(core), core.committedHead);
      if (header.tail >= floor) return;
      const doomed: PageKey[] = [];
      let bytes = 0;
      await this.#pages(EVENTS, header.tail, (found) => {
        this.oldestEnd = found.first + found.count;
        if (this.oldestEnd > floor) return false;
        if (!this.#isOld(found.timeMs, nowMs, doomed.length === 0) && bytes >= excess) return false;
        doomed.push(found);
        bytes += found.bytes;
        return doomed.length < PAGES_MAX;
      });
      if (doomed.length === 0 || this.#closed) return;
      this.#delete(doomed);
      const last = doomed.at(-1) as PageKey;
      header.tail = Math.max(header.tail, last.first + last.count);
      header.bytes = header.tail >= header.head ? 0 : Math.max(0, header.bytes - bytes);
      core.writer.schedule();
      if (doomed.length < PAGES_MAX) return;
      await core.writer.synced();
    }
  }

  /** What is from a time to come, because the clock has been set back, is as old as it has been seen to be. */
  #isOld(timeMs: number, nowMs: number, isOldest: boolean): boolean {
    const { clock, limits } = this.#core;
    const isAhead = timeMs > nowMs;
    if (isOldest) this.#aheadSinceMs = isAhead ? (this.#aheadSinceMs ?? clock.monotonic()) : undefined;
    if (!isAhead) return timeMs <= nowMs - limits.retainMs;
    return clock.monotonic() - (this.#aheadSinceMs ?? clock.monotonic()) >= limits.retainMs;
  }

  /** What tasks came to goes with their events; the oldest earlier, at its own limit or when the room is needed. */
  async #records(): Promise<void> {
    const core = this.#core;
    const { records, limits, header, disk } = core;
    if (records.bytes === 0) return;
    const early = Math.max(this.#excess(), records.bytes - limits.recordsBytesMax);
    let [first, bytes, dropped] = [records.first, 0, 0];
    const doomed: Buffer[] = [];
    const { lt } = keys.recordsBefore(records.next);
    await disk.walk(
      { gte: keys.recordsFrom(0).gte, lt, values: false },
      (key) => {
        const found = keys.recordKey(key);
        if (found !== undefined) {
          const isEarly = found.seqMax >= header.tail;
          if (isEarly && bytes >= early) return false;
          if (isEarly) dropped++;
          bytes += found.bytes;
          first = found.offset + found.bytes;
        }
        doomed.push(key);
        return doomed.length < RECORD_ROWS_MAX;
      },
      () => undefined,
      PAGES_MAX,
    );
    if (doomed.length === 0 || this.#closed) return;
    for (const key of doomed) core.writer.group.del(key);
    records.first = Math.max(records.first, first);
    records.droppedEarly += dropped;
    core.writer.schedule();
    if (doomed.length === RECORD_ROWS_MAX) this.#again = true;
  }

  /** Drops the oldest of what takes the most room: waiting tasks, parked ones, or outputs of an uplink that takes none. */
  async #dropOldest(): Promise<void> {
    const core = this.#core;
    const { limits, header } = core;
    const used = usedBytes(core);
    if (used <= limits.sizeMaxBytes * DROP_ABOVE) return;
    const excess = used - limits.sizeMaxBytes * TRIM_ABOVE;
    let largest: Outbox | undefined;
    for (const outbox of core.outboxes) {
      if (outbox === undefined || outbox.limits.whenFull === "refuse") continue;
      if (outbox.uplink.bytes > (largest?.uplink.bytes ?? header.bytes)) largest = outbox;
    }
    if (core.parked.bytes > (largest?.uplink.bytes ?? header.bytes)) {
      await dropParked(core, excess, this.#lets);
      return;
    }
    if (largest !== undefined) {
      await this.#dropEntries(largest, excess);
      return;
    }
    let bytes = 0;
    await core.reader.read(EVENTS, header.tail, core.committedHead, (read) => {
      const after = read.first + read.count;
      page.slices(read.first, read.page, (id, slice) => {
        const handler = core.handlers[id];
        if (handler !== undefined) this.#giveUp(handler, slice.ordinal + slice.count, after, COLUMN.droppedFull);
      });
      bytes += read.bytes;
      return bytes < excess && !this.#closed;
    });
    await this.#trim();
  }

  /** Settles all tasks of `handler` below `ordinal` as given up. */
  #giveUp(handler: Consumer, ordinal: number, seq: number, column: number): void {
    const given = handler.settleBelow(ordinal, seq);
    if (given === 0) return;
    handler.add(column, given);
    this.#core.writer.group.touch(handler);
    this.#core.writer.schedule();
  }

  /** Tasks of handlers that nobody runs any more, and outputs for uplinks that are gone. */
  async #gone(): Promise<void> {
    const core = this.#core;
    const nowMs = core.clock.monotonic();
    const oldMs = core.clock.now() - core.limits.retainMs;
    const isGone = ({ idleSinceMs }: Consumer): boolean =>
      idleSinceMs !== undefined && nowMs - idleSinceMs >= GONE_AFTER_MS;
    const gone = core.handlers.filter((handler) => handler !== undefined && isGone(handler));
    for (const handler of gone) {
      if (handler.parked > 0) await this.#expireParked(handler, oldMs);
    }
    const waiting = gone.filter((handler) => handler.waiting > 0);
    if (waiting.length > 0) {
      const from = Math.min(...waiting.map(({ baseSeq }) => Math.floor(baseSeq)));
      const wanted = new Set(waiting.map(({ id }) => id));
      await core.reader.read(EVENTS, Math.max(from, core.header.tail), core.committedHead, (read) => {
        if (read.timeMs > oldMs || this.#closed) return false;
        page.slices(read.first, read.page, (id, slice) => {
          const handler = core.handlers[id];
          if (handler === undefined || !wanted.has(id) || !isGone(handler)) return;
          this.#giveUp(handler, slice.ordinal + slice.count, read.first + read.count, COLUMN.expired);
        });
        return true;
      });
    }
    for (const outbox of core.outboxes) {
      if (outbox === undefined || outbox.uplink.waiting === 0 || !isGone(outbox.uplink)) continue;
      await this.#giveUpEntries(outbox, COLUMN.expired, (found) => found.timeMs <= oldMs);
    }
  }

  async #expireParked(handler: Consumer, oldMs: number): Promise<void> {
    const core = this.#core;
    const old: { key: string; seq: number }[] = [];
    await core.parked.walkHandler(handler, (key, seq, timeMs) => {
      if (timeMs <= oldMs) old.push({ key, seq });
    });
    for (const { key, seq } of old) {
      if (!core.parked.unstage(core.writer.group, handler, key, seq)) continue;
      handler.add(COLUMN.expired, 1);
      core.writer.group.touch(handler);
      core.writer.schedule();
    }
  }

  // --- outboxes

  /** Drops the oldest outputs, `bytes` of them or somewhat more. */
  async #dropEntries(outbox: Outbox, bytes: number): Promise<void> {
    let left = bytes;
    await this.#giveUpEntries(outbox, COLUMN.droppedFull, (found) => {
      if (left <= 0) return false;
      left -= found.bytes;
      return true;
    });
  }

  /** Settles the entries of the oldest pages as long as `isDoomed` says so. */
  async #giveUpEntries(outbox: Outbox, column: number, isDoomed: (found: PageKey) => boolean): Promise<void> {
    const core = this.#core;
    const { uplink } = outbox;
    let end = 0;
    await this.#pages(uplink.id, uplink.tail, (found) => {
      if (found.first + found.count > uplink.committed || !isDoomed(found)) return false;
      end = found.first + found.count;
      return true;
    });
    if (end <= uplink.progress.base || this.#closed) return;
    const given = uplink.settleBelow(end, end);
    uplink.add(column, given);
    core.writer.group.touch(uplink);
    releasePages(core, outbox);
    outbox.ragged = true;
    core.writer.schedule();
    await this.#tidy(outbox);
  }

  /** Deletes what is left of settled pages that the feed has not seen. */
  async #tidy(outbox: Outbox): Promise<void> {
    const core = this.#core;
    const { uplink } = outbox;
    outbox.ragged = false;
    await core.writer.synced();
    const doomed: PageKey[] = [];
    const { base } = uplink.progress;
    await this.#pages(uplink.id, 0, (found) => {
      if (found.first + found.count > base) return false;
      doomed.push(found);
      return true;
    });
    if (this.#closed) return;
    const known = new Set(outbox.pages.map(({ first }) => first));
    const unknown = doomed.filter(({ first }) => !known.has(first));
    this.#delete(unknown);
    for (const { bytes, first } of unknown) if (first >= uplink.tail) uplink.bytes = Math.max(0, uplink.bytes - bytes);
    if (uplink.waiting === 0 && outbox.writer.count === 0 && uplink.committed === uplink.ordinals) uplink.bytes = 0;
    uplink.tail = Math.max(uplink.tail, base);
    core.writer.group.touch(uplink);
    core.writer.schedule();
  }

  // --- dead letters

  #letters(): void {
    const core = this.#core;
    const { deadMax, deadBytesMax } = core.limits;
    for (let left = PAGES_MAX; left > 0; left--) {
      const surplus = core.dead.surplus(deadMax, deadBytesMax);
      if (surplus === undefined) return;
      const [id, grave] = surplus;
      core.dead.unstage(core.writer.group, id);
      const consumer = grave.kind === "task" ? core.handlers[grave.consumer] : core.outboxes[grave.consumer]?.uplink;
      if (consumer !== undefined) {
        consumer.add(COLUMN.dead, -1);
        consumer.add(COLUMN.droppedDead, 1);
        core.writer.group.touch(consumer);
      }
      core.writer.schedule();
    }
    this.#again = true;
  }

  // --- the store

  async #pages(log: number, from: number, visit: (found: PageKey) => boolean): Promise<void> {
    await this.#core.disk.walk(
      { ...keys.pagesFrom(log, from), values: false },
      (key) => {
        const found = keys.pageKey(key);
        return found === undefined || visit(found);
      },
      () => undefined,
      PAGES_MAX,
    );
  }

  #delete(doomed: readonly PageKey[]): void {
    const { group } = this.#core.writer;
    for (const found of doomed) {
      group.del(keys.page(found));
      this.#core.deletedBytes += found.bytes;
    }
    this.trimmedPages += doomed.length;
  }
}

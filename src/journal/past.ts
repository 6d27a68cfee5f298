/**
 * What was, for replays: what tasks came to (records.ts) with their events, how far each replay has come, and what one
 * sends. How far a replay is, is a row of its own, written in the commit that has what it sent up to there: a replay that
 * is interrupted goes on behind that, and sends nothing twice.
 */
import { eventRecord } from "../event.ts";
import { messageOf } from "../fault.ts";
import type { Output, Task } from "../task.ts";
import { COLUMN } from "./consumer.ts";
import type { Core } from "./core.ts";
import { keys } from "./keys.ts";
import type { RecordKey } from "./keys.ts";
import { EVENTS } from "./log.ts";
import { PAGE_HEADER_BYTES } from "./page.ts";
import type { Page } from "./page.ts";
import { readRecord, record } from "./record.ts";
import type { Recorded } from "./record.ts";
import { isSealed, seal, SEAL_BYTES } from "./seal.ts";
import { emit } from "./settle.ts";

/** Rows read in one go, each of about 64 KB at most. */
const ROWS_READ = 8;
/** How near to a time its place is looked for; the rest is read through. */
const NEAR_BYTES = 256 * 1024;

/** Places of records are counted in bytes, from 0. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Outputs of a replayed task. */
export interface Sent {
  readonly task: Task;
  readonly outputs: readonly Output[];
}

export class Past {
  readonly #core: Core;
  #page: Page | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  /** False: nothing is recorded, and nothing is kept from when it was. */
  get isKept(): boolean {
    const { records } = this.#core;
    return records.bytesMax > 0 || records.bytes > 0;
  }

  /** Where records lie that were written from `sinceMs` on, and perhaps some before; and where they end now. */
  async span(sinceMs: number): Promise<Span> {
    const { writer, records } = this.#core;
    await writer.synced();
    let [from, to] = [records.first, records.next];
    while (to - from > NEAR_BYTES) {
      const middle = Math.floor((from + to) / 2);
      const found = await this.#keyOf({ ...keys.recordsFrom(middle), limit: 1, values: false });
      if (found === undefined || found.timeMs >= sinceMs) to = middle;
      else from = found.offset;
    }
    return { from, to: records.next };
  }

  /** Hands what tasks of `handler` came to to `visit`, with the place behind each, until that returns false. */
  async read(handler: number, { from, to }: Span, visit: (found: Recorded, behind: number) => boolean): Promise<void> {
    const { disk, damage } = this.#core;
    // The row that `from` lies in begins before it.
    const first = await this.#keyOf({ ...keys.recordsBefore(from + 1), reverse: true, limit: 1, values: false });
    const walk = { gte: keys.recordsFrom(first?.offset ?? from).gte, lt: keys.recordsFrom(to).gte, fillCache: false };
    await disk.walk(
      walk,
      (key, row) => {
        const found = keys.recordKey(key);
        if (found === undefined || !isSealed(key, row)) {
          damage.report({ where: "records", from: -1, to: -1, what: "records of what tasks came to are damaged" }, row);
          return true;
        }
        for (let at = SEAL_BYTES; at < row.length;) {
          const length = record.length(row, at);
          if (found.offset + at >= from && record.handler(row, at) === handler) {
            if (!visit(readRecord(row, at), found.offset + at + length)) return false;
          }
          at += length;
        }
        return true;
      },
      (error) => damage.report({ where: "records", from: -1, to: -1, what: messageOf(error) }),
      ROWS_READ,
    );
  }

  /** Where the event's record lies; undefined: it is kept no more. */
  async event(seq: number): Promise<{ readonly page: Buffer; readonly at: number } | undefined> {
    const { reader, header } = this.#core;
    if (seq < header.tail) return undefined;
    let page = this.#page;
    if (page === undefined || !has(page, seq)) {
      page = undefined;
      await reader.readShared(EVENTS, seq, seq + 1, (read) => {
        page = read;
        return false;
      });
      // Another replay may read another one meanwhile: which of them is kept does not matter.
      this.#page = page;
      if (page === undefined || !has(page, seq)) return undefined;
    }
    let at = PAGE_HEADER_BYTES;
    for (let before = seq - page.first; before > 0; before--) at += eventRecord.length(page.page, at);
    return { page: page.page, at };
  }

  // --- how far replays have come

  /** All that are known, oldest first. Damaged ones are reported and left out. */
  async replays(): Promise<{ readonly id: number; readonly text: string }[]> {
    const { disk, damage } = this.#core;
    const found: { id: number; text: string }[] = [];
    await disk.walk(
      keys.replays(),
      (key, row) => {
        const id = keys.replayId(key);
        if (isSealed(key, row)) found.push({ id, text: row.utf8Slice(SEAL_BYTES, row.length) });
        else damage.report({ where: "replays", from: id, to: id, what: "how far a replay had come is damaged" }, row);
        return true;
      },
      (error) => damage.report({ where: "replays", from: -1, to: -1, what: messageOf(error) }),
    );
    return found;
  }

  /** Stages, as one unit, how far replay `id` has come and what it sent up to there. Resolves when it is on disk. */
  save(id: number, text: string, sent: readonly Sent[] = [], version = 0): Promise<void> {
    const core = this.#core;
    for (const { task, outputs } of sent) emit(core, task, outputs, version, id.toString(36));
    this.#put(id, text);
    core.writer.schedule();
    return core.writer.synced();
  }

  forget(id: number): void {
    const { writer } = this.#core;
    writer.group.del(keys.replay(id));
    writer.schedule();
  }

  /**
   * A dead letter was run again as a replay, and did well: it is done, and what it sent goes out, in one commit. False when
   * there is no such letter any more.
   */
  async bury(id: number, letter: number, sent: Sent, version: number): Promise<boolean> {
    const core = this.#core;
    const handler = core.handlers[sent.task.handler];
    const { group } = core.writer;
    if (handler === undefined || !core.dead.unstage(group, letter)) return false;
    handler.add(COLUMN.dead, -1);
    handler.add(COLUMN.done, 1);
    group.touch(handler);
    emit(core, sent.task, sent.outputs, version, id.toString(36));
    core.writer.schedule();
    await core.writer.synced();
    return true;
  }

  #put(id: number, text: string): void {
    const key = keys.replay(id);
    const row = Buffer.allocUnsafe(SEAL_BYTES + Buffer.byteLength(text));
    row.utf8Write(text, SEAL_BYTES);
    this.#core.writer.group.put(key, seal(key, row));
  }

  async #keyOf(walk: Parameters<Core["disk"]["walk"]>[0]): Promise<RecordKey | undefined> {
    let found: RecordKey | undefined;
    await this.#core.disk.walk(
      walk,
      (key) => {
        found = keys.recordKey(key);
        return false;
      },
      () => undefined,
      1,
    );
    return found;
  }
}

function has({ first, count }: Page, seq: number): boolean {
  return seq >= first && seq < first + count;
}

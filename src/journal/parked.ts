/**
 * Parked tasks: they wait for a further try, or behind one of the same key that does. They are copied out of the log of
 * events into rows of their own, so that the handler's progress does not stand still because of them.
 *
 * A row: seal, u16 tries that have failed, u48 due (wall time, 0 for those behind), event record. In memory is which there
 * are and how large, at about 60 bytes each; how many a handler may have is limited (see Feed.open).
 */
import { eventRecord } from "../event.ts";
import type { Task } from "../task.ts";
import type { Consumer } from "./consumer.ts";
import type { Disk } from "./disk.ts";
import type { Group } from "./group.ts";
import { keys } from "./keys.ts";
import { isSealed, seal, SEAL_BYTES } from "./seal.ts";

const RECORD_AT = SEAL_BYTES + 8;

export interface ParkedKey {
  readonly key: string;
  readonly count: number;
  /** When its first task is due, wall time. */
  readonly dueMs: number;
  /** Tries of its first task that have failed. */
  readonly attempt: number;
}

export class Parked {
  readonly #disk: Disk;
  /** Bytes of each parked task, by handler and event. */
  readonly #sizes = new Map<number, Map<number, number>>();
  bytes = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** At start: a row that was found sound. */
  found(handler: number, seq: number, bytes: number): void {
    this.#sizesOf(handler).set(seq, bytes);
    this.bytes += bytes;
  }

  has(handler: number, seq: number): boolean {
    return this.#sizes.get(handler)?.has(seq) ?? false;
  }

  count(handler: number): number {
    return this.#sizes.get(handler)?.size ?? 0;
  }

  /** Stages the task as parked, or parked again with another `attempt` and `dueMs`. */
  stage(group: Group, consumer: Consumer, task: Task, attempt: number, dueMs: number): void {
    const length = eventRecord.length(task.page, task.at);
    const row = Buffer.allocUnsafe(RECORD_AT + length);
    row.writeUInt16BE(Math.min(attempt, 0xffff), SEAL_BYTES);
    row.writeUIntBE(Math.max(0, Math.round(dueMs)), SEAL_BYTES + 2, 6);
    task.page.copy(row, RECORD_AT, task.at, task.at + length);
    const key = keys.parked(consumer.id, task.key, task.seq);
    group.put(key, seal(key, row));
    this.#forget(consumer, task.seq);
    const bytes = row.length + key.length;
    this.#sizesOf(consumer.id).set(task.seq, bytes);
    this.bytes += bytes;
    consumer.parked++;
    consumer.parkedBytes += bytes;
  }

  /** False when it is not parked (any more). */
  unstage(group: Group, consumer: Consumer, key: string, seq: number): boolean {
    if (!this.#forget(consumer, seq)) return false;
    group.del(keys.parked(consumer.id, key, seq));
    return true;
  }

  /** What is parked, by key. Reads all rows of the handler. */
  async keysOf(consumer: Consumer): Promise<ParkedKey[]> {
    const found = new Map<string, { count: number; dueMs: number; attempt: number }>();
    await this.#walk(keys.parkedOfHandler(consumer.id), consumer.id, (key, _seq, row) => {
      const known = found.get(key);
      if (known !== undefined) known.count++;
      else {
        const dueMs = row.readUIntBE(SEAL_BYTES + 2, 6);
        found.set(key, { count: 1, dueMs, attempt: row.readUInt16BE(SEAL_BYTES) });
      }
      return true;
    });
    return [...found].map(([key, { count, dueMs, attempt }]) => ({ key, count, dueMs, attempt }));
  }

  /** The oldest `max` tasks of a key. */
  async read(consumer: Consumer, key: string, max: number): Promise<Task[]> {
    const tasks: Task[] = [];
    if (max <= 0) return tasks;
    await this.#walk(keys.parkedOf(consumer.id, key), consumer.id, (_key, seq, row) => {
      const attempt = row.readUInt16BE(SEAL_BYTES);
      tasks.push({ handler: consumer.id, seq, page: row, at: RECORD_AT, key, attempt, parked: true });
      return tasks.length < max;
    });
    return tasks;
  }

  /** Walks rows that are sound and still parked. */
  async walkHandler(consumer: Consumer, visit: (key: string, seq: number, timeMs: number) => void): Promise<void> {
    await this.#walk(keys.parkedOfHandler(consumer.id), consumer.id, (key, seq, row) => {
      visit(key, seq, eventRecord.timeMs(row, RECORD_AT));
      return true;
    });
  }

  #walk(
    range: { gte: Buffer; lt: Buffer },
    handler: number,
    visit: (key: string, seq: number, row: Buffer) => boolean,
  ): Promise<void> {
    return this.#disk.walk(
      range,
      (rowKey, row) => {
        const parsed = keys.parkedKey(rowKey);
        // Unsound rows were reported and counted at start; those that went bad since are at the next one.
        if (parsed === undefined || parsed.handler !== handler || !isSealed(rowKey, row)) return true;
        if (!this.has(handler, parsed.seq)) return true;
        return visit(parsed.key, parsed.seq, row);
      },
      () => undefined,
    );
  }

  #sizesOf(handler: number): Map<number, number> {
    let sizes = this.#sizes.get(handler);
    if (sizes === undefined) this.#sizes.set(handler, (sizes = new Map()));
    return sizes;
  }

  #forget(consumer: Consumer, seq: number): boolean {
    const sizes = this.#sizes.get(consumer.id);
    const bytes = sizes?.get(seq);
    if (bytes === undefined) return false;
    sizes?.delete(seq);
    this.bytes -= bytes;
    consumer.parked--;
    consumer.parkedBytes -= bytes;
    return true;
  }
}

export function isParkedRowSound(key: Buffer, row: Buffer): boolean {
  return row.length > RECORD_AT && isSealed(key, row);
}

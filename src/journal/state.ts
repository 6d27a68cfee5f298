/**
 * The state of handlers, per key. Reads come from memory where they can: a value that was staged counts at once, and a
 * cache bounded by bytes keeps what was used lately (two generations: when the young one is full it becomes the old one,
 * and what nobody asked for since is forgotten).
 *
 * How much a handler has in all is counted as it changes, and goes to disk with its progress, in the batch of the rows: the
 * size that a key's row had is known from its entry. Where the entry was forgotten, the old row is read, as it was, while
 * the new one is staged; until then the count is too high, and says on disk that it is to be counted anew.
 */
import type { Consumer } from "./consumer.ts";
import type { Damage } from "./damage.ts";
import type { Disk } from "./disk.ts";
import type { Group } from "./group.ts";
import { keys } from "./keys.ts";
import { isSealed } from "./seal.ts";
import { readStateRow, stateRowBytes, stateRowBytesMax, writeStateRow } from "./state-row.ts";
import type { StateRow } from "./state-row.ts";
import { CLOCK_UNSET_BEFORE_MS } from "../time.ts";
import type { Clock } from "../time.ts";

interface Entry {
  readonly handler: number;
  readonly key: string;
  /** Undefined: there is none. */
  value: string | undefined;
  /** Of its row, staged or on disk; 0: there is none. */
  bytes: number;
  /** When it was written, milliseconds since 1970, and by which version of the handler; 0 where that is not known. */
  timeMs: number;
  version: number;
  /** Number of the group that last changed it. */
  group: number;
}

type Generation = Map<number, Map<string, Entry>>;

const NO_STATE = { at: "kept", state: undefined, version: 0 } as const;
/** What an entry takes besides its texts, about. */
const ENTRY_BYTES = 176;

/** A state that memory has, and by which version it was written. */
interface Peeked {
  readonly at: "kept";
  readonly state: string | undefined;
  readonly version: number;
}

export interface Written {
  readonly version: number;
  readonly timeMs: number;
}

export interface StatesDoors {
  readonly disk: Disk;
  readonly damage: Damage;
  readonly cacheBytesMax: number;
  /** Of all rows. */
  readonly bytes: number;
  readonly clock: Clock;
  /** Called when the count of a handler has changed by itself, and is to be written. */
  readonly counted: (handler: Consumer) => void;
}

export class States {
  readonly #disk: Disk;
  readonly #damage: Damage;
  readonly #bytesMax: number;
  readonly #counted: (handler: Consumer) => void;
  readonly #clock: Clock;
  #young: Generation = new Map();
  #old: Generation = new Map();
  #youngBytes = 0;
  #changed: Entry[] = [];
  /** Handlers of which memory has all states, for they had none before. */
  readonly #complete = new Set<number>();
  /** Groups up to this one are on disk. */
  #landed = 0;
  /** Bytes of the rows. */
  bytes: number;
  hits = 0;
  misses = 0;
  /** Those that were too old, and are gone. */
  expired = 0;
  /** So often something was forgotten: what was read from disk before may not be what there is. */
  ages = 0;

  constructor({ disk, damage, cacheBytesMax, bytes, clock, counted }: StatesDoors) {
    this.#counted = counted;
    this.#clock = clock;
    this.#disk = disk;
    this.#damage = damage;
    this.#bytesMax = cacheBytesMax / 2;
    this.bytes = bytes;
  }

  /** Answers at once when it can. Aligned with `wanted`. */
  read(handler: Consumer, wanted: readonly string[]): (string | undefined)[] | Promise<(string | undefined)[]> {
    const values: (string | undefined)[] = [];
    if (!handler.hasState) {
      values.length = wanted.length;
      return values.fill(undefined);
    }
    let missing: number[] | undefined;
    for (let i = 0; i < wanted.length; i++) {
      const entry = this.#find(handler.id, wanted[i] as string);
      if (entry === undefined) (missing ??= []).push(i);
      values.push(entry === undefined || this.#isOld(handler, entry) ? undefined : entry.value);
    }
    this.hits += wanted.length - (missing?.length ?? 0);
    if (missing === undefined) return values;
    this.misses += missing.length;
    return this.#load(handler, wanted, values, missing);
  }

  /**
   * Whether all states of the handler stay within `bytesMax` when `key` has `value`, or take no more than before. An entry
   * that was forgotten counts as none: whoever is refused for it reads it and tries again.
   */
  fits(handler: Consumer, key: string, value: string, bytesMax: number): boolean {
    if (handler.stateBytes + stateRowBytesMax(key, value) <= bytesMax) return true;
    const more = stateRowBytes(key, value) - (this.#find(handler.id, key)?.bytes ?? 0);
    return more <= 0 || handler.stateBytes + more <= bytesMax;
  }

  /** The state of `key` as it was at `atMs`, as far as memory has it, and the version that wrote it; undefined: it is not known. */
  peek(handler: Consumer, key: string, atMs: number): Peeked | undefined {
    if (!handler.hasState) return NO_STATE;
    const entry = this.#find(handler.id, key);
    if (entry === undefined) return this.#complete.has(handler.id) ? NO_STATE : undefined;
    if (entry.value === undefined || this.#isOld(handler, entry, atMs)) return NO_STATE;
    return { at: "kept", state: entry.value, version: entry.version };
  }

  /** Stages `value` for `key`, as that version wrote it; "" removes it. */
  stage(group: Group, handler: Consumer, key: string, value: string, version: number): void {
    const next = value === "" ? undefined : value;
    let entry = this.#find(handler.id, key);
    if (entry === undefined) {
      if (next === undefined && !handler.hasState) return;
      entry = { handler: handler.id, key, value: undefined, bytes: 0, timeMs: 0, version: 0, group: -1 };
      this.#insert(entry);
      if (handler.hasState) this.#measure(handler, key);
    }
    const bytes = next === undefined ? 0 : stateRowBytes(key, next);
    this.#count(handler, bytes - entry.bytes);
    entry.bytes = bytes;
    this.#youngBytes += 2 * ((next?.length ?? 0) - (entry.value?.length ?? 0));
    entry.value = next;
    entry.version = version;
    entry.timeMs = this.#clock.now();
    if (next !== undefined && !handler.hasState) {
      handler.hasState = true;
      this.#complete.add(handler.id);
    }
    if (entry.group === group.number) return;
    entry.group = group.number;
    group.dirty = true;
    group.bytes += value.length;
    this.#changed.push(entry);
  }

  /** By which version, and when, the state of a key was written that was just read; 0 where that is not known. */
  written(handler: Consumer, key: string): Written {
    const entry = this.#find(handler.id, key);
    return { version: entry?.version ?? 0, timeMs: entry?.timeMs ?? 0 };
  }

  /**
   * The sweep has found this row. Stages its end when it is too old, and its time when that is not known; false when there
   * is nothing to do.
   */
  swept(group: Group, handler: Consumer, key: string, bytes: Buffer): boolean {
    let entry = this.#find(handler.id, key);
    if (entry === undefined) {
      const row = keys.state(handler.id, key);
      const opened = this.#open(handler, key, row, bytes);
      if (opened === undefined) return false;
      const { value, timeMs, version } = opened;
      if (isTimed(timeMs) && !this.#isOld(handler, { timeMs })) return false;
      const rowAndKey = row.length + bytes.length;
      entry = { handler: handler.id, key, value, bytes: rowAndKey, timeMs, version, group: -1 };
      this.#insert(entry);
    }
    if (entry.value === undefined) return false;
    const isOld = this.#isOld(handler, entry);
    if (!isOld && (isTimed(entry.timeMs) || !isTimed(this.#clock.now()))) return false;
    this.stage(group, handler, key, isOld ? "" : entry.value, entry.version);
    if (isOld) this.expired++;
    return true;
  }

  /** What was written longer ago than its handler keeps it; what says no time is not. */
  #isOld({ stateTtlMs }: Consumer, { timeMs }: { readonly timeMs: number }, nowMs = this.#clock.now()): boolean {
    return stateTtlMs !== undefined && isTimed(timeMs) && nowMs - timeMs >= stateTtlMs;
  }

  /** Puts what was staged since the last cut into the group's batch. */
  cut(group: Group): void {
    for (const { handler, key, value, timeMs, version, bytes } of this.#changed) {
      const row = keys.state(handler, key);
      if (value === undefined) group.del(row);
      else group.put(row, writeStateRow(row, { value, timeMs, version }, bytes));
    }
    this.#changed = [];
  }

  landed(group: Group): void {
    this.#landed = group.number;
    if (this.#youngBytes > this.#bytesMax) this.#age();
  }

  get cacheBytes(): number {
    return this.#youngBytes;
  }

  #count(handler: Consumer, more: number): void {
    this.bytes += more;
    handler.stateBytes += more;
  }

  /** Takes off what the row on disk has, which is about to be overwritten unread. Walks see the store as it is now. */
  #measure(handler: Consumer, key: string): void {
    handler.stateUnsure++;
    const { store } = this.#disk;
    if (store === undefined) return;
    const row = keys.state(handler.id, key);
    const measured = async (): Promise<void> => {
      const rows = store.iterator({ gte: row, lt: Buffer.concat([row, Buffer.of(0)]), limit: 1 });
      const [found] = await rows.nextv(1);
      await rows.close();
      if (found !== undefined) this.#count(handler, -(found[0].length + found[1].length));
      handler.stateUnsure--;
      this.#counted(handler);
    };
    // What cannot be read is counted anew at the next start.
    measured().catch(() => undefined);
  }

  #find(handler: number, key: string): Entry | undefined {
    const entry = this.#young.get(handler)?.get(key);
    if (entry !== undefined) return entry;
    const old = this.#old.get(handler)?.get(key);
    if (old === undefined) return undefined;
    this.#old.get(handler)?.delete(key);
    this.#insert(old);
    return old;
  }

  #insert(entry: Entry): void {
    let ofHandler = this.#young.get(entry.handler);
    if (ofHandler === undefined) this.#young.set(entry.handler, (ofHandler = new Map()));
    ofHandler.set(entry.key, entry);
    this.#youngBytes += ENTRY_BYTES + 2 * (entry.key.length + (entry.value?.length ?? 0));
  }

  #age(): void {
    this.ages++;
    const forgotten = this.#old;
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngBytes = 0;
    // What is not on disk yet must not be forgotten.
    for (const [handler, entries] of forgotten) {
      for (const entry of entries.values()) {
        if (entry.group > this.#landed) this.#insert(entry);
        else this.#complete.delete(handler);
      }
    }
  }

  async #load(
    handler: Consumer,
    wanted: readonly string[],
    values: (string | undefined)[],
    missing: readonly number[],
  ): Promise<(string | undefined)[]> {
    const rows = missing.map((i) => keys.state(handler.id, wanted[i] as string));
    const found = await this.#disk.reading((store) => store.getMany(rows));
    for (const [n, i] of missing.entries()) {
      const key = wanted[i] as string;
      let entry = this.#find(handler.id, key);
      if (entry === undefined) {
        const row = rows[n] as Buffer;
        const bytes = found[n];
        const opened = this.#open(handler, key, row, bytes);
        entry = {
          handler: handler.id,
          key,
          value: opened?.value,
          bytes: bytes === undefined ? 0 : row.length + bytes.length,
          timeMs: opened?.timeMs ?? 0,
          version: opened?.version ?? 0,
          group: -1,
        };
        this.#insert(entry);
      }
      values[i] = this.#isOld(handler, entry) ? undefined : entry.value;
    }
    return values;
  }

  #open(handler: Consumer, key: string, row: Buffer, bytes: Buffer | undefined): StateRow | undefined {
    if (bytes === undefined) return undefined;
    if (isSealed(row, bytes)) return readStateRow(bytes);
    const what = `the state of key ${JSON.stringify(key.slice(0, 100))} of ${handler.name} is damaged and starts anew`;
    this.#damage.report({ where: "state", from: -1, to: -1, what }, bytes);
    return undefined;
  }
}

/** Whether that says when something was written: 0 does not, nor does a clock that was not set yet. */
function isTimed(timeMs: number): boolean {
  return timeMs >= CLOCK_UNSET_BEFORE_MS;
}

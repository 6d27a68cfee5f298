/**
 * Dead letters: tasks that failed for good and outputs that an uplink will never take. Kept until a person redrives or
 * drops them, or until there are more than are kept; then the oldest go, counted.
 *
 * A row, big endian, behind the seal:
 *
 *     0  u8   kind: 1 task, 2 output          18  u48  time it died, milliseconds since 1970
 *     1  u8   0                               24  u16  tries that have failed
 *     2  u16  handler                         26  u16  code, 28 u16 message, 30 u16 stack, 32 u16 key: bytes of each
 *     4  u16  uplink (0: task)                34  code, message, stack, key (UTF-8), the event's or output's record
 *     6  u48  event's number
 *    12  u48  version
 */
import { eventId, eventRecord } from "../event.ts";
import type { EventKind } from "../event.ts";
import type { Failure, OutboxEntry, Task } from "../task.ts";
import type { Disk } from "./disk.ts";
import type { Group } from "./group.ts";
import { keys } from "./keys.ts";
import { readOutput } from "./output.ts";
import { isSealed, seal, SEAL_BYTES } from "./seal.ts";

const HEADER_BYTES = 34;
/** How much of each text of a failure is kept. */
export const FAILURE_TEXT_MAX = 4096;
const LIST_MAX = 1000;

/** What a dead letter counts against, and what it takes. */
export interface Grave {
  readonly kind: "task" | "output";
  /** Handler of a task, uplink of an output. */
  readonly consumer: number;
  readonly handler: number;
  readonly bytes: number;
}

export interface DeadLetter {
  readonly id: string;
  readonly kind: "task" | "output";
  readonly handler: string;
  /** Name of the uplink that rejected the output. */
  readonly uplink: string | undefined;
  /** Id of the event (event.ts). */
  readonly event: string;
  readonly eventSeq: number;
  readonly key: string;
  readonly version: number;
  /** Tries that failed. */
  readonly attempt: number;
  /** When it died, milliseconds since 1970. */
  readonly timeMs: number;
  readonly failure: Failure;
  readonly topic: string;
  /** The event's or the output's bytes. */
  readonly payload: Buffer;
  /** Of the event, when the letter is a task. */
  readonly source:
    | {
        readonly kind: EventKind;
        readonly device: string;
        readonly qos: 0 | 1 | 2;
        readonly retain: boolean;
        readonly timeMs: number;
      }
    | undefined;
  /** When the letter is an output; `seq` is the one it had in its outbox, 0 when it is not known. */
  readonly output: OutboxEntry | undefined;
}

export interface DeadQuery {
  /** Letters with an id after this one; oldest first. */
  readonly after?: string | undefined;
  /** At most 1,000, 100 when not given. */
  readonly limit?: number | undefined;
  readonly handler?: string | undefined;
  readonly uplink?: string | undefined;
}

interface Names {
  readonly journal: string;
  handler(id: number): string;
  uplink(id: number): string;
}

export interface Died {
  readonly kind: "task" | "output";
  readonly handler: number;
  readonly uplink: number;
  readonly eventSeq: number;
  readonly version: number;
  readonly attempt: number;
  readonly key: string;
  readonly timeMs: number;
  readonly failure: Failure;
  /** The event's or output's record lies in `page` from `at` to `end`. */
  readonly page: Buffer;
  readonly at: number;
  readonly end: number;
}

export class DeadRows {
  readonly #disk: Disk;
  readonly #names: Names;
  readonly #graves = new Map<number, Grave>();
  /** Ids by handler, oldest first, and how long those are together. */
  readonly #own = new Map<number, { readonly ids: Set<number>; bytes: number }>();
  #next: number;
  bytes = 0;

  constructor(disk: Disk, names: Names, next: number) {
    this.#disk = disk;
    this.#names = names;
    this.#next = next;
  }

  get count(): number {
    return this.#graves.size;
  }

  get next(): number {
    return this.#next;
  }

  /** At start: a row that was found sound. */
  found(id: number, grave: Grave): void {
    this.#graves.set(id, grave);
    this.bytes += grave.bytes;
    let own = this.#own.get(grave.handler);
    if (own === undefined) this.#own.set(grave.handler, (own = { ids: new Set(), bytes: 0 }));
    own.ids.add(id);
    own.bytes += grave.bytes;
    if (id >= this.#next) this.#next = id + 1;
  }

  /**
   * Who has to go when there are too many, or too long ones: the oldest of a handler that has more than half, so that it
   * costs others none of theirs; else the oldest.
   */
  surplus(countMax: number, bytesMax: number): [number, Grave] | undefined {
    const isMany = this.count > countMax;
    if (!isMany && this.bytes <= bytesMax) return undefined;
    for (const { ids, bytes } of this.#own.values()) {
      if (isMany ? ids.size * 2 <= this.count : bytes * 2 <= this.bytes) continue;
      const [id] = ids;
      if (id !== undefined) return [id, this.#graves.get(id) as Grave];
    }
    const { value } = this.#graves.entries().next();
    return value;
  }

  graves(): Iterable<Grave> {
    return this.#graves.values();
  }

  grave(id: number): Grave | undefined {
    return this.#graves.get(id);
  }

  stage(group: Group, died: Died): void {
    const id = this.#next++;
    const key = keys.dead(id);
    const value = seal(key, writeDead(died));
    group.put(key, value);
    const consumer = died.kind === "task" ? died.handler : died.uplink;
    this.found(id, { kind: died.kind, consumer, handler: died.handler, bytes: value.length });
  }

  /** False when there is no such letter (any more). */
  unstage(group: Group, id: number): boolean {
    const grave = this.#graves.get(id);
    if (grave === undefined) return false;
    this.#graves.delete(id);
    this.bytes -= grave.bytes;
    const own = this.#own.get(grave.handler);
    if (own !== undefined) {
      own.ids.delete(id);
      own.bytes -= grave.bytes;
      if (own.ids.size === 0) this.#own.delete(grave.handler);
    }
    group.del(keys.dead(id));
    return true;
  }

  async row(id: number): Promise<DeadRow | undefined> {
    if (!this.#graves.has(id)) return undefined;
    const key = keys.dead(id);
    const value = await this.#disk.reading((store) => store.get(key));
    return value === undefined || !this.#graves.has(id) ? undefined : readDead(key, value);
  }

  async get(id: number): Promise<DeadLetter | undefined> {
    const row = await this.row(id);
    return row === undefined ? undefined : this.#letter(id, row);
  }

  async list(query: DeadQuery): Promise<DeadLetter[]> {
    const limit = Math.max(1, Math.min(query.limit ?? 100, LIST_MAX));
    const after = query.after === undefined ? 0 : (parseDeadId(query.after) ?? 0);
    const letters: DeadLetter[] = [];
    await this.#disk.walk(
      keys.deadFrom(after + 1),
      (key, value) => {
        const id = keys.deadId(key);
        const row = this.#graves.has(id) ? readDead(key, value) : undefined;
        if (row === undefined) return true;
        const letter = this.#letter(id, row);
        if (query.handler !== undefined && letter.handler !== query.handler) return true;
        if (query.uplink !== undefined && letter.uplink !== query.uplink) return true;
        letters.push(letter);
        return letters.length < limit;
      },
      () => undefined,
    );
    return letters;
  }

  #letter(id: number, row: DeadRow): DeadLetter {
    const { page, at } = row;
    const shared = {
      id: deadId(id),
      kind: row.kind,
      handler: this.#names.handler(row.handler),
      event: eventId(this.#names.journal, row.eventSeq, lineageIn(row)),
      eventSeq: row.eventSeq,
      key: row.key,
      version: row.version,
      attempt: row.attempt,
      timeMs: row.timeMs,
      failure: row.failure,
    };
    if (row.kind === "output") {
      const output = readOutput(page, at, 0);
      const uplink = this.#names.uplink(row.uplink);
      return { ...shared, uplink, topic: output.topic, payload: output.data, source: undefined, output };
    }
    return {
      ...shared,
      uplink: undefined,
      topic: eventRecord.topic(page, at),
      payload: eventRecord.payload(page, at),
      source: {
        kind: eventRecord.kind(page, at),
        device: eventRecord.device(page, at),
        qos: eventRecord.qos(page, at),
        retain: eventRecord.retain(page, at),
        timeMs: eventRecord.timeMs(page, at),
      },
      output: undefined,
    };
  }
}

function lineageIn({ kind, page, at }: DeadRow): string {
  return kind === "task" ? eventRecord.lineage(page, at) : readOutput(page, at, 0).lineage;
}

/** How a person writes a letter's number. */
export function deadId(id: number): string {
  return `d${id}`;
}

export function parseDeadId(text: string): number | undefined {
  const digits = /^d(\d{1,14})$/.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

export type DeadRow = Died;

function writeDead(died: Died): Buffer {
  const { failure } = died;
  const texts = [failure.code, failure.message, failure.stack ?? "", died.key];
  const bytes = texts.map((text, i) => (i === 3 ? Buffer.from(text) : clipped(text)));
  const length = bytes.reduce((sum, { length }) => sum + length, SEAL_BYTES + HEADER_BYTES + died.end - died.at);
  const row = Buffer.alloc(length);
  let at = SEAL_BYTES;
  at = row.writeUInt8(died.kind === "task" ? 1 : 2, at) + 1;
  at = row.writeUInt16BE(died.handler, at);
  at = row.writeUInt16BE(died.uplink, at);
  at = row.writeUIntBE(died.eventSeq, at, 6);
  at = row.writeUIntBE(died.version, at, 6);
  at = row.writeUIntBE(died.timeMs, at, 6);
  at = row.writeUInt16BE(Math.min(died.attempt, 0xffff), at);
  for (const text of bytes) at = row.writeUInt16BE(text.length, at);
  for (const text of bytes) at += text.copy(row, at);
  died.page.copy(row, at, died.at, died.end);
  return row;
}

export function readDead(key: Buffer, row: Buffer): DeadRow | undefined {
  if (row.length < SEAL_BYTES + HEADER_BYTES || !isSealed(key, row)) return undefined;
  const at = SEAL_BYTES;
  let textAt = at + HEADER_BYTES;
  const [code, message, stack, ordering] = [26, 28, 30, 32].map((offset) => {
    const start = textAt;
    textAt += row.readUInt16BE(at + offset);
    return row.utf8Slice(start, textAt);
  }) as [string, string, string, string];
  return {
    kind: row[at] === 1 ? "task" : "output",
    handler: row.readUInt16BE(at + 2),
    uplink: row.readUInt16BE(at + 4),
    eventSeq: row.readUIntBE(at + 6, 6),
    version: row.readUIntBE(at + 12, 6),
    timeMs: row.readUIntBE(at + 18, 6),
    attempt: row.readUInt16BE(at + 24),
    key: ordering,
    failure: stack === "" ? { code, message } : { code, message, stack },
    page: row,
    at: textAt,
    end: row.length,
  };
}

/** The first 4 KB of a text, cut between characters. */
function clipped(text: string): Buffer {
  const bytes = Buffer.from(text.length > FAILURE_TEXT_MAX ? text.slice(0, FAILURE_TEXT_MAX) : text);
  if (bytes.length <= FAILURE_TEXT_MAX) return bytes;
  let end = FAILURE_TEXT_MAX;
  while (end > 0 && ((bytes[end] as number) & 0b1100_0000) === 0b1000_0000) end--;
  return bytes.subarray(0, end);
}

export function graveOf(row: DeadRow, bytes: number): Grave {
  return { kind: row.kind, consumer: row.kind === "task" ? row.handler : row.uplink, handler: row.handler, bytes };
}

/** The task that a dead letter was, as it is parked when it is redriven. */
export function taskOf(row: DeadRow): Task {
  return {
    handler: row.handler,
    seq: row.eventSeq,
    page: row.page,
    at: row.at,
    key: row.key,
    attempt: row.attempt,
    parked: true,
  };
}

/**
 * The stream: what happens, told to whoever looks on: log lines of handlers, what became of events, versions that come and
 * go, uplinks that are down and back.
 *
 *   ST1  It costs nothing when nobody looks: that an event was done is told only while somebody does (`isWatched`).
 *   ST2  What is worth seeing afterwards is kept for a while: {@link KEPT_MAX} entries, {@link KEPT_CHARS_MAX} characters,
 *        {@link KEPT_MS}. Events that were done are not kept; of the others {@link KEPT_PER_SECOND} a second.
 *   ST3  A reader gets {@link PER_SECOND} entries a second of those that it asked for, and has {@link BUFFER_BYTES_MAX} of
 *        them under way; what is left out is counted, and it is told how many that were, and why.
 *   ST4  An entry has a number that rises by one; a reader that comes back and says what it had last goes on from there.
 *
 * Nothing of it is on disk: what happened before a restart is in the log, in the ledger and among the dead letters.
 */
import { randomBytes } from "node:crypto";
import { Fault } from "../fault.ts";
import type { Clock } from "../time.ts";
import { matches } from "./stream-entry.ts";
import type { Entry, EntryDraft, Filter } from "./stream-entry.ts";

const KEPT_MAX = 2000;
const KEPT_CHARS_MAX = 1024 * 1024;
export const KEPT_MS = 15 * 60_000;
export const KEPT_PER_SECOND = 500;
export const PER_SECOND = 1000;
const BUFFER_BYTES_MAX = 256 * 1024;
/** Without anything to say it says so, or whoever lies between may think that it is dead. */
const HEARTBEAT_MS = 15_000;

/** Where a reader is written to: a response. */
export interface Sink {
  write(text: string): unknown;
  end(): unknown;
  /** Bytes that wait to be sent. */
  readonly writableLength: number;
}

export interface ReadFrom {
  /** Only what happened after that, milliseconds since 1970. */
  readonly sinceMs?: number | undefined;
  /** The id of the last entry that the reader had; goes before `sinceMs` where it is still known. */
  readonly after?: string | undefined;
}

export interface StreamFigures {
  readonly open: number;
  readonly sent: number;
  /** Left out, by why: too many a second for the reader, a reader that is too slow, too many a second to be kept. */
  readonly leftOut: Readonly<Record<"rate" | "slow" | "kept", number>>;
}

interface Kept {
  readonly number: number;
  readonly atMs: number;
  readonly entry: Entry;
  readonly text: string;
}

interface Reader {
  readonly sink: Sink;
  readonly filter: Filter;
  second: number;
  sentInSecond: number;
  /** Since it was told last. */
  rate: number;
  slow: number;
}

export class Stream {
  readonly #clock: Clock;
  readonly #readersMax: number;
  /** Numbers of another gateway, or of this one before it was restarted, mean nothing. */
  readonly #run = randomBytes(4).toString("hex");
  readonly #readers = new Set<Reader>();
  #kept: Kept[] = [];
  #keptChars = 0;
  #number = 0;
  #second = 0;
  #keptInSecond = 0;
  #sent = 0;
  readonly #leftOut = { rate: 0, slow: 0, kept: 0 };
  #heartbeat: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(clock: Clock, readersMax: number) {
    this.#clock = clock;
    this.#readersMax = readersMax;
  }

  /** Whether somebody looks at what becomes of each event (ST1). */
  get isWatched(): boolean {
    return this.#readers.size > 0;
  }

  /** Whether an entry of what is kept would be told or kept at all. Asked before it is made; counts those that would not. */
  get takes(): boolean {
    if (this.#readers.size > 0 || this.#mayKeep()) return true;
    this.#leftOut.kept++;
    return false;
  }

  tell(draft: EntryDraft): void {
    const timeMs = this.#clock.now();
    const entry = { time: new Date(timeMs).toISOString(), ...draft } as Entry;
    const number = ++this.#number;
    const text = `id: ${this.#run}-${number}\nevent: ${entry.at}\ndata: ${JSON.stringify(entry)}\n\n`;
    if (!(entry.at === "outcome" && entry.status === "done")) this.#keep({ number, atMs: timeMs, entry, text });
    for (const reader of this.#readers) if (matches(entry, reader.filter)) this.#send(reader, text);
  }

  /** Begins to tell; the reader is told first what is kept and asked for. Returns how it ends. Throws CONTROL_STREAMS. */
  open(sink: Sink, filter: Filter, from: ReadFrom): () => void {
    this.assertRoom();
    const reader: Reader = { sink, filter, second: 0, sentInSecond: 0, rate: 0, slow: 0 };
    sink.write(": what happens from now on\n\n");
    for (const { entry, text } of this.#keptFrom(from)) {
      if (!matches(entry, filter)) continue;
      if (sink.writableLength > BUFFER_BYTES_MAX) reader.slow++;
      else sink.write(text);
    }
    this.#readers.add(reader);
    this.#heartbeat ??= setInterval(() => this.#beat(), HEARTBEAT_MS).unref();
    return () => {
      this.#readers.delete(reader);
      if (this.#readers.size > 0) return;
      clearInterval(this.#heartbeat);
      this.#heartbeat = undefined;
    };
  }

  /** Throws CONTROL_STREAMS when there are as many readers as may be, CONTROL_CLOSING when it is over. */
  assertRoom(): void {
    if (this.#isClosed) throw new Fault("CONTROL_CLOSING", "the gateway is being stopped");
    if (this.#readers.size < this.#readersMax) return;
    throw new Fault("CONTROL_STREAMS", `${this.#readersMax} streams are open already`);
  }

  /** Readers are told that it is over, and their streams end. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#heartbeat);
    for (const { sink } of this.#readers) {
      sink.write("event: closing\ndata: {}\n\n");
      sink.end();
    }
    this.#readers.clear();
  }

  figures(): StreamFigures {
    return { open: this.#readers.size, sent: this.#sent, leftOut: { ...this.#leftOut } };
  }

  #send(reader: Reader, text: string): void {
    const second = Math.floor(this.#clock.monotonic() / 1000);
    if (second !== reader.second) {
      reader.second = second;
      reader.sentInSecond = 0;
    }
    if (reader.sink.writableLength > BUFFER_BYTES_MAX) {
      reader.slow++;
      this.#leftOut.slow++;
    } else if (reader.sentInSecond >= PER_SECOND) {
      reader.rate++;
      this.#leftOut.rate++;
    } else {
      this.#confess(reader);
      reader.sentInSecond++;
      this.#sent++;
      reader.sink.write(text);
    }
  }

  /** Says what was left out since it was said last (ST3). */
  #confess(reader: Reader): void {
    const { rate, slow, sink } = reader;
    if (rate + slow === 0) return;
    reader.rate = reader.slow = 0;
    sink.write(`event: left-out\ndata: ${JSON.stringify({ at: "left-out", rate, slow })}\n\n`);
  }

  #beat(): void {
    for (const reader of this.#readers) {
      if (reader.sink.writableLength > BUFFER_BYTES_MAX) continue;
      this.#confess(reader);
      reader.sink.write(":\n\n");
    }
  }

  // --- what is kept

  #mayKeep(): boolean {
    const second = Math.floor(this.#clock.monotonic() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#keptInSecond = 0;
    }
    return this.#keptInSecond < KEPT_PER_SECOND;
  }

  #keep(kept: Kept): void {
    if (!this.#mayKeep()) {
      this.#leftOut.kept++;
      return;
    }
    this.#keptInSecond++;
    this.#kept.push(kept);
    this.#keptChars += kept.text.length;
    let gone = 0;
    const oldest = kept.atMs - KEPT_MS;
    for (let one = this.#kept[0]; one !== undefined; one = this.#kept[gone]) {
      const isTooMuch = this.#kept.length - gone > KEPT_MAX || this.#keptChars > KEPT_CHARS_MAX;
      if (!isTooMuch && one.atMs >= oldest) break;
      this.#keptChars -= one.text.length;
      gone++;
    }
    if (gone > 0) this.#kept.splice(0, gone);
  }

  #keptFrom({ sinceMs, after }: ReadFrom): readonly Kept[] {
    const [run, number] = (after ?? "").split("-");
    if (run === this.#run) return this.#kept.filter((kept) => kept.number > Number(number));
    return sinceMs === undefined ? [] : this.#kept.filter(({ atMs }) => atMs >= sinceMs);
  }
}

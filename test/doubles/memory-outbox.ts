/**
 * An outbox in memory, with the behaviour of the journal's: entries in order of `seq`, a bounded window that is refilled
 * later (as from disk), `wake` only after a feed ran empty, receipts that count at once, and books that must balance.
 *
 * Unlike the real one it keeps everything in memory, nothing survives it, and receipts are never lost.
 */
import type { FeedLimits, OutboxFeed, Outboxes, Receipt } from "#src/uplinks/outbox.ts";
import type { OutboxEntry } from "#src/task.ts";

export interface EntryDraft {
  readonly data?: string | Buffer;
  readonly json?: boolean;
  readonly key?: string;
  readonly handler?: number;
  readonly timeMs?: number;
  readonly topic?: string;
  readonly subject?: string;
  readonly type?: string;
}

export class MemoryOutbox implements Outboxes, OutboxFeed {
  readonly entries: OutboxEntry[] = [];
  readonly receipts = new Map<number, Receipt>();
  /** Receipts in the order in which they came. */
  readonly order: Receipt[] = [];
  takenMost = 0;
  #open = 0;
  #openBytes = 0;
  #firstOpen = 0;
  #cursor = 0;
  #starved = false;
  #limits: FeedLimits = { entriesMax: 8192, bytesMax: Infinity, whenFull: "drop-oldest" };
  #wake: () => void = () => undefined;
  #refilled = 0;
  #closed = false;
  #watchers: (() => void)[] = [];

  /** Adds an entry and wakes the feed as a commit would. */
  emit(draft: EntryDraft = {}): OutboxEntry {
    const seq = this.entries.length;
    const data = Buffer.from(draft.data ?? JSON.stringify({ n: seq }));
    const entry: OutboxEntry = {
      seq,
      eventSeq: 1000 + seq,
      lineage: "",
      position: 0,
      handler: draft.handler ?? 1,
      version: 3,
      timeMs: draft.timeMs ?? Date.now(),
      key: draft.key ?? `key-${seq % 5}`,
      type: draft.type ?? "test.output",
      subject: draft.subject ?? "plant/1",
      topic: draft.topic ?? "",
      qos: 1,
      retain: false,
      json: draft.json ?? true,
      data,
    };
    this.entries.push(entry);
    this.#open++;
    this.#openBytes += data.length;
    this.#refill();
    return entry;
  }

  emitMany(count: number, draft: EntryDraft = {}): void {
    for (let i = 0; i < count; i++) this.emit(draft);
  }

  outbox(_uplink: string, limits: FeedLimits, wake: () => void): OutboxFeed {
    this.#limits = limits;
    this.#wake = wake;
    this.#closed = false;
    this.#cursor = this.#firstOpen;
    this.#refilled = Math.min(this.entries.length, this.#cursor + limits.entriesMax);
    return this;
  }

  received(_uplink: string, receipts: readonly Receipt[]): void {
    for (const receipt of receipts) {
      if (this.receipts.has(receipt.seq)) throw new Error(`a second receipt for ${receipt.seq}`);
      const entry = this.entries[receipt.seq];
      if (entry === undefined) throw new Error(`a receipt for ${receipt.seq}, which was never emitted`);
      this.receipts.set(receipt.seq, receipt);
      this.order.push(receipt);
      this.#open--;
      this.#openBytes -= entry.data.length;
    }
    while (this.#firstOpen < this.entries.length && this.receipts.has(this.#firstOpen)) this.#firstOpen++;
    for (const watcher of this.#watchers) watcher();
  }

  count(verdict: Receipt["verdict"]): number {
    return this.order.filter((receipt) => receipt.verdict === verdict).length;
  }

  /** Resolves when every entry has a receipt. */
  async drained(withinMs = 10_000): Promise<void> {
    await this.until(
      () => this.#open === 0,
      withinMs,
      () => `${this.#open} entries still have no receipt`,
    );
  }

  /** Resolves when `holds`, looked at after each receipt and now and then. */
  async until(
    holds: () => boolean,
    withinMs = 10_000,
    why: () => string = () => "it did not come true",
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (holds()) resolve();
    };
    this.#watchers.push(look);
    const ticker = setInterval(look, 5);
    const deadline = setTimeout(() => reject(new Error(why())), withinMs);
    look();
    try {
      await promise;
    } finally {
      clearInterval(ticker);
      clearTimeout(deadline);
      this.#watchers = this.#watchers.filter((watcher) => watcher !== look);
    }
  }

  get size(): number {
    return this.#refilled - this.#cursor;
  }

  get waiting(): number {
    return this.#open;
  }

  get waitingBytes(): number {
    return this.#openBytes;
  }

  isWaiting(seq: number): boolean {
    return !this.receipts.has(seq);
  }

  close(): void {
    this.#closed = true;
  }

  take(): OutboxEntry | undefined {
    if (this.#closed) return undefined;
    while (this.#cursor < this.#refilled && this.receipts.has(this.#cursor)) this.#cursor++;
    if (this.#cursor >= this.#refilled) {
      this.#starved = true;
      if (this.#refilled < this.entries.length) this.#refill();
      return undefined;
    }
    const entry = this.entries[this.#cursor++];
    this.takenMost = Math.max(this.takenMost, this.#cursor - this.#firstOpen);
    return entry;
  }

  /** The next window comes a little later, as from disk. */
  #refill(): void {
    setImmediate(() => {
      if (this.#closed) return;
      this.#refilled = Math.min(this.entries.length, this.#cursor + this.#limits.entriesMax);
      if (this.#starved && this.#refilled > this.#cursor) {
        this.#starved = false;
        this.#wake();
      }
    });
  }
}

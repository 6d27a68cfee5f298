/**
 * A kind of uplink whose other side follows a script: one word for each batch, "well" when the script is over.
 *
 * Unlike a real one nothing leaves the process; but batches take time, come back in order, and are all lost together
 * when one fails, as on a connection.
 */
import { Fault } from "#src/fault.ts";
import type { OutboxEntry } from "#src/task.ts";
import type { Uplink, Verdict } from "#src/uplinks/uplink.ts";

export type Word =
  | { readonly at: "well" }
  /** Takes so many entries of the batch and fails; of those it acknowledges so many. */
  | { readonly at: "breaks"; readonly takes: number; readonly acknowledges: number }
  /** Takes all and says nothing until the batch is given up. */
  | { readonly at: "hangs" }
  /** Takes all, says nothing, and does not even hear that the batch is given up. */
  | { readonly at: "ignores" }
  | { readonly at: "throws" };

export class ScriptedUplink implements Uplink {
  readonly window: number;
  readonly batchCountMax: number;
  readonly batchBytesMax = 1_000_000;
  /** `seq` of all that the other side took, with repeats. */
  readonly taken: number[] = [];
  /** Sizes of the batches. */
  readonly batches: number[] = [];
  outstanding = 0;
  outstandingMost = 0;
  closed = false;
  /** Entries that the other side refuses the whole batch for. */
  readonly poison = new Set<number>();
  readonly #script: Word[];
  #line: Promise<void> = Promise.resolve();
  #connection = { broken: false };

  constructor(options: { script?: readonly Word[]; window?: number; batchCountMax?: number } = {}) {
    this.#script = [...(options.script ?? [])];
    this.window = options.window ?? 1;
    this.batchCountMax = options.batchCountMax ?? 16;
  }

  async send(batch: readonly OutboxEntry[], signal: AbortSignal): Promise<Verdict> {
    this.batches.push(batch.length);
    this.outstandingMost = Math.max(this.outstandingMost, ++this.outstanding);
    if (this.outstanding === 1) this.#connection = { broken: false };
    const connection = this.#connection;
    const before = this.#line;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#line = promise;
    await before;
    await new Promise((next) => setImmediate(next));
    let well = false;
    try {
      const verdict = connection.broken || signal.aborted ? lost(0) : await this.#answer(batch, signal);
      well = verdict.fault === undefined;
      return verdict;
    } finally {
      if (!well) connection.broken = true;
      this.outstanding--;
      resolve();
    }
  }

  test(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  async #answer(batch: readonly OutboxEntry[], signal: AbortSignal): Promise<Verdict> {
    const word = this.#script.shift() ?? { at: "well" };
    switch (word.at) {
      case "throws":
        throw new Error("a bug in a kind");
      case "hangs":
      case "ignores":
        for (const { seq } of batch) this.taken.push(seq);
        if (word.at === "ignores") await new Promise<void>((resolve) => setTimeout(resolve, 2000));
        else await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        return lost(0);
      case "breaks": {
        const takes = Math.min(word.takes, batch.length);
        for (const { seq } of batch.slice(0, takes)) this.taken.push(seq);
        return lost(Math.min(word.acknowledges, takes));
      }
      case "well":
        if (batch.some(({ seq }) => this.poison.has(seq))) {
          return { acked: 0, refused: { failure: { code: "UPLINK_REJECTED", message: "bad" }, tooLarge: false } };
        }
        for (const { seq } of batch) this.taken.push(seq);
        return { acked: batch.length };
    }
  }
}

function lost(acked: number): Verdict {
  return { acked, fault: new Fault("UPLINK_UNREACHABLE", "the connection broke") };
}

/** What one delivery loop counts. Plain numbers; control/ makes metrics of them. */
import type { OutboxEntry } from "../task.ts";
import type { Receipt } from "./outbox.ts";

export interface DeliveryFigures {
  /** Entries handed to the kind, and those among them that had been handed over before. */
  readonly sent: number;
  readonly resent: number;
  readonly batches: number;
  /** Batches on their way now. */
  readonly outstanding: number;
  /** Entries by what became of them, since the start. */
  readonly delivered: number;
  readonly rejected: number;
  readonly expired: number;
  readonly dropped: number;
  readonly faults: number;
  readonly breakerOpened: number;
}

export class Tally {
  #sent = 0;
  #resent = 0;
  #batches = 0;
  #highest = -1;
  readonly #verdicts = { delivered: 0, rejected: 0, expired: 0, dropped: 0 };

  /** A batch leaves. */
  sent(entries: readonly OutboxEntry[]): void {
    this.#batches++;
    this.#sent += entries.length;
    for (let i = 0; i < entries.length && (entries[i] as OutboxEntry).seq <= this.#highest; i++) this.#resent++;
    this.#highest = Math.max(this.#highest, (entries[entries.length - 1] as OutboxEntry).seq);
  }

  /** Returns the verdict and failure to be logged, the first time that one of a kind that loses data comes up. */
  receipts(receipts: readonly Receipt[]): Receipt | undefined {
    let first: Receipt | undefined;
    for (let i = 0; i < receipts.length; i++) {
      const receipt = receipts[i] as Receipt;
      if (this.#verdicts[receipt.verdict]++ === 0 && receipt.verdict !== "delivered") first ??= receipt;
    }
    return first;
  }

  figures(): Omit<DeliveryFigures, "outstanding" | "faults" | "breakerOpened"> {
    return { sent: this.#sent, resent: this.#resent, batches: this.#batches, ...this.#verdicts };
  }
}

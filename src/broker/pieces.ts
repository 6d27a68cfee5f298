/**
 * Packets that have come in part, of all connections together: they take memory until the rest comes, which may be never.
 * Beyond `inboundTotalMax` the one goes that began first (G7): what comes at all, comes sooner or later.
 */
import type { Complaints } from "./complaints.ts";
import type { BrokerFigures } from "./figures.ts";

export interface PieceHolder {
  readonly remote: string | undefined;
  /** Its packet is given up, and so is its connection. */
  crowdedOut(): void;
}

export class Pieces {
  readonly #bytesMax: number;
  readonly #figures: BrokerFigures;
  readonly #complaints: Complaints;
  /** Bytes by who holds them, who began first first. */
  readonly #held = new Map<PieceHolder, number>();

  constructor(bytesMax: number, figures: BrokerFigures, complaints: Complaints) {
    this.#bytesMax = bytesMax;
    this.#figures = figures;
    this.#complaints = complaints;
  }

  hold(holder: PieceHolder, bytes: number): void {
    this.#figures.inboundBytes += bytes - (this.#held.get(holder) ?? 0);
    if (bytes === 0) this.#held.delete(holder);
    else this.#held.set(holder, bytes);
    while (this.#figures.inboundBytes > this.#bytesMax) {
      const [first] = this.#held.keys();
      if (first === undefined) return;
      this.hold(first, 0);
      this.#figures.inboundDisconnects++;
      const { remote } = first;
      this.#complaints.line("warn", "connection closed: too many packets have come in part, and its own began first", {
        remote,
      });
      first.crowdedOut();
    }
  }
}

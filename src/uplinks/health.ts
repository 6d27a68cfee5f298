/** How well the other side is: counts faults in a row for backoff and breaker, and tells the log once for each change. */
import type { Fault } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";

export class Health {
  readonly #name: string;
  readonly #breakerAfter: number;
  readonly #clock: Clock;
  readonly #log: Log;
  #down: { readonly fault: Fault; readonly sinceMs: number } | undefined;
  faultsInRow = 0;
  faults = 0;
  breakerOpened = 0;

  constructor(options: { name: string; breakerAfter: number; clock: Clock; log: Log }) {
    this.#name = options.name;
    this.#breakerAfter = options.breakerAfter;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Why it is down; undefined while it is well. */
  get fault(): Fault | undefined {
    return this.#down?.fault;
  }

  /** Further tries carry a single entry. */
  get breakerOpen(): boolean {
    return this.faultsInRow >= this.#breakerAfter;
  }

  failed(fault: Fault, waiting: number): void {
    this.faultsInRow++;
    this.faults++;
    if (this.faultsInRow === this.#breakerAfter) this.breakerOpened++;
    const before = this.#down;
    this.#down = { fault, sinceMs: before?.sinceMs ?? this.#clock.monotonic() };
    if (before?.fault.code === fault.code) return;
    const fields = { uplink: this.#name, fault, waiting };
    if (fault.blame === "config") this.#log.error(fields, "uplink refuses us; entries wait");
    else this.#log.warn(fields, "uplink is down; entries wait");
  }

  /** Something got through before it failed: it is no better, but it need not wait longer either. */
  progressed(): void {
    this.faultsInRow = 0;
  }

  /** A batch got through. */
  worked(waiting: number): void {
    this.faultsInRow = 0;
    const down = this.#down;
    if (down === undefined) return;
    this.#down = undefined;
    const afterMs = Math.round(this.#clock.monotonic() - down.sinceMs);
    this.#log.info({ uplink: this.#name, afterMs, waiting }, "uplink is back");
  }
}

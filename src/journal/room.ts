/**
 * Whether there is room for another event, and telling those who wait when there is again.
 */
import { isBrimming, isFull, settledBelow } from "./core.ts";
import type { Core } from "./core.ts";
import type { Retention } from "./retention.ts";

/** `later`: nothing was taken, try again after onRoom(). `refused`: nothing was taken, and waiting does not help. */
export type Admission = "taken" | "later" | "refused";

/** From this share of sizeMax on, room is made before it runs out. */
const SWEEP_FROM = 0.9;

export class Room {
  readonly #core: Core;
  readonly #retention: Retention;
  readonly #onRoom: () => void;
  #sweeps = 0;
  /** Pages trimmed when the last sweep ended. */
  #trimmed = 0;
  #brimming = false;

  constructor(core: Core, retention: Retention, onRoom: () => void) {
    this.#core = core;
    this.#retention = retention;
    this.#onRoom = onRoom;
  }

  admission(): Admission {
    const core = this.#core;
    const { writer } = core;
    if (writer.hasGivenUp) return this.refuse();
    if (writer.failing || writer.stagedBytes >= core.limits.stagedBytesMax || core.full === "later") {
      core.roomWanted = true;
      return "later";
    }
    return core.full === "no" ? "taken" : this.refuse();
  }

  refuse(): "refused" {
    this.#core.refused++;
    return "refused";
  }

  /** After a commit. */
  landed(): void {
    const core = this.#core;
    const { limits, diskRoom } = core;
    diskRoom.landed(core.position);
    if (!isFull(core)) core.full = "no";
    else if (core.full === "no" || (core.full === "refuse" && this.#mayTrim())) {
      core.full = "later";
      this.#sweeps = 0;
    }
    if (core.full === "later" || core.used >= limits.sizeMaxBytes * SWEEP_FROM) this.#retention.soon();
    this.#tell();
    this.#wake();
  }

  /** After a sweep: what is full now, and of which nothing could be taken, stays full until something is settled. */
  swept(): void {
    const core = this.#core;
    const { trimmedPages } = this.#retention;
    const trimmed = trimmedPages > this.#trimmed;
    this.#trimmed = trimmedPages;
    if (!isFull(core)) core.full = "no";
    else if (core.full === "later" && ++this.#sweeps > 1 && !trimmed) {
      core.full = "refuse";
      this.#warn();
    }
    if (core.full === "later") this.#retention.soon();
    this.#tell();
    this.#wake();
  }

  /** Feeds that stood still because of the brim go on: a commit wakes only those whose own tasks it changed. */
  #wake(): void {
    const was = this.#brimming;
    this.#brimming = isBrimming(this.#core);
    if (was && !this.#brimming) for (const feed of this.#core.feeds) feed?.landed();
  }

  /** Writing has failed for long: those who wait are to ask again, and are refused. */
  givenUp(): void {
    this.#core.roomWanted = false;
    this.#onRoom();
  }

  #tell(): void {
    const core = this.#core;
    const { writer, limits } = core;
    if (!core.roomWanted || core.full === "later" || writer.failing) return;
    if (writer.stagedBytes * 2 > limits.stagedBytesMax) return;
    core.roomWanted = false;
    this.#onRoom();
  }

  /** Settled events are in the way, a whole page at least, which another sweep will delete. */
  #mayTrim(): boolean {
    const core = this.#core;
    if (!isFull(core)) return false;
    const floor = Math.min(settledBelow(core), core.committedHead);
    return core.header.tail < floor && this.#retention.oldestEnd <= floor;
  }

  #warn(): void {
    const { used, limits, diskRoom, log } = this.#core;
    if (used >= limits.sizeMaxBytes)
      log.warn({ used, sizeMax: limits.sizeMaxBytes }, "the journal is full: events are refused");
    else
      log.warn(
        { used, diskFree: diskRoom.freeBytes, kept: diskRoom.reserveBytes },
        "the journal's disk is nearly full: events are refused, so that what is there can be delivered and forgotten",
      );
  }
}

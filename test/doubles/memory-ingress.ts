/**
 * An ingress that keeps events in memory. It differs from the pipeline in that nothing reaches a disk: a "commit" is
 * whatever the test says it is: at once, after a wait, or on demand. What was committed outlives a broker, so handing
 * the same one to the next broker is a restart of the gateway.
 */
import type { EventDraft } from "#src/event.ts";
import { Fault } from "#src/fault.ts";
import type { Admission, Ingress, Receiver } from "#src/broker/ingress.ts";

export interface KeptEvent {
  readonly topic: string;
  readonly device: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
}

interface Staged {
  readonly receiver: Receiver;
  readonly tag: number;
  readonly apply: () => void;
}

export class MemoryIngress implements Ingress {
  readonly events: KeptEvent[] = [];
  readonly #claims = new Map<string, Set<number>>();
  #staged: Staged[] = [];
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  /** Milliseconds until a commit; undefined: the test calls commit(). */
  commitAfterMs: number | undefined = 0;
  /** The answer to accept(). */
  admission: Admission = "taken";
  /** The next commits fail. */
  isFailing = false;
  /** Nothing is taken: for the last moments of a broker that is to have died before. */
  isDeaf = false;
  /** How many it takes before it says later; room comes with the commit. */
  stagedMax = Infinity;
  onRoom: () => void = () => {};

  get staged(): number {
    return this.#staged.length;
  }

  accept(event: EventDraft, receiver: Receiver, tag: number, packetId?: number): Admission {
    if (this.isDeaf) return "refused";
    if (this.admission !== "taken") return this.admission;
    if (this.#staged.length >= this.stagedMax) return "later";
    const { topic, device, qos, retain } = event;
    const kept = { topic, device, payload: Buffer.from(event.payload).toString(), qos, retain };
    if (packetId !== undefined) {
      const claims = this.#claims.get(device) ?? new Set();
      this.#claims.set(device, claims.add(packetId));
    }
    this.#stage({ receiver, tag, apply: () => this.events.push(kept) });
    return "taken";
  }

  claimed(device: string): ReadonlySet<number> {
    return this.#claims.get(device) ?? new Set();
  }

  claimants(): Iterable<string> {
    return [...this.#claims].filter(([, claims]) => claims.size > 0).map(([device]) => device);
  }

  release(device: string, packetId: number, receiver: Receiver, tag: number): void {
    this.#stage({ receiver, tag, apply: () => this.#claims.get(device)?.delete(packetId) });
  }

  forget(device: string): void {
    if (this.isDeaf) return;
    this.#claims.delete(device);
  }

  /** Commits the oldest `count` of what is staged, all by default. */
  commit(count = this.#staged.length): void {
    const wasFull = this.#staged.length >= this.stagedMax;
    for (const { receiver, tag, apply } of this.#staged.splice(0, count)) {
      if (this.isFailing) {
        receiver.committed(tag, new Fault("CONFIG_UNREADABLE", "the disk said no"));
      } else {
        apply();
        receiver.committed(tag, undefined);
      }
    }
    if (wasFull) this.onRoom();
  }

  /** Commits all that is staged, the newest first. */
  commitBackwards(): void {
    this.#staged.reverse();
    this.commit();
  }

  /** Ends `later`. */
  makeRoom(): void {
    this.admission = "taken";
    this.onRoom();
  }

  #stage(staged: Staged): void {
    this.#staged.push(staged);
    if (this.commitAfterMs === undefined || this.#timer !== undefined) return;
    const run = (): void => {
      this.#timer = undefined;
      this.commit();
    };
    this.#timer = this.commitAfterMs === 0 ? setImmediate(run) : setTimeout(run, this.commitAfterMs);
  }
}

/**
 * Finds the entry that makes the other side hang up, where hanging up is all it says (MQTT 3.1.1 has no other way).
 *
 * Three hang-ups with the same entry first in line start a hunt: entries go alone. If the first one still fails alone
 * three times, an entry behind it is tried. Only when that one gets through is the first given up: a peer that hangs up
 * on everything has a fault of its own, and nothing is given up for it. Order per key holds, for the entry that is tried is
 * the first of its key, or follows only the one that is given up.
 */
import type { OutboxEntry } from "../task.ts";

/** The little of a feed that is needed to look behind the first entry. */
interface Takes {
  take(): OutboxEntry | undefined;
}

const HANGUPS_BEFORE_HUNT = 3;
const HANGUPS_ALONE = 3;
/** How far behind the suspected entry another one is looked for. */
const LOOK_BEHIND = 64;

export class PoisonHunt {
  #headSeq = -1;
  #hangups = 0;
  #alone = 0;
  #probes = 0;
  #hunting = false;

  /** Entries go alone. */
  get active(): boolean {
    return this.#hunting;
  }

  /** The next batch is to be {@link candidate}. */
  get probing(): boolean {
    return this.#hunting && this.#alone >= HANGUPS_ALONE;
  }

  /** The other side hung up on a batch whose first unacknowledged entry is `headSeq`. */
  hungUp(headSeq: number, alone: boolean): void {
    if (headSeq !== this.#headSeq) {
      this.#headSeq = headSeq;
      this.#hangups = 0;
      this.#alone = 0;
      this.#probes = 0;
    }
    this.#hangups++;
    if (this.probing) {
      // Another one failed too. Try the first again, then the next other.
      this.#alone = HANGUPS_ALONE - 1;
      this.#probes++;
    } else if (alone) {
      this.#alone++;
    }
    if (this.#hangups >= HANGUPS_BEFORE_HUNT) this.#hunting = true;
  }

  /** A batch got through. The hunt is over when batches are back at full size. */
  delivered(narrowed: boolean): void {
    this.#headSeq = -1;
    this.#hangups = 0;
    this.#alone = 0;
    this.#probes = 0;
    if (!narrowed) this.#hunting = false;
  }

  /** The suspected entry and one to try in its place: of another handler if possible, a different one each time. */
  candidate(feed: Takes): readonly [suspected: OutboxEntry | undefined, other: OutboxEntry | undefined] {
    const suspected = feed.take();
    if (suspected === undefined) return [undefined, undefined];
    const keys = new Set<string>();
    const others: OutboxEntry[] = [];
    for (let i = 0; i < LOOK_BEHIND; i++) {
      const entry = feed.take();
      if (entry === undefined) break;
      if (keys.has(entry.key)) continue;
      keys.add(entry.key);
      others.push(entry);
    }
    const unlike = others.filter((entry) => entry.handler !== suspected.handler);
    const ranked = [...unlike, ...others.filter((entry) => entry.handler === suspected.handler)];
    return [suspected, ranked[this.#probes % Math.max(1, ranked.length)]];
  }
}

/**
 * Finds the entry that makes the other side hang up, where hanging up is all it says (MQTT 3.1.1 has no other way).
 *
 * Three hang-ups with the same entry first in line start a hunt: entries go alone. If the first one still fails alone
 * three times, an entry behind it is tried. Only if that one gets through is the first one condemned, and given up when it
 * fails once more: a peer that hangs up on everything, or did until just now, has a fault of its own, and nothing is given
 * up for it. Order per key holds, for the entry that is tried is the first of its key; where all are of one key, it follows
 * only the one that is then given up at once.
 */
import type { OutboxEntry } from "../task.ts";

/** The little of a feed that is needed to look behind the first entry. */
interface Takes {
  take(): OutboxEntry | undefined;
}

interface Candidate {
  readonly suspected: OutboxEntry;
  readonly other: OutboxEntry | undefined;
  readonly skipped: readonly OutboxEntry[];
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
  #condemned = -1;

  /** Entries go alone. */
  get active(): boolean {
    return this.#hunting;
  }

  /** The next batch is to be {@link candidate}. */
  get probing(): boolean {
    return this.#hunting && this.#alone >= HANGUPS_ALONE;
  }

  /** Whether the entry is to be given up if it fails once more. */
  isCondemned(seq: number): boolean {
    return seq === this.#condemned;
  }

  /** The other entry got through. */
  probed(suspectedSeq: number): void {
    this.#condemned = suspectedSeq;
    this.#alone = 0;
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
    if (this.isCondemned(headSeq)) {
      this.#condemned = -1;
      this.#headSeq = -1;
    }
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
    this.#condemned = -1;
    if (!narrowed) this.#hunting = false;
  }

  /**
   * Takes the suspected entry and some behind it: `other` is one to try in its place, of another handler if possible, and
   * a different one each time; `skipped` is what else was taken. Without an `other`, the suspected one is all there is.
   */
  candidate(intake: Takes): Candidate | undefined {
    const suspected = intake.take();
    if (suspected === undefined) return undefined;
    const keys = new Set<string>();
    const behind: OutboxEntry[] = [];
    const firsts: OutboxEntry[] = [];
    for (let i = 0; i < LOOK_BEHIND; i++) {
      const entry = intake.take();
      if (entry === undefined) break;
      behind.push(entry);
      if (keys.has(entry.key)) continue;
      keys.add(entry.key);
      firsts.push(entry);
    }
    const ofOtherKeys = firsts.filter(({ key }) => key !== suspected.key);
    const usable = ofOtherKeys.length > 0 ? ofOtherKeys : firsts;
    const unlike = usable.filter(({ handler }) => handler !== suspected.handler);
    const ranked = [...unlike, ...usable.filter(({ handler }) => handler === suspected.handler)];
    const other = ranked[this.#probes % Math.max(1, ranked.length)];
    return { suspected, other, skipped: behind.filter((entry) => entry !== other) };
  }
}

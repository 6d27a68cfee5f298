/**
 * SUBSCRIBEs and UNSUBSCRIBEs of all devices take turns. aedes works some 10 µs on each filter, and a packet may have
 * thousands of them: fifty devices that ask for a thousand each, again and again, kept everybody else waiting for many
 * seconds. So a turn of the event loop begins with a hundred filters, or with one packet that has more.
 *
 * What waits here is one packet a connection at the most, which is not read on meanwhile.
 */
const FILTERS_PER_TURN = 100;

interface Waiting {
  readonly filters: number;
  readonly begin: () => void;
}

export class RequestTurns {
  readonly #waiting: Waiting[] = [];
  /** Begun in this turn. */
  #filters = 0;
  #isTurning = false;

  /** `begin` is called now or in a later turn, in the order of these calls. */
  take(filters: number, begin: () => void): void {
    if (this.#waiting.length > 0 || this.#filters >= FILTERS_PER_TURN) this.#waiting.push({ filters, begin });
    else this.#begin({ filters, begin });
  }

  #begin({ filters, begin }: Waiting): void {
    this.#filters += filters;
    if (!this.#isTurning) {
      this.#isTurning = true;
      setImmediate(() => this.#turn());
    }
    begin();
  }

  #turn(): void {
    this.#isTurning = false;
    this.#filters = 0;
    while (this.#filters < FILTERS_PER_TURN) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#begin(next);
    }
  }
}

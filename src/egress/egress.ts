/**
 * Door of the way out: requests that handlers make, made by the gateway, to where they are granted.
 *
 * Mechanism. A fetch is one exchange (exchange.ts): its origin is looked for among the handler's grants, also after every
 * redirect; the connection goes to addresses that were looked at first (connect.ts, addresses.ts); the answer is read
 * whole, within limits (content.ts). Who asks is believed nothing: the sandbox has checked the form of what it says, and
 * what it means is checked here.
 *
 *   E1  Nothing is sent to an origin that is not granted, whichever way it came into play.
 *   E2  A name leads to public addresses only, or to private ones too when its grant says so; to loopback and link-local
 *       addresses only a grant leads that names them.
 *   E3  A fetch ends: with an answer, a failure, or because it was aborted; at the latest when its time is over.
 *   E4  What is held of all answers and requests together is bounded, and given back exactly once.
 *   E5  Credentials that were for one origin do not go to another one.
 *
 * Limits: fetches and bytes at a time over all handlers (EgressLimits); time and bytes of one answer (FetchRequest); addresses, headers, redirects
 * and methods (headers.ts, exchange.ts). How many fetches one event has is the sandbox's to bound.
 */
import type { Fetch, FetchEnd, FetchRequest } from "../fetch.ts";
import { Connections } from "./connect.ts";
import type { Lookup } from "./connect.ts";
import { exchange, Refused } from "./exchange.ts";

export interface EgressLimits {
  /** Of all handlers at a time. */
  readonly fetchesMax: number;
  /** Held for all of them: bodies on their way out, and answers until they are handed over. */
  readonly bytesMax: number;
}

export interface EgressOptions {
  readonly limits: EgressLimits;
  /** Stands in the user-agent. */
  readonly version: string;
  /** Tests have names of their own. */
  readonly lookup?: Lookup;
}

export const FETCH_OUTCOMES = ["answered", "failed", "denied", "timeout", "too-large", "busy", "aborted"] as const;
export type FetchOutcome = (typeof FETCH_OUTCOMES)[number];

export interface HandlerFetches {
  readonly ends: Readonly<Record<FetchOutcome, number>>;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export interface EgressFigures {
  readonly inFlight: number;
  readonly bytesHeld: number;
  readonly handlers: Readonly<Record<string, HandlerFetches>>;
}

interface Tally {
  readonly ends: Record<FetchOutcome, number>;
  sentBytes: number;
  receivedBytes: number;
}

export class Egress {
  readonly #limits: EgressLimits;
  readonly #userAgent: string;
  readonly #connections: Connections;
  readonly #tallies = new Map<string, Tally>();
  readonly #open = new Set<AbortController>();
  #bytesHeld = 0;

  constructor({ limits, version, lookup }: EgressOptions) {
    this.#limits = limits;
    this.#userAgent = `sluice/${version}`;
    this.#connections = new Connections(lookup);
  }

  readonly fetch: Fetch = (request, done) => {
    const control = new AbortController();
    const held = this.#hold(request.ask.body?.length ?? 0);
    const full = held === undefined || this.#open.size >= this.#limits.fetchesMax;
    this.#open.add(control);
    const over = (outcome: FetchOutcome): boolean => {
      if (!this.#open.delete(control)) return false;
      this.#tally(request.handler).ends[outcome]++;
      return true;
    };
    const abort = (): void => {
      if (!over("aborted")) return;
      held?.release();
      control.abort();
    };
    // In a turn of its own, so that who asks knows how to abort it by then.
    setImmediate(() => {
      if (control.signal.aborted) return;
      const running = full || held === undefined ? Promise.resolve(this.#busy()) : this.#run(request, held, control);
      void running.then((end) => {
        if (!over(outcomeOf(end))) return;
        if (end.at === "failed") held?.release();
        done(end, () => held?.release());
      });
    });
    return abort;
  };

  figures(): EgressFigures {
    return { inFlight: this.#open.size, bytesHeld: this.#bytesHeld, handlers: Object.fromEntries(this.#tallies) };
  }

  /** The handler is gone, and its figures with it. */
  forget(handler: string): void {
    this.#tallies.delete(handler);
  }

  close(): void {
    for (const control of this.#open) control.abort();
    this.#open.clear();
    this.#connections.close();
  }

  #busy(): FetchEnd {
    const message = `more than ${this.#limits.fetchesMax} fetches, or ${this.#limits.bytesMax} bytes of them, at a time over all handlers`;
    return { at: "failed", code: "SANDBOX_FETCH_BUSY", message, final: false };
  }

  /** Never rejects. */
  async #run(request: FetchRequest, held: Held, control: AbortController): Promise<FetchEnd> {
    const tally = this.#tally(request.handler);
    tally.sentBytes += request.ask.body?.length ?? 0;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      control.abort();
    }, request.timeoutMs);
    let received = 0;
    try {
      return await exchange(request, {
        connections: this.#connections,
        userAgent: this.#userAgent,
        signal: control.signal,
        reserve: (bytes) => {
          received += bytes;
          tally.receivedBytes += bytes;
          if (received > request.responseBytesMax) return "too-large";
          return held.more(bytes) ? "yes" : "busy";
        },
      });
    } catch (error) {
      if (isLate) {
        const message = `the fetch had not ended after ${request.timeoutMs} ms`;
        return { at: "failed", code: "HANDLER_FETCH_TIMEOUT", message, final: false };
      }
      if (error instanceof Refused) {
        return { at: "failed", code: error.code, message: error.message, final: error.final };
      }
      return { at: "failed", code: "HANDLER_FETCH_FAILED", message: "the fetch was given up", final: false };
    } finally {
      clearTimeout(timer);
    }
  }

  #tally(handler: string): Tally {
    let tally = this.#tallies.get(handler);
    if (tally === undefined) {
      const ends = Object.fromEntries(FETCH_OUTCOMES.map((outcome) => [outcome, 0])) as Record<FetchOutcome, number>;
      this.#tallies.set(handler, (tally = { ends, sentBytes: 0, receivedBytes: 0 }));
    }
    return tally;
  }

  /** Undefined when there is no room for so many bytes. */
  #hold(bytes: number): Held | undefined {
    if (!this.#take(bytes)) return undefined;
    let held: number | undefined = bytes;
    return {
      more: (more) => {
        // A decoder may have something left when all has been given back.
        if (held === undefined || !this.#take(more)) return false;
        held += more;
        return true;
      },
      release: () => {
        this.#bytesHeld -= held ?? 0;
        held = undefined;
      },
    };
  }

  #take(bytes: number): boolean {
    if (this.#bytesHeld + bytes > this.#limits.bytesMax) return false;
    this.#bytesHeld += bytes;
    return true;
  }
}

/** A share of the bytes that all fetches may hold. */
interface Held {
  /** Whether there is room for so many more. */
  more(bytes: number): boolean;
  release(): void;
}

function outcomeOf(end: FetchEnd): FetchOutcome {
  if (end.at === "answered") return "answered";
  switch (end.code) {
    case "HANDLER_FETCH_DENIED":
    case "HANDLER_FETCH_ADDRESS":
      return "denied";
    case "HANDLER_FETCH_TIMEOUT":
      return "timeout";
    case "SANDBOX_FETCH_TOO_LARGE":
      return "too-large";
    case "SANDBOX_FETCH_BUSY":
      return "busy";
    case "HANDLER_FETCH_FAILED":
    case "HANDLER_FETCH_INVALID":
      return "failed";
  }
}

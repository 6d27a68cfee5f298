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
 *   E6  One handler has half of the fetches and bytes at a time at the most: what hangs for it leaves the others a way out.
 *
 * Limits: fetches and bytes at a time over all handlers (EgressLimits), and half of them for each; time and bytes of one answer (FetchRequest); addresses, headers, redirects
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

/** What one handler has of the whole; there while it has something. */
interface Share {
  fetches: number;
  bytes: number;
}

export class Egress {
  readonly #limits: EgressLimits;
  readonly #userAgent: string;
  readonly #connections: Connections;
  readonly #tallies = new Map<string, Tally>();
  readonly #shares = new Map<string, Share>();
  readonly #open = new Set<AbortController>();
  /** Those that are made, unlike those that are about to be refused. */
  #underWay = 0;
  #bytesHeld = 0;

  constructor({ limits, version, lookup }: EgressOptions) {
    this.#limits = limits;
    this.#userAgent = `sluice/${version}`;
    this.#connections = new Connections(lookup);
  }

  readonly fetch: Fetch = (request, done) => {
    const control = new AbortController();
    const { handler } = request;
    const share = this.#shares.get(handler) ?? { fetches: 0, bytes: 0 };
    const { fetchesMax } = this.#limits;
    const hasRoom = this.#underWay < fetchesMax && share.fetches < shareOf(fetchesMax);
    const held = hasRoom ? this.#hold(handler, share, request.ask.body?.length ?? 0) : undefined;
    this.#open.add(control);
    const over = (outcome: FetchOutcome): boolean => {
      if (!this.#open.delete(control)) return false;
      this.#count(handler, outcome);
      held?.ended();
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
      const running = held === undefined ? Promise.resolve(this.#busy()) : this.#run(request, held, control);
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

  /** From now on what this handler fetches is counted. */
  meet(handler: string): void {
    if (this.#tallies.has(handler)) return;
    const ends = Object.fromEntries(FETCH_OUTCOMES.map((outcome) => [outcome, 0])) as Record<FetchOutcome, number>;
    this.#tallies.set(handler, { ends, sentBytes: 0, receivedBytes: 0 });
  }

  /** The handler is gone, and its figures with it; what it still fetches is not counted. */
  forget(handler: string): void {
    this.#tallies.delete(handler);
  }

  close(): void {
    for (const control of this.#open) control.abort();
    this.#open.clear();
    this.#connections.close();
  }

  #busy(): FetchEnd {
    const { fetchesMax, bytesMax } = this.#limits;
    const message = `more than ${fetchesMax} fetches, or ${bytesMax} bytes of them, at a time over all handlers, or half of that by this one`;
    return { at: "failed", code: "SANDBOX_FETCH_BUSY", message, final: false };
  }

  /** Never rejects. */
  async #run(request: FetchRequest, held: Held, control: AbortController): Promise<FetchEnd> {
    const tally = this.#tallies.get(request.handler);
    if (tally !== undefined) tally.sentBytes += request.ask.body?.length ?? 0;
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
          if (tally !== undefined) tally.receivedBytes += bytes;
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

  #count(handler: string, outcome: FetchOutcome): void {
    const tally = this.#tallies.get(handler);
    if (tally !== undefined) tally.ends[outcome]++;
  }

  /** Of the whole for a fetch that begins. Undefined when there is no room for so many bytes. */
  #hold(handler: string, share: Share, bytes: number): Held | undefined {
    if (!this.#take(share, bytes)) return undefined;
    let held: number | undefined = bytes;
    share.fetches++;
    this.#underWay++;
    this.#shares.set(handler, share);
    const drop = (): void => {
      if (share.fetches === 0 && share.bytes === 0 && this.#shares.get(handler) === share) this.#shares.delete(handler);
    };
    return {
      more: (more) => {
        // A decoder may have something left when all has been given back.
        if (held === undefined || !this.#take(share, more)) return false;
        held += more;
        return true;
      },
      ended: () => {
        share.fetches--;
        this.#underWay--;
        drop();
      },
      release: () => {
        this.#bytesHeld -= held ?? 0;
        share.bytes -= held ?? 0;
        held = undefined;
        drop();
      },
    };
  }

  #take(share: Share, bytes: number): boolean {
    const { bytesMax } = this.#limits;
    if (this.#bytesHeld + bytes > bytesMax || share.bytes + bytes > shareOf(bytesMax)) return false;
    this.#bytesHeld += bytes;
    share.bytes += bytes;
    return true;
  }
}

/** One handler's, at the most. */
function shareOf(whole: number): number {
  return Math.ceil(whole / 2);
}

/** What one fetch has of the whole. */
interface Held {
  /** Whether there is room for so many more bytes. */
  more(bytes: number): boolean;
  /** It does not count among those at a time any more. Called once. */
  ended(): void;
  /** Gives its bytes back. */
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

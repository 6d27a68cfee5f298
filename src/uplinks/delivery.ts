/**
 * The delivery loop: takes one uplink's entries from its outbox in order, carries them over in batches, and hands in a
 * receipt for each one that the other side answered for.
 *
 * States: `idle` (nothing to send) → `sending` (batches outstanding) → `recovering` (one came back with a fault; the others
 * are awaited) → `waiting` (backoff) → `sending`. `throttled` is the rate cap's wait; `paused` an operator's. After
 * {@link DeliverySettings.breakerAfter} faults in a row the breaker is open: each further try carries a single entry.
 *
 * D1  Entries go out in the order of `seq`. After a fault nothing new leaves before everything outstanding has come back;
 *     then what was not acknowledged goes first, in order.
 * D2  A receipt is handed in only for what the other side acknowledged or refused for good, or what ran out of age or room.
 * D3  An entry is rejected alone: a refused batch is halved until the bad entry stands by itself.
 * D4  At most `window` batches are outstanding, each at most the kind's limits; the backlog is the feed's, on disk.
 * D5  close() returns within its deadline and a second of grace, whatever the other side does.
 */
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { OutboxEntry } from "../task.ts";
import { backoffMs } from "../time.ts";
import type { Clock } from "../time.ts";
import { BatchLimits } from "./batch-limits.ts";
import { within } from "./deadline.ts";
import type { DeliverySettings } from "./delivery-settings.ts";
import { ENVELOPE_BYTES } from "./envelope.ts";
import { flightOf, land } from "./flight.ts";
import type { Flight } from "./flight.ts";
import { Health } from "./health.ts";
import { Intake } from "./intake.ts";
import type { OutboxFeed, Receipt } from "./outbox.ts";
import { PoisonHunt } from "./poison.ts";
import { RateCap } from "./rate-cap.ts";
import { Tally } from "./tally.ts";
import type { DeliveryFigures } from "./tally.ts";
import type { Uplink, Verdict } from "./uplink.ts";

export interface DeliveryOptions {
  readonly name: string;
  readonly uplink: Uplink;
  readonly settings: DeliverySettings;
  /** Opens the feed; `wake` is called when a feed that had nothing to take has entries again. */
  readonly outbox: (wake: () => void) => OutboxFeed;
  readonly received: (receipts: readonly Receipt[]) => void;
  readonly clock: Clock;
  /** Gives [0, 1), for jitter. */
  readonly random: () => number;
  readonly log: Log;
}

/** Why the loop recovers. */
interface Failing {
  readonly fault: Fault;
  /** The other side asked for this wait; 0 when it did not. */
  readonly retryAfterMs: number;
  /** It goes on without a wait: nothing is down, the entries only go out in another way. */
  readonly atOnce: boolean;
  /** The other side was reached and hung up: no long waits while the culprit is looked for. */
  readonly hunting: boolean;
}

type State =
  | { readonly at: "idle" }
  | { readonly at: "sending" }
  | { readonly at: "recovering"; readonly failing: Failing }
  | { readonly at: "waiting"; readonly untilMs: number; readonly timer: NodeJS.Timeout }
  | { readonly at: "throttled"; readonly timer: NodeJS.Timeout }
  /** `failing`: something outstanding failed meanwhile, and not everything is back yet. */
  | { readonly at: "paused"; readonly failing: Failing | undefined }
  | { readonly at: "closed" };

export interface DeliveryStatus {
  readonly state: State["at"];
  /** False from a fault until something is acknowledged again. */
  readonly healthy: boolean;
  readonly breakerOpen: boolean;
  readonly waiting: number;
  readonly waitingBytes: number;
  /** The outbox is at `buffer.sizeMax`, or was and has had no room to speak of since. */
  readonly full: boolean;
  /** Milliseconds until the next try, while waiting. */
  readonly retryInMs: number | undefined;
  /** Why it is not healthy. */
  readonly fault: Fault | undefined;
}

/** A batch that does not come back this long after its abort is given up on. */
const ABORT_GRACE_MS = 1000;
/** How often a loop that does not send looks for entries past their age or the buffer's size. */
const TIDY_MS = 1000;
/** A longer Retry-After is cut to this. */
const RETRY_AFTER_MAX_MS = 3_600_000;
/** While a poisoned entry is looked for, waits grow no further than after so many faults; but not for ever. */
const HUNTING_ATTEMPT = 3;
const HUNTING_FAULTS_MAX = 15;

const IDLE: State = { at: "idle" };
const SENDING: State = { at: "sending" };

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #intake: Intake;
  readonly #limits: BatchLimits;
  readonly #rate: RateCap;
  readonly #health: Health;
  readonly #hunt = new PoisonHunt();
  readonly #tally = new Tally();
  readonly #flights: Flight[] = [];
  /** What came back without a receipt, until everything is back. */
  #left: OutboxEntry[] = [];
  readonly #tidyTimer: NodeJS.Timeout;
  #state: State = IDLE;
  #landed: (() => void) | undefined;

  constructor(options: DeliveryOptions) {
    const { name, uplink, settings, clock, log, outbox } = options;
    this.#options = options;
    this.#limits = new BatchLimits(uplink.batchCountMax, uplink.batchBytesMax);
    this.#rate = new RateCap(settings.rate, clock);
    this.#health = new Health({ name, breakerAfter: settings.breakerAfter, clock, log });
    const handIn = (receipts: readonly Receipt[]): void => this.#handIn(receipts);
    this.#intake = new Intake({ buffer: settings.buffer, clock, outbox, handIn, wake: () => this.#wake() });
    this.#tidyTimer = setInterval(() => this.#tidy(), TIDY_MS);
    this.#tidyTimer.unref();
    this.#wake();
  }

  /** Lets what is outstanding come back and sends nothing more. */
  pause(): void {
    const state = this.#state;
    if (state.at === "paused" || state.at === "closed") return;
    if (state.at === "waiting" || state.at === "throttled") clearTimeout(state.timer);
    this.#state = { at: "paused", failing: state.at === "recovering" ? state.failing : undefined };
    this.#options.log.info({ uplink: this.#options.name }, "uplink paused");
  }

  /** Goes on at once, after a wait too. */
  resume(): void {
    const state = this.#state;
    if (state.at === "waiting") clearTimeout(state.timer);
    else if (state.at === "paused") this.#options.log.info({ uplink: this.#options.name }, "uplink resumed");
    else return;
    if (state.at === "paused" && state.failing !== undefined) {
      this.#state = { at: "recovering", failing: { ...state.failing, atOnce: true } };
    } else {
      this.#go();
    }
  }

  status(): DeliveryStatus {
    const state = this.#state;
    return {
      state: state.at,
      healthy: this.#health.fault === undefined,
      breakerOpen: this.#health.breakerOpen,
      waiting: this.#intake.waiting,
      waitingBytes: this.#intake.waitingBytes,
      full: this.#intake.full,
      retryInMs: state.at === "waiting" ? Math.max(0, state.untilMs - this.#options.clock.monotonic()) : undefined,
      fault: this.#health.fault,
    };
  }

  figures(): DeliveryFigures {
    const { faults, breakerOpened } = this.#health;
    return { ...this.#tally.figures(), outstanding: this.#flights.length, faults, breakerOpened };
  }

  /** Under `whenFull: refuse`, that nothing more should be emitted to it now. */
  get refusing(): boolean {
    return this.#options.settings.buffer.whenFull === "refuse" && this.#intake.atLimit;
  }

  /** Rejects with a {@link Fault} that says why the other side would not take events now. */
  test(signal: AbortSignal): Promise<void> {
    return this.#options.uplink.test(signal);
  }

  /** Waits `deadlineMs` for what is outstanding, then gives it up. It goes out again after the next start. */
  async close(deadlineMs: number): Promise<void> {
    const state = this.#state;
    if (state.at === "closed") return;
    if (state.at === "waiting" || state.at === "throttled") clearTimeout(state.timer);
    this.#state = { at: "closed" };
    clearInterval(this.#tidyTimer);
    const landed = new Promise<void>((resolve) => (this.#landed = resolve));
    if (this.#flights.length > 0) await within(deadlineMs, landed);
    if (this.#flights.length > 0) {
      const fault = new Fault("UPLINK_CLOSING", "the gateway is stopping", { where: this.#options.name });
      for (const flight of this.#flights) this.#abort(flight, fault);
      await within(ABORT_GRACE_MS, landed);
    }
    await within(ABORT_GRACE_MS, this.#options.uplink.close());
    this.#intake.close();
  }

  #wake(): void {
    const { at } = this.#state;
    if (at === "idle" || at === "sending") this.#pump();
    else this.#tidy();
  }

  /** The end of a wait. */
  #go(): void {
    this.#state = IDLE;
    this.#pump();
  }

  /** Sends as long as there is something to send and room in the window. */
  #pump(): void {
    const window = this.#limits.narrowed || this.#hunt.active ? 1 : this.#options.uplink.window;
    while (this.#flights.length < window) {
      if (this.#intake.overflowing) {
        // What is on its way cannot be dropped: let it come back first.
        if (this.#flights.length > 0) break;
        this.#intake.drop();
      }
      const room = this.#rate.room();
      if (room === 0) {
        const timer = setTimeout(() => this.#go(), this.#rate.waitMs());
        this.#state = { at: "throttled", timer };
        return;
      }
      const flight = this.#hunt.probing ? this.#probe() : this.#build(Math.min(room, this.#limits.count));
      if (flight === undefined) break;
      this.#rate.spend(flight.entries.length);
      this.#launch(flight);
    }
    this.#state = this.#flights.length === 0 ? IDLE : SENDING;
  }

  #build(countMax: number): Flight | undefined {
    const { entries, bytes } = this.#intake.batch(countMax, this.#limits.bytes);
    const [first] = entries;
    if (first === undefined) return undefined;
    return flightOf(entries, bytes, { condemned: entries.length === 1 && this.#hunt.isCondemned(first.seq) });
  }

  /** One entry that lies behind the suspected one, to see whether anything gets through. */
  #probe(): Flight | undefined {
    const candidate = this.#hunt.candidate(this.#intake);
    if (candidate === undefined) return undefined;
    const { suspected, other, skipped } = candidate;
    const entry = other ?? suspected;
    const bytes = entry.data.length + ENVELOPE_BYTES;
    return flightOf([entry], bytes, { probe: other === undefined ? undefined : { suspected, skipped } });
  }

  #launch(flight: Flight): void {
    const { name, uplink, settings } = this.#options;
    this.#flights.push(flight);
    this.#tally.sent(flight.entries);
    flight.timer = setTimeout(() => {
      this.#abort(flight, new Fault("UPLINK_TIMEOUT", "a batch was not acknowledged in time", { where: name }));
    }, settings.timeout);
    uplink.send(flight.entries, flight.abort.signal).then(
      (verdict) => this.#returned(flight, verdict),
      (thrown: unknown) => {
        const fault = new Fault("UPLINK_UNREACHABLE", messageOf(thrown), { where: name, cause: thrown });
        this.#returned(flight, { acked: 0, fault });
      },
    );
  }

  #abort(flight: Flight, fault: Fault): void {
    clearTimeout(flight.timer);
    flight.timer = setTimeout(() => this.#returned(flight, { acked: 0, fault }), ABORT_GRACE_MS);
    flight.abort.abort(fault);
  }

  /** A batch came back. Late answers of one that was given up on are ignored: it is sent again anyway. */
  #returned(flight: Flight, verdict: Verdict): void {
    const index = this.#flights.indexOf(flight);
    if (index < 0) return;
    this.#flights.splice(index, 1);
    clearTimeout(flight.timer);
    const { receipts, left, lone } = land(flight, verdict);
    if (receipts.length > 0) this.#handIn(receipts);
    if (left.length > 0) this.#left.push(...left);
    if (this.#state.at !== "closed") {
      this.#learn(flight, verdict, lone);
      this.#onward();
    }
    if (this.#flights.length === 0) this.#landed?.();
  }

  /** What a verdict says about the other side: limits, breaker, hunt; and whether the loop has to recover. */
  #learn(flight: Flight, verdict: Verdict, lone: boolean): void {
    const { refused } = verdict;
    const fault = verdict.fault ?? unexplained(flight, verdict, this.#options.name);
    if (fault !== undefined) {
      if (verdict.acked > 0) this.#health.progressed();
      if (fault.code === "UPLINK_TIMEOUT") this.#limits.halveBytes(flight.bytes);
      // Of several batches that come back together, the first one holds the entry that the server met first.
      const hunting = verdict.suspect === true && this.#state.at !== "recovering";
      if (hunting) this.#suspect(flight, verdict);
      this.#fail({ fault, retryAfterMs: verdict.retryAfterMs ?? 0, atOnce: false, hunting });
      return;
    }
    // An answer is an answer: the other side is there and has let us in.
    this.#health.worked(this.#intake.waiting);
    if (refused !== undefined && !lone) {
      if (refused.tooLarge) this.#limits.halveBytes(flight.bytes);
      else this.#limits.halve(flight.entries.length - verdict.acked);
      this.#fail(anew("UPLINK_REJECTED", "a batch was refused and goes again in smaller ones"));
    } else {
      if (flight.probe === undefined) {
        this.#limits.delivered();
        this.#hunt.delivered(this.#limits.narrowed);
        return;
      }
      // What lies around was taken and skipped, and goes first now.
      this.#hunt.probed(flight.probe.suspected.seq);
      this.#fail(anew("UPLINK_POISON", "a poisoned entry was found"));
    }
  }

  #suspect(flight: Flight, verdict: Verdict): void {
    const head = flight.probe?.suspected ?? flight.entries[verdict.acked];
    this.#hunt.hungUp(head?.seq ?? 0, flight.entries.length === 1);
    if (this.#hunt.active) this.#limits.probe();
  }

  /** The first fault of several that come back together counts. */
  #fail(failing: Failing): void {
    const state = this.#state;
    if (state.at === "recovering" || state.at === "closed") return;
    if (state.at === "throttled") clearTimeout(state.timer);
    if (!failing.atOnce) this.#health.failed(failing.fault, this.#intake.waiting);
    this.#state = state.at === "paused" ? { at: "paused", failing } : { at: "recovering", failing };
  }

  /** What comes after a batch has come back. */
  #onward(): void {
    const state = this.#state;
    if (state.at === "sending" || state.at === "idle") {
      this.#pump();
    } else if (this.#flights.length === 0 && state.at === "paused" && state.failing !== undefined) {
      this.#putBack();
      this.#state = { at: "paused", failing: undefined };
    } else if (this.#flights.length === 0 && state.at === "recovering") {
      this.#putBack();
      if (state.failing.atOnce) this.#go();
      else this.#wait(state.failing);
    }
  }

  #putBack(): void {
    this.#intake.putBack(this.#left.sort((a, b) => a.seq - b.seq));
    this.#left = [];
  }

  #wait({ fault, retryAfterMs, hunting }: Failing): void {
    const { settings, clock, random } = this.#options;
    const { faultsInRow, breakerOpen } = this.#health;
    const quick = hunting && faultsInRow <= HUNTING_FAULTS_MAX;
    const attempt = quick ? Math.min(faultsInRow, HUNTING_ATTEMPT) : faultsInRow;
    let waitMs = backoffMs({ firstMs: settings.backoff, maxMs: settings.backoffMax }, attempt, random);
    // Nobody mends credentials within seconds, and hammering gets accounts locked.
    if (fault.blame === "config") waitMs = Math.max(waitMs, settings.backoffMax);
    waitMs = Math.max(waitMs, Math.min(retryAfterMs, RETRY_AFTER_MAX_MS));
    if (breakerOpen) this.#limits.probe();
    const timer = setTimeout(() => this.#go(), waitMs);
    this.#state = { at: "waiting", untilMs: clock.monotonic() + waitMs, timer };
    this.#tidy();
  }

  #tidy(): void {
    const { at } = this.#state;
    if ((at === "waiting" || at === "paused" || at === "throttled") && this.#flights.length === 0) this.#intake.tidy();
  }

  #handIn(receipts: readonly Receipt[]): void {
    const { log, name, received } = this.#options;
    const first = this.#tally.receipts(receipts);
    if (first !== undefined) log.warn({ uplink: name, ...first }, "uplink gives entries up");
    received(receipts);
  }
}

/** A kind that neither acknowledges everything nor says why not must not leave entries behind. */
function unexplained({ entries }: Flight, { acked, refused }: Verdict, where: string): Fault | undefined {
  if (acked >= entries.length || refused !== undefined) return undefined;
  return new Fault("UPLINK_UNREACHABLE", "a batch came back incomplete", { where });
}

/** Sends again at once, in another way. */
function anew(code: "UPLINK_REJECTED" | "UPLINK_POISON", message: string): Failing {
  return { fault: new Fault(code, message), retryAfterMs: 0, atOnce: true, hunting: false };
}

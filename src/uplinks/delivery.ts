/**
 * The delivery loop: takes one uplink's entries from its outbox in order, carries them over in batches, and hands in a
 * receipt for each one that the other side answered for.
 *
 * States: `idle` (nothing to send) → `sending` (batches outstanding) → `recovering` (one came back with a fault; the others
 * are awaited) → `waiting` (backoff) → `sending`. `throttled` is the rate cap's wait; `paused` an operator's. After
 * {@link DeliverySettings.breakerAfter} faults in a row the breaker is open: each further try carries a single entry.
 *
 * D1  Entries go out in the order of `seq`. After a fault nothing new leaves before everything outstanding has come back
 *     and the feed is rewound, so what was not acknowledged goes first, in order.
 * D2  A receipt is handed in only for what the other side acknowledged or refused for good, or what ran out of age or room.
 * D3  An entry is rejected alone: a refused batch is halved until the bad entry stands by itself.
 * D4  At most `window` batches are outstanding, each at most the kind's limits; the backlog is the feed's, on disk.
 * D5  close() returns within its deadline and a second of grace, whatever the other side does.
 */
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Failure, OutboxEntry } from "../task.ts";
import { backoffMs } from "../time.ts";
import type { Clock } from "../time.ts";
import { BatchLimits } from "./batch-limits.ts";
import type { DeliverySettings } from "./delivery-settings.ts";
import { ENVELOPE_BYTES } from "./envelope.ts";
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

/** A batch that is outstanding. */
interface Flight {
  readonly entries: readonly OutboxEntry[];
  readonly bytes: number;
  readonly abort: AbortController;
  /** Set for a batch that jumps over a suspected entry to see whether others get through. */
  readonly suspected: OutboxEntry | undefined;
  overdue: NodeJS.Timeout | undefined;
}

interface Failing {
  readonly fault: Fault;
  readonly retryAfterMs: number;
  /** True when the wait is not the other side's or the network's fault: a batch was refused and goes again, smaller. */
  readonly atOnce: boolean;
  readonly hunting: boolean;
}

type State =
  | { readonly at: "idle" }
  | { readonly at: "sending" }
  | { readonly at: "recovering"; readonly failing: Failing }
  | { readonly at: "waiting"; readonly untilMs: number; readonly timer: NodeJS.Timeout }
  | { readonly at: "throttled"; readonly timer: NodeJS.Timeout }
  | { readonly at: "paused"; readonly stale: boolean }
  | { readonly at: "closed" };

export interface DeliveryStatus {
  readonly state: State["at"];
  /** False from a fault until something is acknowledged again. */
  readonly healthy: boolean;
  readonly breakerOpen: boolean;
  readonly waiting: number;
  readonly waitingBytes: number;
  /** The outbox is at `buffer.sizeMax`. */
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
const TIDY_ENTRIES_MAX = 2048;
/** A longer Retry-After is cut to this. */
const RETRY_AFTER_MAX_MS = 3_600_000;
/** Before a box without a battery has the time from the network, its clock shows a year before this: no age can be told. */
const CLOCK_UNSET_BEFORE_MS = Date.UTC(2024, 0, 1);

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #feed: OutboxFeed;
  readonly #limits: BatchLimits;
  readonly #rate: RateCap;
  readonly #hunt = new PoisonHunt();
  readonly #tally = new Tally();
  readonly #flights: Flight[] = [];
  readonly #tidyTimer: NodeJS.Timeout;
  #state: State = { at: "idle" };
  #faultsInRow = 0;
  #down: { readonly fault: Fault; readonly sinceMs: number } | undefined;
  #landed: (() => void) | undefined;

  constructor(options: DeliveryOptions) {
    const { uplink, settings, clock } = options;
    this.#options = options;
    this.#limits = new BatchLimits(uplink.batchCountMax, uplink.batchBytesMax);
    this.#rate = new RateCap(settings.rate, clock);
    this.#feed = options.outbox(() => this.#wake());
    this.#tidyTimer = setInterval(() => this.#tidy(), TIDY_MS);
    this.#tidyTimer.unref();
    this.#wake();
  }

  /** Lets what is outstanding come back and sends nothing more. */
  pause(): void {
    const state = this.#state;
    if (state.at === "paused" || state.at === "closed") return;
    if (state.at === "waiting" || state.at === "throttled") clearTimeout(state.timer);
    this.#state = { at: "paused", stale: state.at === "recovering" };
    this.#options.log.info({ uplink: this.#options.name }, "uplink paused");
  }

  /** Goes on at once, after a wait too. */
  resume(): void {
    const state = this.#state;
    if (state.at === "waiting") clearTimeout(state.timer);
    else if (state.at !== "paused") return;
    if (state.at === "paused") this.#options.log.info({ uplink: this.#options.name }, "uplink resumed");
    if (state.at === "paused" && state.stale && this.#flights.length > 0) {
      const fault = new Fault("UPLINK_UNREACHABLE", "it failed before it was paused");
      this.#state = { at: "recovering", failing: { fault, retryAfterMs: 0, atOnce: true, hunting: false } };
      return;
    }
    this.#state = { at: "idle" };
    this.#pump();
  }

  status(): DeliveryStatus {
    const state = this.#state;
    return {
      state: state.at,
      healthy: this.#down === undefined,
      breakerOpen: this.#faultsInRow >= this.#options.settings.breakerAfter,
      waiting: this.#feed.waiting,
      waitingBytes: this.#feed.waitingBytes,
      full: this.#feed.waitingBytes >= this.#options.settings.buffer.sizeMax,
      retryInMs: state.at === "waiting" ? Math.max(0, state.untilMs - this.#options.clock.monotonic()) : undefined,
      fault: this.#down?.fault,
    };
  }

  figures(): DeliveryFigures {
    return this.#tally.figures(this.#flights.length);
  }

  /** Under `whenFull: refuse`, that nothing more should be emitted to it now. */
  get refusing(): boolean {
    const { whenFull, sizeMax } = this.#options.settings.buffer;
    return whenFull === "refuse" && this.#feed.waitingBytes >= sizeMax;
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
    if (this.#flights.length > 0) await within(deadlineMs, new Promise<void>((resolve) => (this.#landed = resolve)));
    if (this.#flights.length > 0) {
      const landed = new Promise<void>((resolve) => (this.#landed = resolve));
      for (const flight of this.#flights) {
        this.#abort(flight, new Fault("UPLINK_CLOSING", "the gateway is stopping"));
      }
      await within(ABORT_GRACE_MS, landed);
    }
    await within(ABORT_GRACE_MS, this.#options.uplink.close());
    this.#feed.close();
  }

  #wake(): void {
    const { at } = this.#state;
    if (at === "idle" || at === "sending") this.#pump();
  }

  /** Sends as long as there is something to send and room in the window. */
  #pump(): void {
    const { uplink } = this.#options;
    const window = this.#limits.narrowed || this.#hunt.active ? 1 : uplink.window;
    while (this.#flights.length < window) {
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

  /** The end of a wait. */
  #go(): void {
    this.#state = IDLE;
    this.#pump();
  }

  #build(countMax: number): Flight | undefined {
    const bytesMax = this.#limits.bytes;
    const ageMs = this.#oldest();
    this.#dropOverflow(TIDY_ENTRIES_MAX);
    const entries: OutboxEntry[] = [];
    let expired: Receipt[] | undefined;
    let bytes = 0;
    while (entries.length < countMax && bytes < bytesMax) {
      const entry = this.#feed.take();
      if (entry === undefined) break;
      if (isOlder(entry, ageMs)) {
        (expired ??= []).push({ seq: entry.seq, verdict: "expired" });
        continue;
      }
      entries.push(entry);
      bytes += entry.data.length + ENVELOPE_BYTES;
    }
    if (expired !== undefined) this.#handIn(expired);
    if (entries.length === 0) return undefined;
    return { entries, bytes, abort: new AbortController(), suspected: undefined, overdue: undefined };
  }

  /** A batch of one entry that lies behind the suspected one, to see whether anything gets through. */
  #probe(): Flight | undefined {
    const [suspected, entry] = this.#hunt.candidate(this.#feed);
    const probe = entry ?? suspected;
    if (probe === undefined) return undefined;
    const bytes = probe.data.length + ENVELOPE_BYTES;
    return {
      entries: [probe],
      bytes,
      abort: new AbortController(),
      suspected: entry === undefined ? undefined : suspected,
      overdue: undefined,
    };
  }

  #launch(flight: Flight): void {
    this.#flights.push(flight);
    this.#tally.sent(flight.entries.length, flight.entries[flight.entries.length - 1]?.seq ?? 0);
    flight.overdue = setTimeout(() => {
      const fault = new Fault("UPLINK_TIMEOUT", "a batch was not acknowledged in time", { where: this.#options.name });
      this.#abort(flight, fault);
    }, this.#options.settings.timeout);
    this.#options.uplink.send(flight.entries, flight.abort.signal).then(
      (verdict) => this.#returned(flight, verdict),
      (thrown: unknown) => {
        const fault =
          thrown instanceof Fault
            ? thrown
            : new Fault("UPLINK_UNREACHABLE", messageOf(thrown), { where: this.#options.name, cause: thrown });
        this.#returned(flight, { acked: 0, fault });
      },
    );
  }

  #abort(flight: Flight, fault: Fault): void {
    clearTimeout(flight.overdue);
    flight.overdue = setTimeout(() => this.#returned(flight, { acked: 0, fault }), ABORT_GRACE_MS);
    flight.abort.abort(fault);
  }

  /** A batch came back. Late answers of one that was given up on are ignored: it is sent again anyway. */
  #returned(flight: Flight, verdict: Verdict): void {
    const index = this.#flights.indexOf(flight);
    if (index < 0) return;
    this.#flights.splice(index, 1);
    clearTimeout(flight.overdue);
    const { receipts, lone } = receiptsOf(flight.entries, verdict);
    if (flight.suspected !== undefined && receipts[0]?.verdict === "delivered") {
      receipts.push({ seq: flight.suspected.seq, verdict: "rejected", failure: POISON });
    }
    if (receipts.length > 0) this.#handIn(receipts);
    if (this.#state.at !== "closed") this.#judge(flight, verdict, lone);
    if (this.#flights.length === 0) this.#landed?.();
    this.#onward();
  }

  /** Learns from a verdict: limits, breaker, hunt; and decides whether the loop has to recover. */
  #judge(flight: Flight, verdict: Verdict, lone: boolean): void {
    if (verdict.acked > 0 || lone) this.#recovered();
    if (verdict.fault === undefined && (verdict.refused === undefined || lone)) {
      this.#limits.delivered();
      this.#hunt.delivered(this.#limits.narrowed);
      // The entries between the suspected one and the probe were taken and skipped.
      if (flight.suspected !== undefined) this.#fail(REFUSED, { atOnce: true });
      return;
    }
    const remaining = flight.entries.length - verdict.acked;
    if (verdict.refused !== undefined) {
      if (verdict.refused.tooLarge) this.#limits.halveBytes(flight.bytes);
      this.#limits.halve(remaining);
      this.#fail(REFUSED, { atOnce: true });
      return;
    }
    const fault = verdict.fault ?? REFUSED;
    if (fault.code === "UPLINK_TIMEOUT") this.#limits.halveBytes(flight.bytes);
    const hunting = verdict.suspect === true && this.#state.at !== "recovering";
    if (hunting) {
      const head = flight.suspected ?? flight.entries[verdict.acked];
      this.#hunt.hungUp(head?.seq ?? 0, flight.entries.length === 1);
      if (this.#hunt.active) this.#limits.probe();
    }
    this.#fail(fault, { retryAfterMs: verdict.retryAfterMs ?? 0, hunting });
  }

  /** The first fault of several that come back together counts. */
  #fail(fault: Fault, how: { retryAfterMs?: number; atOnce?: boolean; hunting?: boolean }): void {
    const { retryAfterMs = 0, atOnce = false, hunting = false } = how;
    const state = this.#state;
    if (!atOnce && state.at !== "recovering") this.#faulted(fault);
    if (state.at === "recovering" || state.at === "closed") return;
    if (state.at === "throttled") clearTimeout(state.timer);
    this.#state =
      state.at === "paused"
        ? { at: "paused", stale: true }
        : { at: "recovering", failing: { fault, retryAfterMs, atOnce, hunting } };
  }

  /** What comes after a batch has come back. */
  #onward(): void {
    const state = this.#state;
    if (state.at === "sending" || state.at === "idle") {
      this.#pump();
    } else if (this.#flights.length === 0) {
      if (state.at === "paused" && state.stale) {
        this.#feed.rewind();
        this.#state = { at: "paused", stale: false };
      } else if (state.at === "recovering") {
        this.#feed.rewind();
        this.#wait(state.failing);
      }
    }
  }

  #wait(failing: Failing): void {
    if (failing.atOnce) {
      this.#go();
      return;
    }
    const { settings, clock, random } = this.#options;
    const attempt = failing.hunting ? Math.min(this.#faultsInRow, 3) : this.#faultsInRow;
    let waitMs = backoffMs({ firstMs: settings.backoff, maxMs: settings.backoffMax }, Math.max(1, attempt), random);
    // Nobody mends credentials within seconds, and hammering gets accounts locked.
    if (failing.fault.blame === "config") waitMs = Math.max(waitMs, settings.backoffMax);
    waitMs = Math.max(waitMs, Math.min(failing.retryAfterMs, RETRY_AFTER_MAX_MS));
    if (this.#faultsInRow >= settings.breakerAfter) this.#limits.probe();
    const timer = setTimeout(() => this.#go(), waitMs);
    this.#state = { at: "waiting", untilMs: clock.monotonic() + waitMs, timer };
    this.#tidy();
  }

  /** Counts a fault, and says so once for each change. */
  #faulted(fault: Fault): void {
    const { log, name, clock, settings } = this.#options;
    this.#faultsInRow++;
    this.#tally.faults++;
    if (this.#faultsInRow === settings.breakerAfter) this.#tally.breakerOpened++;
    const before = this.#down;
    this.#down = { fault, sinceMs: before?.sinceMs ?? clock.monotonic() };
    if (before?.fault.code === fault.code) return;
    const fields = { uplink: name, fault, waiting: this.#feed.waiting };
    if (fault.blame === "config") log.error(fields, "uplink refuses us; entries wait");
    else log.warn(fields, "uplink is down; entries wait");
  }

  #recovered(): void {
    this.#faultsInRow = 0;
    const down = this.#down;
    if (down === undefined) return;
    this.#down = undefined;
    const { log, name, clock } = this.#options;
    const afterMs = Math.round(clock.monotonic() - down.sinceMs);
    log.info({ uplink: name, afterMs, waiting: this.#feed.waiting }, "uplink is back");
  }

  /** While nothing is sent: ends entries past their age, and the oldest ones past the buffer's size. */
  #tidy(): void {
    const { at } = this.#state;
    if ((at !== "waiting" && at !== "paused") || this.#flights.length > 0 || this.#feed.waiting === 0) return;
    const ageMs = this.#oldest();
    const expired: Receipt[] = [];
    while (expired.length < TIDY_ENTRIES_MAX) {
      const entry = this.#feed.take();
      if (entry === undefined || !isOlder(entry, ageMs)) break;
      expired.push({ seq: entry.seq, verdict: "expired" });
    }
    if (expired.length > 0) this.#handIn(expired);
    this.#feed.rewind();
    const dropped = this.#dropOverflow(TIDY_ENTRIES_MAX);
    if (dropped > 0) this.#feed.rewind();
    if (dropped + expired.length >= TIDY_ENTRIES_MAX) setImmediate(() => this.#tidy());
  }

  /** Under `drop-oldest`, drops entries that are not on their way until the rest fits. Returns how many. */
  #dropOverflow(max: number): number {
    const { sizeMax, whenFull } = this.#options.settings.buffer;
    if (whenFull !== "drop-oldest") return 0;
    let dropped = 0;
    while (dropped < max && this.#feed.waitingBytes > sizeMax) {
      const receipts: Receipt[] = [];
      let excess = this.#feed.waitingBytes - sizeMax;
      while (excess > 0 && dropped + receipts.length < max) {
        const entry = this.#feed.take();
        if (entry === undefined) break;
        receipts.push({ seq: entry.seq, verdict: "dropped" });
        excess -= entry.data.length;
      }
      if (receipts.length === 0) break;
      this.#handIn(receipts);
      dropped += receipts.length;
    }
    return dropped;
  }

  /** Entries from before this wall time are past their age. */
  #oldest(): number {
    return this.#options.clock.now() - this.#options.settings.buffer.ageMax;
  }

  #handIn(receipts: readonly Receipt[]): void {
    const { log, name } = this.#options;
    const first = this.#tally.receipts(receipts);
    if (first !== undefined) log.warn({ uplink: name, ...first }, "uplink gives entries up");
    this.#options.received(receipts);
  }
}

const IDLE: State = { at: "idle" };
const SENDING: State = { at: "sending" };
const REFUSED = new Fault("UPLINK_REJECTED", "a batch was refused and is sent again in smaller ones");
const POISON: Failure = {
  code: "UPLINK_POISON",
  message: "the other side hung up each time this output was sent alone, and took another one in between",
};

function isOlder(entry: OutboxEntry, oldestMs: number): boolean {
  return entry.timeMs < oldestMs && entry.timeMs >= CLOCK_UNSET_BEFORE_MS;
}

/** The receipts that a verdict is worth. `lone`: a refused batch was down to one entry, which is thereby rejected. */
function receiptsOf(entries: readonly OutboxEntry[], verdict: Verdict): { receipts: Receipt[]; lone: boolean } {
  const receipts: Receipt[] = [];
  const acked = Math.min(verdict.acked, entries.length);
  for (let i = 0; i < acked; i++) {
    receipts.push({ seq: (entries[i] as OutboxEntry).seq, verdict: "delivered" });
  }
  for (const { index, failure } of verdict.rejected ?? []) {
    if (index < acked) receipts[index] = { seq: (entries[index] as OutboxEntry).seq, verdict: "rejected", failure };
  }
  const last = entries[acked];
  const lone = verdict.refused !== undefined && last !== undefined && acked === entries.length - 1;
  if (lone && verdict.refused !== undefined) {
    receipts.push({ seq: last.seq, verdict: "rejected", failure: verdict.refused.failure });
  }
  return { receipts, lone };
}

/** Resolves when `work` is over or after `ms`, and never rejects. */
function within(ms: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const over = (): void => {
      clearTimeout(timer);
      resolve();
    };
    work.then(over, over);
  });
}

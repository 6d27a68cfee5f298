/**
 * The uplinks: every destination that outputs go to.
 *
 * Each uplink has an outbox of its own in the journal and a {@link Delivery} loop that drains it. The loop owns order,
 * windows, waits, limits and receipts (D1 to D5); a *kind* (file, mqtt, https) only carries a batch over and says what the
 * other side has of it. So one slow or dead uplink costs the others nothing, and its backlog waits on disk.
 *
 *     outbox feed ─take→ delivery ─batch→ kind ─→ the other side
 *                            └─receipts→ journal (group commit) → released
 *
 * U1  An entry gets a receipt `delivered` only when the other side acknowledged it (G3).
 * U2  Entries of one uplink go out in the order of `seq`, after a fault as well.
 * U3  The same entry has the same id and the same bytes each time it is sent (E1).
 * U4  Opening never waits for the other side, and no state of it stops the gateway.
 * U5  Memory is bounded per uplink: the feed's limits and `window` batches.
 */
import { Fault } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import { Delivery } from "./delivery.ts";
import type { DeliveryStatus } from "./delivery.ts";
import { Envelopes } from "./envelope.ts";
import { UPLINK_KINDS } from "./kinds.ts";
import type { Outboxes } from "./outbox.ts";
import type { UplinkSettings } from "./settings.ts";
import type { DeliveryFigures } from "./tally.ts";
import type { Uplink, UplinkContext, UplinkKind } from "./uplink.ts";

export interface UplinksOptions {
  /** By name, as parsed by `uplinksSettings`. */
  readonly uplinks: Readonly<Record<string, UplinkSettings>>;
  readonly journal: Outboxes;
  /** Name of a handler or route by its id in the journal. */
  readonly handlerName: (handler: number) => string;
  readonly gatewayId: string;
  readonly journalId: string;
  /** Relative paths in the settings are relative to it: the config file's folder. */
  readonly folder: string;
  readonly clock: Clock;
  /** Gives [0, 1), for jitter. */
  readonly random: () => number;
  readonly log: Log;
}

export interface UplinkStatus extends DeliveryStatus {
  readonly name: string;
  readonly kind: UplinkSettings["kind"];
}

export interface UplinkFigures extends DeliveryFigures {
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly healthy: boolean;
}

/** What the feed of one uplink may hold in memory. */
const FEED_ENTRIES_MAX = 65536;
const FEED_BYTES_MAX = 16 * 1024 * 1024;
const TEST_TIMEOUT_MS = 10_000;

interface Open {
  readonly kind: UplinkSettings["kind"];
  readonly delivery: Delivery;
}

export class Uplinks {
  readonly #open: ReadonlyMap<string, Open>;

  private constructor(open: ReadonlyMap<string, Open>) {
    this.#open = open;
  }

  /** Starts all loops. Throws as {@link prepare} does. */
  static open(options: UplinksOptions): Uplinks {
    return Uplinks.prepare(options)();
  }

  /**
   * Everything that settings can be at fault for; what it returns starts the loops, and cannot fail. Until then nothing
   * has been opened. Throws {@link Fault} UPLINK_SETTINGS when settings name files that cannot be used.
   */
  static prepare(options: UplinksOptions): () => Uplinks {
    const kinds = Object.entries(options.uplinks).map(
      ([name, settings]) => [name, settings, openKind(name, settings, options)] as const,
    );
    return () => {
      const open = new Map<string, Open>();
      for (const [name, settings, uplink] of kinds) {
        open.set(name, { kind: settings.kind, delivery: openDelivery(name, settings, uplink, options) });
      }
      return new Uplinks(open);
    };
  }

  get names(): readonly string[] {
    return [...this.#open.keys()];
  }

  status(): UplinkStatus[] {
    return [...this.#open].map(([name, { kind, delivery }]) => ({ name, kind, ...delivery.status() }));
  }

  /** By uplink. */
  figures(): Record<string, UplinkFigures> {
    const figures: Record<string, UplinkFigures> = {};
    for (const [name, { delivery }] of this.#open) {
      const { waiting, waitingBytes, healthy } = delivery.status();
      figures[name] = { ...delivery.figures(), waiting, waitingBytes, healthy };
    }
    return figures;
  }

  /** True when `name` is at its buffer's size under `whenFull: refuse`: tasks that would send to it should wait. */
  isFull(name: string): boolean {
    return this.#open.get(name)?.delivery.refusing ?? false;
  }

  /** Sends nothing more to `name` until resumed. Throws UPLINK_UNKNOWN. */
  pause(name: string): void {
    this.#find(name).delivery.pause();
  }

  /** Also ends a wait at once: the operator knows that the other side is back. Throws UPLINK_UNKNOWN. */
  resume(name: string): void {
    this.#find(name).delivery.resume();
  }

  /** Resolves when the other side would take events; rejects with a {@link Fault} that says why not. Sends no event. */
  async test(name: string): Promise<void> {
    const { delivery } = this.#find(name);
    const timeout = new AbortController();
    const timer = setTimeout(() => {
      timeout.abort(new Fault("UPLINK_TIMEOUT", "no answer within 10 s", { where: name }));
    }, TEST_TIMEOUT_MS);
    try {
      await delivery.test(timeout.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** All at once; what is not acknowledged within `deadlineMs` stays in the outbox. */
  async close(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ delivery }) => delivery.close(deadlineMs)));
  }

  #find(name: string): Open {
    const found = this.#open.get(name);
    if (found === undefined) throw new Fault("UPLINK_UNKNOWN", "there is no such uplink", { where: name });
    return found;
  }
}

function openKind(name: string, settings: UplinkSettings, options: UplinksOptions): Uplink {
  const { gatewayId, journalId, handlerName, folder, clock } = options;
  const context: UplinkContext = {
    name,
    gatewayId,
    folder,
    envelopes: new Envelopes({ format: settings.format, gatewayId, journalId, handlerName }),
    handlerName,
    clock,
    log: options.log,
  };
  // The union of settings and the table share the tag, which the compiler cannot see through an index.
  const kind = UPLINK_KINDS[settings.kind] as unknown as UplinkKind;
  return kind.open(settings, context);
}

function openDelivery(name: string, settings: UplinkSettings, uplink: Uplink, options: UplinksOptions): Delivery {
  const { journal, clock, random, log } = options;
  const { whenFull } = settings.buffer;
  const limits = { entriesMax: FEED_ENTRIES_MAX, bytesMax: FEED_BYTES_MAX, whenFull };
  return new Delivery({
    name,
    uplink,
    settings,
    outbox: (wake) => journal.outbox(name, limits, wake),
    received: (receipts) => journal.received(name, receipts),
    clock,
    random,
    log,
  });
}

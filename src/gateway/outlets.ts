/**
 * Where outputs go: the configured uplinks, which a reload replaces as a whole, and the devices on this box, which are
 * always there. Each has an outbox in the journal under its name.
 */
import type { Config } from "../config.ts";
import type { Journal } from "../journal/journal.ts";
import type { Log } from "../log.ts";
import { systemClock as clock } from "../time.ts";
import { Delivery } from "../uplinks/delivery.ts";
import { deliveryDefaults } from "../uplinks/delivery-settings.ts";
import { openDevices } from "../uplinks/devices.ts";
import type { DeviceBroker } from "../uplinks/devices.ts";
import { Uplinks } from "../uplinks/uplinks.ts";
import type { UplinkFigures, UplinkStatus } from "../uplinks/uplinks.ts";

/** Outbox of what handlers publish to local devices. No configured uplink can have this name. */
export const DEVICES = "$devices";
/** How long the old uplinks may take to finish when new ones replace them. */
const REPLACE_MS = 2000;

export interface OutletsContext {
  readonly gatewayId: string;
  /** Relative paths of uplinks count from it. */
  readonly folder: string;
  /** Undefined while the broker is not open. */
  readonly broker: () => DeviceBroker | undefined;
  readonly log: Log;
}

export class Outlets {
  readonly #journal: Journal;
  readonly #context: OutletsContext;
  readonly #devices: Delivery;
  #uplinks: Uplinks;
  #ids: ReadonlyMap<string, number>;
  #names: ReadonlyMap<number, string>;

  /** Throws Fault UPLINK_SETTINGS when settings name files that cannot be used. */
  constructor(journal: Journal, settings: Config["uplinks"], context: OutletsContext) {
    this.#journal = journal;
    this.#context = context;
    this.#ids = idsOf(journal, settings);
    this.#names = namesOf(this.#ids);
    this.#uplinks = this.#prepare(settings)();
    this.#devices = this.#openDevices();
  }

  /** Configured uplinks. */
  get names(): readonly string[] {
    return [...this.#ids.keys()];
  }

  /** Journal id of a configured uplink. */
  idOf(name: string): number | undefined {
    return this.#ids.get(name);
  }

  /** True when handlers that send to it should wait. */
  isFull(id: number): boolean {
    const name = this.#names.get(id);
    return name !== undefined && this.#uplinks.isFull(name);
  }

  status(): readonly UplinkStatus[] {
    return this.#uplinks.status();
  }

  figures(): Readonly<Record<string, UplinkFigures>> {
    return this.#uplinks.figures();
  }

  /**
   * What is not acknowledged when the old ones close is sent again by the new ones. Throws Fault UPLINK_SETTINGS, and then
   * the old ones go on.
   */
  async replace(settings: Config["uplinks"]): Promise<void> {
    const start = this.#prepare(settings);
    await this.#uplinks.close(REPLACE_MS);
    this.#ids = idsOf(this.#journal, settings);
    this.#names = namesOf(this.#ids);
    this.#uplinks = start();
  }

  async close(deadlineMs: number): Promise<void> {
    await Promise.all([this.#uplinks.close(deadlineMs), this.#devices.close(deadlineMs)]);
  }

  #prepare(settings: Config["uplinks"]): () => Uplinks {
    const journal = this.#journal;
    const { gatewayId, folder, log } = this.#context;
    return Uplinks.prepare({
      uplinks: settings,
      journal: {
        outbox: (name, limits, wake) => journal.outbox(journal.uplinkId(name), limits, wake),
        received: (name, receipts) => journal.received(journal.uplinkId(name), receipts),
      },
      handlerName: (id) => journal.handlerName(id),
      gatewayId,
      journalId: journal.id,
      folder,
      clock,
      random: Math.random,
      log,
    });
  }

  #openDevices(): Delivery {
    const id = this.#journal.uplinkId(DEVICES);
    return new Delivery({
      name: DEVICES,
      uplink: openDevices(this.#context.broker),
      settings: deliveryDefaults,
      outbox: (wake) => this.#journal.outbox(id, {}, wake),
      received: (receipts) => this.#journal.received(id, receipts),
      clock,
      random: Math.random,
      log: this.#context.log,
    });
  }
}

function idsOf(journal: Journal, settings: Config["uplinks"]): ReadonlyMap<string, number> {
  return new Map(Object.keys(settings).map((name) => [name, journal.uplinkId(name)]));
}

function namesOf(ids: ReadonlyMap<string, number>): ReadonlyMap<number, string> {
  return new Map([...ids].map(([name, id]) => [id, name]));
}

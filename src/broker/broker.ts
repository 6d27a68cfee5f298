/**
 * The broker room: devices connect here, over MQTT 3.1 and 3.1.1.
 */
import type { Duplex } from "node:stream";
import { Aedes } from "aedes";
import type { Client } from "aedes";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import { loopbackAccess } from "./access.ts";
import type { Access } from "./access.ts";
import type { GateContext } from "./context.ts";
import { BrokerFigures } from "./figures.ts";
import { Filters } from "./filters.ts";
import { Gate } from "./gate.ts";
import type { Ingress } from "./ingress.ts";
import { Listeners } from "./listeners.ts";
import type { Address } from "./listeners.ts";
import { Local } from "./local.ts";
import { Roster } from "./roster.ts";
import type { BrokerSettings } from "./settings.ts";
import { Topics } from "./topics.ts";

export interface BrokerOptions {
  readonly settings: BrokerSettings;
  readonly ingress: Ingress;
  /** The data folder; the broker's own is below it. */
  readonly data: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly access?: Access;
  /** A device logged in, or left. */
  readonly onDevice?: (what: "connected" | "disconnected", device: string) => void;
}

const DRAIN_TIMEOUT_MS = 5000;

export class Broker {
  readonly #context: GateContext;
  readonly #listeners: Listeners;
  readonly #aedes: Aedes;

  private constructor(context: GateContext, listeners: Listeners, aedes: Aedes) {
    this.#context = context;
    this.#listeners = listeners;
    this.#aedes = aedes;
  }

  static async open(options: BrokerOptions): Promise<Broker> {
    const { settings, ingress, clock, log } = options;
    const access = options.access ?? loopbackAccess;
    const figures = new BrokerFigures();
    const filters = new Filters();
    const aedes = await Aedes.createBroker({ drainTimeout: DRAIN_TIMEOUT_MS, maxClientsIdLength: 65_535 });
    const roster = new Roster(clock, settings.limits.connectRateMax);
    const local = new Local(aedes, { retain: () => {} }, figures, settings.limits.localMax);
    const dirty: { flush(): void }[] = [];
    const flushAll = (): void => {
      for (const intake of dirty.splice(0)) intake.flush();
    };
    const context: GateContext = {
      ingress,
      access,
      limits: settings.limits,
      figures,
      filters,
      topics: new Topics(filters),
      local,
      sessions: { has: () => false, open: () => true, leave: () => {}, remove: () => {} },
      roster,
      clock,
      log,
      handle: (conn: Duplex) => void aedes.handle(conn),
      flushSoon: (intake) => {
        if (dirty.push(intake) === 1) queueMicrotask(flushAll);
      },
      deviceConnected: (device) => options.onDevice?.("connected", device),
      deviceDisconnected: (device) => options.onDevice?.("disconnected", device),
    };
    ingress.onRoom = () => roster.roomFor("room");
    local.onRoom = () => roster.roomFor("local");
    aedes.on("client", (client: Client) => (client.conn as Gate).registered());
    aedes.on("clientDisconnect", (client: Client) => (client.conn as Gate).unregistered());
    aedes.authorizeSubscribe = (client, sub, done) => {
      filters.add(client.id, sub.topic, sub.qos);
      done(null, sub);
    };
    const listeners = await Listeners.open(
      settings.listeners.map((one) => one.url),
      (socket) => {
        figures.connections++;
        if (figures.halfOpen >= settings.limits.halfOpenMax) {
          figures.refusedLogins.halfOpenMax++;
          socket.destroy();
          return;
        }
        void new Gate(context, socket);
      },
    );
    return new Broker(context, listeners, aedes);
  }

  get addresses(): readonly Address[] {
    return this.#listeners.addresses;
  }

  figures(): BrokerFigures {
    return this.#context.figures;
  }

  async close(_deadlineMs: number): Promise<void> {
    this.#listeners.close();
    for (const gate of this.#context.roster.gates) gate.close();
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
    this.#context.roster.close();
  }
}

/**
 * The broker room: devices connect here, over MQTT 3.1 and 3.1.1, and what they publish becomes events.
 *
 * How it works. A *gate* stands between each socket and aedes (gate.ts). It reads the stream itself, checks every byte
 * of it, and keeps PUBLISH and PUBREL: they go to the *ingress*, the door of the journal, and are acknowledged when it
 * says so (intake.ts). aedes keeps what it is good at: sessions, subscriptions, retransmission to subscribers. A message
 * reaches it only after its event is committed, and only if some session wants it (local.ts, filters.ts). What aedes
 * remembers lies in a store of ours (store.ts, sessions.ts, retained.ts, persistence.ts).
 *
 * Promises:
 *
 * B1  No PUBACK, PUBREC or PUBCOMP leaves before the ingress has committed what it answers (G1); acknowledgements leave
 *     in the order of arrival (I1 in intake.ts).
 * B2  A QoS 2 publish is accepted once, across reconnects and restarts (I3, R1).
 * B3  Whatever a device sends, it can break nothing but its own connection: everything is checked here, bounded here,
 *     and refused as MQTT 3.1.1 says (packets.ts, connect.ts, text.ts).
 * B4  A device that sends faster than the disk is not read (I2); one that reads more slowly than others publish loses
 *     QoS 0 messages or its connection, and delays nobody (outbound.ts).
 * B5  Nothing listens beyond loopback without authentication (G8, listeners.ts).
 * B6  Each thing that can grow has a limit in settings.ts, and each thing that is dropped a figure in figures.ts (G7).
 *
 * Local delivery is not journaled: a crash loses what was committed and not yet handed to the sessions' queues, which is
 * milliseconds; the event itself is safe and its handlers run. What comes from within (`publish`) is different: it is
 * kept elsewhere until the broker says that it has it, so that is said of QoS 1 and 2 only after a sync.
 */
import { Aedes } from "aedes";
import { Fault } from "../fault.ts";
import type { Log } from "../log.ts";
import { sleep } from "../time.ts";
import type { Clock } from "../time.ts";
import { loopbackAccess } from "./access.ts";
import type { Access } from "./access.ts";
import { Complaints } from "./complaints.ts";
import type { GateContext } from "./context.ts";
import { zeroFigures } from "./figures.ts";
import type { BrokerFigures } from "./figures.ts";
import { Filters } from "./filters.ts";
import { Gate } from "./gate.ts";
import { aedesOptions, hookUp } from "./hooks.ts";
import type { Ingress } from "./ingress.ts";
import { Listeners } from "./listeners.ts";
import type { Address } from "./listeners.ts";
import { Local } from "./local.ts";
import { Persistence } from "./persistence.ts";
import { Pieces } from "./pieces.ts";
import { RequestTurns } from "./request-turns.ts";
import { Retained } from "./retained.ts";
import { Roster } from "./roster.ts";
import { Sessions } from "./sessions.ts";
import type { BrokerSettings } from "./settings.ts";
import { Store } from "./store.ts";
import { topicFlaw } from "./text.ts";
import { Topics } from "./topics.ts";
import { Wills } from "./wills.ts";

export interface BrokerOptions {
  readonly settings: BrokerSettings;
  readonly ingress: Ingress;
  /** The data folder; the broker's store is below it. */
  readonly data: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Default: anybody, which listeners.ts keeps to loopback. */
  readonly access?: Access;
  /** A device has logged in, or left. Called on the hot path: be quick. */
  readonly onDevice?: (what: "connected" | "disconnected", device: string) => void;
  /** A device was granted a subscription. */
  readonly onSubscribed?: (device: string, filter: string, qos: number) => void;
}

export interface PublishOptions {
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

const EXPIRY_MS = 60_000;
const CLOSE_POLL_MS = 5;

export class Broker {
  readonly #context: GateContext;
  readonly #aedes: Aedes;
  readonly #store: Store;
  readonly #wills: Wills;
  readonly #listeners: Listeners;
  readonly #expiry: NodeJS.Timeout;

  private constructor(
    context: GateContext,
    aedes: Aedes,
    store: Store,
    wills: Wills,
    listeners: Listeners,
    expiry: NodeJS.Timeout,
  ) {
    this.#context = context;
    this.#aedes = aedes;
    this.#store = store;
    this.#wills = wills;
    this.#listeners = listeners;
    this.#expiry = expiry;
  }

  /**
   * Listens when it resolves. Throws BROKER_STORE_FAILED, BROKER_LISTENER_INVALID, BROKER_LISTENER_OPEN,
   * BROKER_LISTENER_FAILED; then nothing is left open.
   */
  static async open(options: BrokerOptions): Promise<Broker> {
    const { settings, ingress, clock, log } = options;
    const { limits } = settings;
    const access = options.access ?? loopbackAccess;
    await using stack = new AsyncDisposableStack();
    const figures = zeroFigures();
    const filters = new Filters();
    const store = stack.adopt(await Store.open(options.data, log, figures), (opened) => opened.close(0));
    const retained = await Retained.open(store, limits, figures, log);
    const sessions = await Sessions.open(store, limits, figures, filters, () => clock.now());
    const persistence = new Persistence(store, sessions, retained, filters);
    const aedes = new Aedes(aedesOptions(persistence));
    // See Persistence.forward.
    (aedes as { id: string }).id = "";
    await aedes.listen();
    stack.defer(() => new Promise((resolve) => aedes.close(resolve)));
    const audience = {
      retain: retained.retain.bind(retained),
      audience: filters.audience.bind(filters),
      isBehind: () => store.isBehind,
    };
    const local = new Local(aedes, audience, figures, limits.localMax);
    const roster = stack.adopt(new Roster(clock, limits.connectRateMax, () => local.check()), (opened) =>
      opened.close(),
    );
    const wills = new Wills(ingress, access, figures, clock);
    const dirty: { flush(): void }[] = [];
    const flushAll = (): void => {
      for (const intake of dirty.splice(0)) intake.flush();
    };
    const complaints = new Complaints(log, clock);
    const context: GateContext = {
      ingress,
      access,
      limits,
      figures,
      filters,
      topics: new Topics(filters),
      local,
      sessions,
      roster,
      clock,
      complaints,
      pieces: new Pieces(limits.inboundTotalMax, figures, complaints),
      requests: new RequestTurns(),
      handle: (conn) => void aedes.handle(conn),
      flushSoon: (intake) => {
        if (dirty.push(intake) === 1) queueMicrotask(flushAll);
      },
      deviceConnected: (device) => options.onDevice?.("connected", device),
      deviceDisconnected: (device) => options.onDevice?.("disconnected", device),
      deviceSubscribed: (device, filter, qos) => options.onSubscribed?.(device, filter, qos),
    };
    hookUp(aedes, context, persistence, retained, wills);
    ingress.onRoom = () => {
      wills.resume();
      roster.roomFor("room");
    };
    local.onRoom = () => roster.roomFor("local");
    const expire = (): void => {
      for (const device of sessions.expire()) ingress.forget(device);
    };
    expire();
    // Of devices that had a clean session when the gateway last ended without a word.
    for (const device of ingress.claimants()) if (!sessions.has(device)) ingress.forget(device);
    for (const [device, will] of await sessions.wills()) {
      void wills.accept(device, will).then((isKept) => {
        if (isKept) local.publish(will);
        sessions.forgetWill(device);
      });
    }
    const urls = settings.listeners.map((listener) => listener.url);
    const listeners = await Listeners.open(urls, (socket) => {
      figures.connections++;
      if (figures.halfOpen >= limits.halfOpenMax) {
        figures.refusedLogins.halfOpenMax++;
        if (!roster.crowdOut()) {
          socket.destroy();
          return;
        }
      }
      void new Gate(context, socket);
    });
    const expiry = setInterval(expire, EXPIRY_MS).unref();
    stack.move();
    return new Broker(context, aedes, store, wills, listeners, expiry);
  }

  /** One for each configured URL, in that order. */
  get addresses(): readonly Address[] {
    return this.#listeners.addresses;
  }

  /**
   * Publishes to the local devices that subscribed. Resolves when each has it in its socket's buffer or its queue; with
   * `qos` above 0, when queues and what is retained are on disk, which messages of one turn wait for together.
   * Throws BROKER_TOPIC_INVALID for a topic that no device could publish to, BROKER_STORE_FAILED when the broker was
   * closed before that.
   */
  async publish(topic: string, payload: Uint8Array, options: PublishOptions): Promise<void> {
    const flaw = topicFlaw(topic) ?? (topic.startsWith("$") ? "a topic that starts with $" : undefined);
    if (flaw !== undefined) throw new Fault("BROKER_TOPIC_INVALID", `cannot publish to ${flaw}`, { where: topic });
    const failure = await new Promise<unknown>((resolve) =>
      this.#context.local.publish({ topic, payload: Buffer.from(payload), ...options }, resolve),
    );
    if ((failure ?? undefined) !== undefined || (options.qos > 0 && !(await this.#store.synced())))
      throw new Fault("BROKER_STORE_FAILED", "the broker was closed before the message was kept", { cause: failure });
  }

  figures(): BrokerFigures & { readonly held: number } {
    const { figures, roster, filters } = this.#context;
    figures.subscriptions = filters.count;
    let held = 0;
    for (const gate of roster.gates) if (gate.isHeld) held++;
    return { ...figures, held };
  }

  /**
   * Takes no more connections and no more packets, acknowledges what is committed within the deadline, then disconnects
   * the devices (their wills are accepted too) and closes the store.
   */
  async close(deadlineMs: number): Promise<void> {
    const { roster, figures, clock } = this.#context;
    const deadline = clock.monotonic() + deadlineMs;
    const until = async (holds: () => boolean): Promise<void> => {
      while (!holds() && clock.monotonic() < deadline) await sleep(CLOSE_POLL_MS);
    };
    clearInterval(this.#expiry);
    this.#listeners.close();
    for (const gate of roster.gates) gate.stop();
    await until(() => [...roster.gates].every((gate) => gate.inflight === 0));
    for (const gate of roster.gates) gate.close();
    await until(() => roster.gates.size === 0 && this.#wills.size === 0 && figures.localPending === 0);
    for (const gate of roster.gates) gate.abandon();
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
    roster.close();
    await this.#store.close(Math.max(100, deadline - clock.monotonic()));
  }
}

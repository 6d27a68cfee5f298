/**
 * Persistent sessions: who they are, their queues and their wills, in memory as an index and in the broker's store.
 *
 * Filters are kept for all sessions in one place (filters.ts) and, of persistent ones, here on disk. Queues hold the
 * QoS 1 and 2 messages that a device has not acknowledged; memory knows their order, packet ids and sizes, the payloads
 * lie on disk. Keys: s\0device, f\0device\0filter, q\0device\0order\0bytes, i\0device\0order (packet id, stage),
 * w\0device.
 */
import type { LocalMessage } from "./inflight.ts";
import type { BrokerFigures } from "./figures.ts";
import type { Filters } from "./filters.ts";
import { readMessage, writeMessage } from "./messages.ts";
import type { BrokerLimits } from "./settings.ts";
import type { Store } from "./store.ts";

export interface Queued {
  readonly bytes: number;
  /** 0 until it was sent once. */
  packetId: number;
  /** QoS 2, PUBREC received: what goes out again is the PUBREL. */
  isReleased: boolean;
}

export interface Session {
  readonly device: string;
  /** Wall time at which the device was last known to be here. */
  seenMs: number;
  isOnline: boolean;
  /** Order → message, oldest first. */
  readonly queue: Map<number, Queued>;
  /** Packet id → order. */
  readonly sent: Map<number, number>;
}

const ORDER_DIGITS = 16;

export class Sessions {
  readonly #store: Store;
  readonly #limits: BrokerLimits;
  readonly #figures: BrokerFigures;
  readonly #filters: Filters;
  readonly #now: () => number;
  readonly #sessions = new Map<string, Session>();
  /** By device, until it is on disk that its session began, or is gone. */
  readonly #settling = new Map<string, Promise<void>>();
  /** The highest order that was ever given to a message that is still here. */
  lastOrder = 0;

  private constructor(store: Store, limits: BrokerLimits, figures: BrokerFigures, filters: Filters, now: () => number) {
    this.#store = store;
    this.#limits = limits;
    this.#figures = figures;
    this.#filters = filters;
    this.#now = now;
  }

  static async open(
    store: Store,
    limits: BrokerLimits,
    figures: BrokerFigures,
    filters: Filters,
    now: () => number,
  ): Promise<Sessions> {
    const sessions = new Sessions(store, limits, figures, filters, now);
    await sessions.#load();
    return sessions;
  }

  get(device: string): Session | undefined {
    return this.#sessions.get(device);
  }

  has(device: string): boolean {
    return this.#sessions.has(device);
  }

  /** Resolves when it is on disk whether the device has a session; undefined: it is. */
  settled(device: string): Promise<void> | undefined {
    return this.#settling.get(device);
  }

  /** The device is here. False: there are too many sessions for a new one. */
  open(device: string): boolean {
    const known = this.#sessions.get(device);
    if (known !== undefined) {
      this.#mark(known, true);
      return true;
    }
    if (this.#sessions.size >= this.#limits.sessionsMax) return false;
    const session = { device, seenMs: 0, isOnline: true, queue: new Map(), sent: new Map() };
    this.#sessions.set(device, session);
    this.#figures.sessions = this.#sessions.size;
    this.#mark(session, true);
    this.#settle(device);
    return true;
  }

  /** The device left. */
  leave(device: string): void {
    const session = this.#sessions.get(device);
    if (session !== undefined) this.#mark(session, false);
  }

  /** Removes all of the session. */
  remove(device: string): void {
    const session = this.#sessions.get(device);
    if (session === undefined) return;
    for (const filter of this.#filters.of(device).keys()) this.#store.del(`f\0${device}\0${filter}`);
    this.#filters.removeAll(device);
    for (const order of [...session.queue.keys()]) this.drop(session, order);
    this.#store.del(`s\0${device}`);
    this.#sessions.delete(device);
    this.#figures.sessions = this.#sessions.size;
    this.#settle(device);
  }

  /** Removes those whose device has been away for too long, and returns them. */
  expire(): string[] {
    const before = this.#now() - this.#limits.sessionExpiry;
    const gone = [...this.#sessions.values()].filter((session) => !session.isOnline && session.seenMs < before);
    for (const session of gone) this.remove(session.device);
    this.#figures.sessionsExpired += gone.length;
    return gone.map((session) => session.device);
  }

  keepFilter(device: string, filter: string, qos: number): void {
    this.#store.put(`f\0${device}\0${filter}`, Buffer.of(qos));
  }

  forgetFilter(device: string, filter: string): void {
    this.#store.del(`f\0${device}\0${filter}`);
  }

  /** Queues a message. False: the queue is full and the policy is to drop the newest. */
  enqueue(session: Session, order: number, message: LocalMessage): boolean {
    const record = writeMessage(message);
    const { queueMax, queuedTotalMax, queuedTotalBytesMax, whenQueueFull } = this.#limits;
    const isFull = (): boolean =>
      session.queue.size >= queueMax ||
      this.#figures.queued >= queuedTotalMax ||
      this.#figures.queuedBytes + record.length > queuedTotalBytesMax;
    while (isFull()) {
      this.#figures.queueDropped++;
      const oldest = session.queue.keys().next();
      if (whenQueueFull === "drop-newest" || oldest.done === true) return false;
      this.drop(session, oldest.value);
    }
    session.queue.set(order, { bytes: record.length, packetId: 0, isReleased: false });
    this.lastOrder = Math.max(this.lastOrder, order);
    this.#figures.queued++;
    this.#figures.queuedBytes += record.length;
    this.#store.put(queueKey(session.device, order, record.length), record);
    return true;
  }

  async read(session: Session, order: number, queued: Queued): Promise<LocalMessage | undefined> {
    const record = await this.#store.get(queueKey(session.device, order, queued.bytes));
    return record === undefined ? undefined : readMessage(record);
  }

  /** It is being sent, or has come a step further. `isReleased` only ever becomes true. */
  step(session: Session, order: number, queued: Queued, packetId: number, isReleased: boolean): void {
    if (queued.packetId !== packetId) session.sent.delete(queued.packetId);
    queued.packetId = packetId;
    queued.isReleased ||= isReleased;
    session.sent.set(packetId, order);
    this.#store.put(idKey(session.device, order), Buffer.of(packetId >> 8, packetId & 0xff, queued.isReleased ? 1 : 0));
  }

  /** It was acknowledged, or there is no room for it any more. */
  drop(session: Session, order: number): void {
    const queued = session.queue.get(order);
    if (queued === undefined) return;
    session.queue.delete(order);
    this.#figures.queued--;
    this.#figures.queuedBytes -= queued.bytes;
    this.#store.del(queueKey(session.device, order, queued.bytes));
    if (queued.packetId === 0) return;
    session.sent.delete(queued.packetId);
    this.#store.del(idKey(session.device, order));
  }

  keepWill(device: string, will: LocalMessage): void {
    this.#store.put(`w\0${device}`, writeMessage(will));
  }

  forgetWill(device: string): void {
    this.#store.del(`w\0${device}`);
  }

  /** Wills of devices that were connected when the gateway last ended without a word. */
  async wills(): Promise<[device: string, will: LocalMessage][]> {
    const wills: [string, LocalMessage][] = [];
    for await (const [key, record] of this.#store.rows("w\0")) wills.push([key.slice(2), readMessage(record)]);
    return wills;
  }

  async #load(): Promise<void> {
    for await (const [key, record] of this.#store.rows("s\0")) {
      const device = key.slice(2);
      const wasOnline = record[0] === 1;
      const session = {
        device,
        seenMs: wasOnline ? this.#now() : record.readUIntBE(1, 6),
        isOnline: false,
        queue: new Map(),
        sent: new Map(),
      };
      this.#sessions.set(device, session);
      if (wasOnline) this.#mark(session, false);
    }
    this.#figures.sessions = this.#sessions.size;
    for await (const [key, record] of this.#store.rows("f\0")) {
      const [, device = "", filter = ""] = key.split("\0");
      if (this.#sessions.has(device)) this.#filters.add(device, filter, record[0] as number);
      else this.#store.del(key);
    }
    for await (const key of this.#store.keys("q\0")) {
      const [, device = "", order, bytes] = key.split("\0");
      const session = this.#sessions.get(device);
      this.lastOrder = Math.max(this.lastOrder, Number(order));
      if (session === undefined) {
        this.#store.del(key);
        continue;
      }
      session.queue.set(Number(order), { bytes: Number(bytes), packetId: 0, isReleased: false });
      this.#figures.queued++;
      this.#figures.queuedBytes += Number(bytes);
    }
    for await (const [key, record] of this.#store.rows("i\0")) {
      const [, device = "", order] = key.split("\0");
      const session = this.#sessions.get(device);
      const queued = session?.queue.get(Number(order));
      if (session === undefined || queued === undefined) {
        this.#store.del(key);
        continue;
      }
      queued.packetId = record.readUInt16BE(0);
      queued.isReleased = record[2] === 1;
      session.sent.set(queued.packetId, Number(order));
    }
  }

  #settle(device: string): void {
    const settled = this.#store.synced().then(() => {
      if (this.#settling.get(device) === settled) this.#settling.delete(device);
    });
    this.#settling.set(device, settled);
  }

  #mark(session: Session, isOnline: boolean): void {
    session.isOnline = isOnline;
    session.seenMs = this.#now();
    const record = Buffer.alloc(7);
    record[0] = isOnline ? 1 : 0;
    record.writeUIntBE(session.seenMs, 1, 6);
    this.#store.put(`s\0${session.device}`, record);
  }
}

const orderText = (order: number): string => order.toString().padStart(ORDER_DIGITS, "0");
const queueKey = (device: string, order: number, bytes: number): string =>
  `q\0${device}\0${orderText(order)}\0${bytes}`;
const idKey = (device: string, order: number): string => `i\0${device}\0${orderText(order)}`;

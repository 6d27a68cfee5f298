/**
 * aedes' persistence interface (as of 1.2.0: the methods it calls, and no others) on our own sessions and retained
 * messages.
 *
 * Why not aedes-persistence-level: it bounds nothing, leaves a filter out when another one of the same device covers it,
 * queues for QoS 0 subscriptions what nobody ever clears, orders queues by a random id after a restart, and reads all
 * retained messages for each SUBSCRIBE. See docs/decisions.
 *
 * P1  A queue is replayed at the pace at which its device reads, and messages that come meanwhile wait behind it: order
 *     holds, and nobody else waits.
 * P2  Of a message, a session gets one copy, at the lower of its QoS and the highest of the filters that match
 *     [MQTT-3.3.5-1, MQTT-3.8.4-6].
 */
import { Readable } from "node:stream";
import type { AedesPublishPacket, Client, PublishPacket, PubrelPacket, Subscription } from "aedes";
import type { Filters } from "./filters.ts";
import { matches } from "./filters.ts";
import type { Gate } from "./gate.ts";
import type { Outbound } from "./outbound.ts";
import type { Retained } from "./retained.ts";
import type { Session, Sessions } from "./sessions.ts";
import type { Store } from "./store.ts";

interface Replay {
  /** Messages up to this order were, or will be, sent by the replay. */
  upTo: number;
  isOver: boolean;
}

type Outgoing = (AedesPublishPacket | (PubrelPacket & { brokerCounter?: number })) & { messageId?: number };

/**
 * aedes knows every subscription as one of QoS 2, so that all copies come past `forward`, which decides by the filters
 * themselves. By itself aedes looks at the first filter that matches, and not at all at one with wildcards.
 */
export const FORWARDED_QOS = 2;

export class Persistence {
  readonly #store: Store;
  readonly #sessions: Sessions;
  readonly #retained: Retained;
  readonly #filters: Filters;
  readonly #replays = new WeakMap<Client, Replay>();
  /** Whose SUBSCRIBE is being completed; aedes emits "subscribe" just before it asks for the retained messages. */
  subscriber: Outbound | undefined;

  constructor(store: Store, sessions: Sessions, retained: Retained, filters: Filters) {
    this.#store = store;
    this.#sessions = sessions;
    this.#retained = retained;
    this.#filters = filters;
  }

  // aedes insists on an async function.
  async setup(broker: { counter: number }): Promise<void> {
    broker.counter = this.#sessions.lastOrder;
  }

  /** Retaining is done before aedes gets the message (local.ts). */
  async storeRetained(): Promise<void> {}

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retainedFor(this.#retained.matching(filters), this.subscriber));
  }

  async addSubscriptions(client: Client, subscriptions: readonly Subscription[]): Promise<void> {
    const granted = this.#filters.of(client.id);
    for (const { topic, qos } of subscriptions)
      if (granted.has(topic)) this.#sessions.keepFilter(client.id, topic, qos);
    await this.#store.synced();
  }

  async removeSubscriptions(client: Client, filters: readonly string[]): Promise<void> {
    for (const filter of filters) this.#sessions.forgetFilter(client.id, filter);
    await this.#store.synced();
  }

  async subscriptionsByClient(client: { id: string }): Promise<Subscription[]> {
    return [...this.#filters.of(client.id).keys()].map((topic) => ({ topic, qos: FORWARDED_QOS }));
  }

  /** The persistent sessions whose queue it belongs in. */
  async subscriptionsByTopic(topic: string): Promise<{ clientId: string; topic: string; qos: number }[]> {
    const found: { clientId: string; topic: string; qos: number }[] = [];
    for (const [clientId, qos] of this.#filters.subscribers(topic)) {
      if (qos > 0 && this.#sessions.has(clientId)) found.push({ clientId, topic, qos });
    }
    return found;
  }

  /** A clean session begins: the login has removed the old one. */
  async cleanSubscriptions(): Promise<void> {}

  async outgoingEnqueueCombi(
    subscribers: readonly { clientId: string; qos: number }[],
    packet: AedesPublishPacket,
  ): Promise<void> {
    for (const { clientId, qos } of subscribers) {
      const session = this.#sessions.get(clientId);
      if (session === undefined) continue;
      const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
      this.#sessions.enqueue(session, packet.brokerCounter, {
        topic: packet.topic,
        payload,
        qos: Math.min(qos, packet.qos) as 1 | 2,
        retain: false,
      });
    }
  }

  /** A message is about to be sent, or its PUBREC came. One that is not in the queue is sent all the same. */
  async outgoingUpdate(client: Client, packet: Outgoing): Promise<void> {
    const session = this.#sessions.get(client.id);
    if (session === undefined || packet.messageId === undefined) return;
    if (packet.cmd === "pubrel") {
      const order = session.sent.get(packet.messageId);
      const queued = order === undefined ? undefined : session.queue.get(order);
      if (order !== undefined && queued !== undefined)
        this.#sessions.step(session, order, queued, packet.messageId, true);
      return;
    }
    const order = packet.brokerCounter;
    const queued = session.queue.get(order);
    if (queued === undefined) return;
    packet.messageId = freeId(session, packet.messageId, order);
    this.#sessions.step(session, order, queued, packet.messageId, false);
  }

  async outgoingClearMessageId(client: Client, packet: { messageId?: number }): Promise<void> {
    const session = this.#sessions.get(client.id);
    const order = packet.messageId === undefined ? undefined : session?.sent.get(packet.messageId);
    if (session !== undefined && order !== undefined) this.#sessions.drop(session, order);
  }

  outgoingStream(client: Client): Readable {
    const session = client.clean ? undefined : this.#sessions.get(client.id);
    return Readable.from(session === undefined ? [] : this.#replay(client, session), { highWaterMark: 1 });
  }

  async putWill(client: Client, will: PublishPacket): Promise<void> {
    const payload = Buffer.isBuffer(will.payload) ? will.payload : Buffer.from(will.payload);
    this.#sessions.keepWill(client.id, { topic: will.topic, payload, qos: will.qos, retain: will.retain });
  }

  async delWill(client: { id: string }): Promise<void> {
    this.#sessions.forgetWill(client.id);
  }

  /** Wills of an earlier run are published at start (broker.ts). */
  streamWill(): Readable {
    return Readable.from([]);
  }

  /**
   * aedes asks before each delivery; null: not now, or not again (P1, P2). It calls for all filters of a message that
   * match in one go, so that the second copy for a device is known by the one before it. Its own way of telling copies
   * apart would drop a QoS 1 message that is overtaken by a QoS 0 one; it is off, for the broker has no id.
   */
  forward(client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
    const reader = (client.conn as Gate).outbound;
    const isReplayed = packet.messageId !== undefined;
    if (isReplayed || packet.retain) reader.promised -= bytesOf(packet);
    if (isReplayed) return packet;
    const order = packet.brokerCounter;
    if (reader.forwarded === order) return null;
    reader.forwarded = order;
    if (!packet.retain && packet.qos > 0 && !client.clean) {
      const replay = this.#replays.get(client);
      const isReplaying = replay === undefined || !replay.isOver;
      if (replay !== undefined && order <= replay.upTo) return null;
      if (isReplaying && this.#sessions.get(client.id)?.queue.has(order) === true) return null;
    }
    packet.qos = Math.min(packet.qos, this.#granted(client.id, packet.topic)) as 0 | 1 | 2;
    // Cheaper here than at the end of aedes' way, when hundreds of devices do not read.
    return packet.qos === 0 && !packet.retain && reader.drops(bytesOf(packet)) ? null : packet;
  }

  #granted(device: string, topic: string): number {
    const own = this.#filters.of(device);
    let granted = 0;
    // aedes asks because a filter matches; one alone is that one.
    if (own.size === 1) for (const qos of own.values()) return qos;
    for (const [filter, qos] of own) if (qos > granted && matches(filter, topic)) granted = qos;
    return granted;
  }

  async *#replay(client: Client, session: Session): AsyncGenerator<object> {
    const replay: Replay = { upTo: 0, isOver: false };
    this.#replays.set(client, replay);
    const reader = (client.conn as Gate).outbound;
    try {
      // The map shows what is added meanwhile.
      for (const [order, queued] of session.queue) {
        replay.upTo = order;
        const ids = { brokerCounter: order, messageId: queued.packetId };
        if (queued.isReleased) {
          yield { cmd: "pubrel", ...ids };
          continue;
        }
        const message = await this.#sessions.read(session, order, queued);
        if (message === undefined) {
          // Damaged, or acknowledged or dropped meanwhile.
          this.#sessions.drop(session, order);
          continue;
        }
        await reader.room(bytesOf(message));
        reader.promised += bytesOf(message);
        yield { cmd: "publish", ...message, retain: false, dup: queued.packetId !== 0, ...ids };
      }
    } finally {
      replay.isOver = true;
    }
  }

  async *#retainedFor(topics: readonly string[], reader: Outbound | undefined): AsyncGenerator<object> {
    for (const topic of topics) {
      const message = this.#retained.get(topic);
      if (message === undefined || reader === undefined) continue;
      await reader.room(bytesOf(message));
      reader.promised += bytesOf(message);
      yield { cmd: "publish", ...message };
    }
  }
}

/** What a message takes on the wire, roughly. */
function bytesOf(message: { readonly topic: string; readonly payload: string | Buffer }): number {
  return message.topic.length + message.payload.length + 16;
}

/** aedes counts packet ids up without looking whether one is in use by a message of an earlier connection. */
function freeId(session: Session, wanted: number, order: number): number {
  let id = wanted;
  while (session.sent.has(id) && session.sent.get(id) !== order) id = id === 65_535 ? 1 : id + 1;
  return id;
}

/**
 * Retained messages: in memory, bounded in number and bytes, and in the broker's store. At a bound a new topic is not
 * retained (counted, logged once until there is room again); one that is retained already may always be replaced by
 * a shorter message.
 */
import type { Log } from "../log.ts";
import { ownBytes } from "../own-bytes.ts";
import type { BrokerFigures } from "./figures.ts";
import { matches } from "./filters.ts";
import type { LocalMessage } from "./inflight.ts";
import { readMessage, writeMessage } from "./messages.ts";
import type { BrokerLimits } from "./settings.ts";
import type { Store } from "./store.ts";

const KEY = "r\0";

export class Retained {
  readonly #store: Store;
  readonly #limits: BrokerLimits;
  readonly #figures: BrokerFigures;
  readonly #log: Log;
  readonly #messages = new Map<string, LocalMessage>();
  #isFull = false;

  private constructor(store: Store, limits: BrokerLimits, figures: BrokerFigures, log: Log) {
    this.#store = store;
    this.#limits = limits;
    this.#figures = figures;
    this.#log = log;
  }

  static async open(store: Store, limits: BrokerLimits, figures: BrokerFigures, log: Log): Promise<Retained> {
    const retained = new Retained(store, limits, figures, log);
    for await (const [, record] of store.rows(KEY)) {
      const message = readMessage(record);
      retained.#messages.set(message.topic, { ...message, payload: ownBytes(message.payload) });
      figures.retainedBytes += message.payload.length + message.topic.length;
    }
    figures.retained = retained.#messages.size;
    return retained;
  }

  /** An empty payload removes what is retained on the topic [MQTT-3.3.1-10]. */
  retain(message: LocalMessage): void {
    const { topic, payload } = message;
    const before = this.#messages.get(topic);
    const bytes = payload.length === 0 ? 0 : payload.length + topic.length;
    const grownBy = bytes - (before === undefined ? 0 : before.payload.length + topic.length);
    const full =
      (before === undefined && this.#messages.size >= this.#limits.retainedMax) ||
      this.#figures.retainedBytes + grownBy > this.#limits.retainedBytesMax;
    if (bytes > 0 && grownBy > 0 && full) {
      this.#figures.retainedRefused++;
      if (!this.#isFull)
        this.#log.warn({ topic }, "no room for more retained messages: this one is delivered, and not retained");
      this.#isFull = true;
      return;
    }
    if (bytes === 0 && before === undefined) return;
    if (bytes === 0) {
      this.#isFull = false;
      this.#messages.delete(topic);
      this.#store.del(KEY + topic);
    } else {
      this.#messages.set(topic, { ...message, payload: ownBytes(payload) });
      this.#store.put(KEY + topic, writeMessage(message));
    }
    this.#figures.retainedBytes += grownBy;
    this.#figures.retained = this.#messages.size;
  }

  get(topic: string): LocalMessage | undefined {
    return this.#messages.get(topic);
  }

  /** The topics that match any of `filters`, each once for each filter that matches, as subscribing anew asks for. */
  matching(filters: readonly string[]): string[] {
    const found: string[] = [];
    for (const filter of filters) {
      if (!filter.includes("+") && !filter.includes("#")) {
        if (this.#messages.has(filter)) found.push(filter);
        continue;
      }
      for (const topic of this.#messages.keys()) if (matches(filter, topic)) found.push(topic);
    }
    return found;
  }
}

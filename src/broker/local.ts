/**
 * Local delivery: messages on their way from a device's socket to the sessions that subscribed to them.
 *
 * What it costs is the number of deliveries, messages times subscribers, and all of them share one queue in aedes. So
 * that nobody waits long in it, it is kept short: a message takes its place when it is accepted, and at `max` deliveries
 * under way, or when the session store is behind, gates stop taking messages that somebody wants (`isFull`) until half
 * of them have arrived. Nobody's socket can hold them up (outbound.ts), so this ends as fast as the box can write.
 */
import type { Aedes } from "aedes";
import type { BrokerFigures } from "./figures.ts";
import type { Delivery, LocalMessage } from "./inflight.ts";

/** What local delivery needs to know of sessions and retained messages. */
export interface Audience {
  /** An empty payload removes what is retained on the topic [MQTT-3.3.1-10]. */
  retain(message: LocalMessage): void;
  /** How many subscriptions match. */
  audience(topic: string): number;
  /** Too much of what sessions are to keep waits for the disk. */
  isBehind(): boolean;
}

export class Local {
  readonly #aedes: Aedes;
  readonly #audience: Audience;
  readonly #figures: BrokerFigures;
  readonly #max: number;
  /** Called once when a delivery that was full has room again. */
  onRoom: () => void = () => {};
  #full = false;

  constructor(aedes: Aedes, audience: Audience, figures: BrokerFigures, max: number) {
    this.#aedes = aedes;
    this.#audience = audience;
    this.#figures = figures;
    this.#max = max;
  }

  get isFull(): boolean {
    this.#full ||= this.#figures.localPending >= this.#max || this.#audience.isBehind();
    return this.#full;
  }

  /** Takes places for a message that `audience` subscriptions match, and returns how many. */
  reserve(audience: number): number {
    const places = Math.max(1, audience);
    this.#figures.localPending += places;
    return places;
  }

  /** Gives places back. */
  cancel(places: number): void {
    this.#figures.localPending -= places;
    this.check();
  }

  /** Lets those who wait go on when there is room. */
  check(): void {
    if (!this.#full || this.#figures.localPending > this.#max / 2 || this.#audience.isBehind()) return;
    this.#full = false;
    this.onRoom();
  }

  /**
   * A message that has its places. `done` is called when all sessions have it, in their socket's buffer or their queue,
   * with an error when the broker was closed before that.
   * Retaining happens here, at once and in order; aedes would do it on the side, and a later message without the flag
   * would overtake [MQTT-4.6.0-6].
   */
  deliver({ topic, payload, qos, retain, audience }: Delivery, done?: (error?: Error) => void): void {
    if (retain) this.#audience.retain({ topic, payload, qos, retain });
    const finish = (error?: Error): void => {
      this.#figures.localDelivered++;
      this.cancel(audience);
      done?.(error);
    };
    // Only retained messages come without an audience.
    if (retain && this.#audience.audience(topic) === 0) finish();
    else this.#aedes.publish({ cmd: "publish", topic, payload, qos, retain: false, dup: false }, finish);
  }

  /** The same for a message from within. */
  publish(message: LocalMessage, done?: (error?: Error) => void): void {
    this.deliver({ ...message, audience: this.reserve(this.#audience.audience(message.topic)) }, done);
  }
}

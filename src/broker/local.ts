/**
 * Local delivery: messages on their way from a committed event to the sessions that subscribed to them.
 *
 * Bounded: at `max` messages under way, or when the session store is behind, gates stop taking those that somebody wants (`isFull`) until half of them have
 * arrived. Nobody's socket can hold them up (outbound.ts), so this ends as fast as the box can write.
 */
import type { Aedes } from "aedes";
import type { BrokerFigures } from "./figures.ts";
import type { LocalMessage } from "./inflight.ts";

export interface Retainer {
  /** An empty payload removes what is retained on the topic [MQTT-3.3.1-10]. */
  retain(message: LocalMessage): void;
  /** Whether any session subscribed to the topic. */
  isWanted(topic: string): boolean;
}

export class Local {
  readonly #aedes: Aedes;
  readonly #retainer: Retainer;
  readonly #figures: BrokerFigures;
  readonly #max: number;
  readonly #isBehind: () => boolean;
  /** Called once when a delivery that was full has room again. */
  onRoom: () => void = () => {};
  #full = false;

  constructor(aedes: Aedes, retainer: Retainer, figures: BrokerFigures, max: number, isBehind: () => boolean) {
    this.#isBehind = isBehind;
    this.#aedes = aedes;
    this.#retainer = retainer;
    this.#figures = figures;
    this.#max = max;
  }

  get isFull(): boolean {
    this.#full ||= this.#figures.localPending >= this.#max || this.#isBehind();
    return this.#full;
  }

  /** Lets those who wait go on when there is room. */
  check(): void {
    if (!this.#full || this.#figures.localPending > this.#max / 2 || this.#isBehind()) return;
    this.#full = false;
    this.onRoom();
  }

  /**
   * `done` is called when all sessions have it, in their socket's buffer or their queue.
   * Retaining happens here, at once and in order; aedes would do it on the side, and a later message without the flag
   * would overtake [MQTT-4.6.0-6].
   */
  readonly deliver = (message: LocalMessage, done?: () => void): void => {
    if (message.retain) this.#retainer.retain(message);
    if (message.retain && !this.#retainer.isWanted(message.topic)) {
      done?.();
      return;
    }
    const { topic, payload, qos } = message;
    this.#figures.localPending++;
    this.#aedes.publish({ cmd: "publish", topic, payload, qos, retain: false, dup: false }, () => {
      this.#figures.localPending--;
      this.#figures.localDelivered++;
      this.check();
      done?.();
    });
  };
}

/**
 * Wills: a device's last message is an event like any other, and is delivered to local sessions after its commit.
 * Bounded by the number of devices: each has one.
 */
import type { Fault } from "../fault.ts";
import type { Clock } from "../time.ts";
import type { Access } from "./access.ts";
import type { BrokerFigures } from "./figures.ts";
import type { LocalMessage } from "./inflight.ts";
import type { Ingress, Receiver } from "./ingress.ts";

interface Pending {
  readonly device: string;
  readonly will: LocalMessage;
  readonly done: (isKept: boolean) => void;
}

export class Wills implements Receiver {
  readonly #ingress: Ingress;
  readonly #access: Access;
  readonly #figures: BrokerFigures;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  /** Until the journal has room. */
  #waiting: Pending[] = [];
  #tag = 0;

  constructor(ingress: Ingress, access: Access, figures: BrokerFigures, clock: Clock) {
    this.#ingress = ingress;
    this.#access = access;
    this.#figures = figures;
    this.#clock = clock;
  }

  get size(): number {
    return this.#pending.size + this.#waiting.length;
  }

  /** Resolves with true once it is committed, with false when the device may not, or the journal will not have it. */
  accept(device: string, will: LocalMessage): Promise<boolean> {
    if (will.topic.startsWith("$") || !this.#access.publish(device, will.topic)) {
      this.#figures.refusedWills++;
      return Promise.resolve(false);
    }
    return new Promise((done) => this.#offer({ device, will, done }));
  }

  committed(tag: number, fault: Fault | undefined): void {
    const pending = this.#pending.get(tag);
    this.#pending.delete(tag);
    if (fault === undefined) this.#figures.wills++;
    else this.#figures.refusedWills++;
    pending?.done(fault === undefined);
  }

  /** The journal has room again. */
  resume(): void {
    for (const pending of this.#waiting.splice(0)) this.#offer(pending);
  }

  #offer(pending: Pending): void {
    const { device, will, done } = pending;
    const tag = this.#tag++;
    this.#pending.set(tag, pending);
    const event = { kind: "topic", ...will, device, hops: 0, timeMs: this.#clock.now() } as const;
    const admission = this.#ingress.accept(event, this, tag);
    if (admission === "taken") return;
    this.#pending.delete(tag);
    if (admission === "later") {
      this.#waiting.push(pending);
      return;
    }
    this.#figures.refusedWills++;
    done(false);
  }
}

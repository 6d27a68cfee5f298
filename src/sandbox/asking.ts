/**
 * In the runner: what one batch asks of the gateway, and what has come of it. What it asks is passed on as the guest wrote
 * it; what comes is kept until the guest is called again.
 */
import { readFetchedHead } from "./wire.ts";

/** Longer strings are kept outside the isolate's heap, where its garbage collector does not feel them. */
const PART_BYTES = 1000;

export class Asking {
  readonly #send: (ask: string) => void;
  #arrived: Buffer[] = [];
  #wake: (() => void) | undefined;
  #hasAsked = false;

  /** `send`: an ask at a time. */
  constructor(send: (ask: string) => void) {
    this.#send = send;
  }

  /** Whether anything has left: then the batch must not be run again. */
  get hasAsked(): boolean {
    return this.#hasAsked;
  }

  send(asks: string): void {
    if (asks === "") return;
    this.#hasAsked = true;
    // JSON has no newline in it.
    for (const ask of asks.split("\n")) if (ask !== "") this.#send(ask);
  }

  /** The body of a `fetched` frame. */
  arrive(body: Buffer): void {
    this.#arrived.push(body);
    this.#wake?.();
  }

  /** Arguments for the guest's `fetched`, in the order of arrival. */
  take(): (string | number)[] | undefined {
    const body = this.#arrived.shift();
    if (body === undefined) return undefined;
    const { id, head, rest } = readFetchedHead(body);
    const args: (string | number)[] = [id, head];
    for (let at = 0; at < rest.length; at += PART_BYTES) {
      args.push(rest.latin1Slice(at, Math.min(at + PART_BYTES, rest.length)));
    }
    return args;
  }

  /** Resolves after `ms`, or as soon as something is there. */
  wait(ms: number): Promise<void> {
    if (this.#arrived.length > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }
}

/** Work on handlers: one piece after another, until it is over. */
import { Fault } from "../fault.ts";

export class Work {
  readonly #failed: (error: unknown) => void;
  /** What is under way may listen: it is given up when the work is over. */
  readonly #ending = new AbortController();
  #last: Promise<void> = Promise.resolve();

  /** `failed` is told of what throws. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  get isOver(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Resolves when it is done, or has failed, or will not be done any more. */
  queue(piece: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(async () => {
      if (this.isOver) return;
      try {
        await piece();
      } catch (error) {
        this.#failed(error);
      }
    });
    return this.#last;
  }

  /** As queue(), for whoever wants to know what came of it. Rejects with CONTROL_CLOSING when it will not be done. */
  ask<Result>(piece: () => Promise<Result>): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    void this.queue(() => piece().then(resolve, reject)).then(() =>
      reject(new Fault("CONTROL_CLOSING", "the gateway is closing")),
    );
    return promise;
  }

  /** Resolves when what is under way has ended. */
  async end(): Promise<void> {
    this.#ending.abort();
    await this.#last;
  }
}

/**
 * In the runner: the isolates of one handler's version, as many as its batches need at the moment and its `concurrency`
 * allows. The first is built when the version is loaded; others come when all are busy, and go when they are idle.
 *
 * Which keys run side by side is not decided here: batches that are out at the same time share no key.
 */
import type ivm from "isolated-vm";
import type { Asking } from "./asking.ts";
import { VersionIsolate } from "./isolates.ts";
import type { Stuck } from "./guest-isolate.ts";
import type { GuestBundle, Loaded, Metered } from "./isolates.ts";
import { Pace } from "./pace.ts";
import type { RunHead } from "./wire.ts";

export class VersionPool {
  readonly #library: typeof ivm;
  readonly #guestCode: string;
  readonly #bundle: GuestBundle;
  readonly #pace = new Pace();
  #isolates: VersionIsolate[];
  /** Those of captured runs. */
  readonly #captured = new Set<VersionIsolate>();

  constructor(library: typeof ivm, guestCode: string, bundle: GuestBundle) {
    this.#library = library;
    this.#guestCode = guestCode;
    this.#bundle = bundle;
    this.#isolates = [this.#another()];
  }

  load(): Promise<Loaded | Stuck> {
    return (this.#isolates[0] as VersionIsolate).load();
  }

  run(head: RunHead, asking: Asking): Promise<Metered> {
    return head.captured ? this.#runCaptured(head, asking) : this.#next().run(head, asking);
  }

  /** In an isolate of its own: what others have left behind in module variables is no part of the run. */
  async #runCaptured(head: RunHead, asking: Asking): Promise<Metered> {
    const settings = { ...this.#bundle.settings, capturedMs: head.atMs };
    const isolate = new VersionIsolate(this.#library, this.#guestCode, { ...this.#bundle, settings }, this.#pace);
    this.#captured.add(isolate);
    try {
      return await isolate.run(head, asking);
    } finally {
      this.#captured.delete(isolate);
      isolate.close();
    }
  }

  /** Isolates that take memory. */
  get alive(): number {
    let alive = 0;
    for (const isolate of this.#isolates) if (isolate.isAlive) alive++;
    for (const isolate of this.#captured) if (isolate.isAlive) alive++;
    return alive;
  }

  /** Gives up what has been idle for long; returns how many isolates that were. */
  rest(): number {
    let given = 0;
    for (const isolate of this.#isolates) {
      if (!isolate.isIdle || !isolate.isAlive) continue;
      isolate.yieldMemory();
      given++;
    }
    if (this.#isolates.length > 1) {
      const [first, ...others] = this.#isolates as [VersionIsolate, ...VersionIsolate[]];
      this.#isolates = [first, ...others.filter((isolate) => !isolate.isIdle)];
    }
    return given;
  }

  /** Gives all of them up as soon as their batches are done. */
  yieldMemory(): void {
    for (const isolate of this.#isolates) isolate.yieldMemory();
  }

  close(): void {
    for (const isolate of this.#isolates) isolate.close();
  }

  #another(): VersionIsolate {
    return new VersionIsolate(this.#library, this.#guestCode, this.#bundle, this.#pace);
  }

  /** A free one that is warm; else a free one; else a new one; else the one that is asked for least. */
  #next(): VersionIsolate {
    let best = this.#isolates[0] as VersionIsolate;
    for (const isolate of this.#isolates) {
      if (isolate.queued < best.queued || (isolate.queued === best.queued && isolate.isAlive && !best.isAlive))
        best = isolate;
    }
    if (best.queued === 0 || this.#isolates.length >= this.#bundle.concurrency) return best;
    const another = this.#another();
    this.#isolates.push(another);
    return another;
  }
}

/** Event, EventTarget, AbortController and AbortSignal. Source: https://dom.spec.whatwg.org/#aborting-ongoing-activities */
import { Event, EventTarget, isHeard, startClock } from "./event-target.ts";
import { expose } from "./expose.ts";
import type { WebHost } from "./host.ts";
import { exception } from "./thrown.ts";

let abortNow: (signal: AbortSignal, reason: unknown) => void;

/** Only this file makes signals: `new AbortSignal()` is refused, as everywhere. */
const OURS = {};

class AbortSignal extends EventTarget {
  #aborted = false;
  #reason: unknown;
  #onabort: unknown = null;
  /** The property's place among the listeners: where it was when it was set first. */
  #listensForProperty = false;
  /** Those that abort with this one. Weak, as a signal may live long and be asked for many. */
  #followers = new Set<WeakRef<AbortSignal>>();
  #sweepAt = 64;
  /** Followers that somebody listens to must not be lost, although nobody else may hold them. */
  readonly #heard = new Set<AbortSignal>();
  #sources: readonly AbortSignal[] = [];

  static {
    abortNow = (signal, reason) => signal.#abort(reason);
  }

  constructor(key?: unknown) {
    if (key !== OURS) throw new TypeError("Illegal constructor");
    super();
  }

  static abort(reason?: unknown): AbortSignal {
    const signal = new AbortSignal(OURS);
    signal.#reason = reasonOf(reason);
    signal.#aborted = true;
    return signal;
  }

  /** There only when there are timers to do it with. */
  static timeout(milliseconds: unknown): AbortSignal {
    const delayMs = Number(milliseconds);
    if (!(delayMs >= 0 && delayMs <= Number.MAX_SAFE_INTEGER)) {
      throw new TypeError("The time until a signal aborts is a number of milliseconds from 0 on");
    }
    const signal = new AbortSignal(OURS);
    globalThis.setTimeout(
      () => abortNow(signal, exception("TimeoutError", "The operation was aborted due to timeout")),
      Math.trunc(delayMs),
    );
    return signal;
  }

  static any(signals: Iterable<unknown>): AbortSignal {
    const sources = [...signals];
    for (const source of sources) {
      if (!(source instanceof AbortSignal)) throw new TypeError("AbortSignal.any() takes a list of AbortSignals");
    }
    const all = sources as AbortSignal[];
    const signal = new AbortSignal(OURS);
    const aborted = all.find((source) => source.#aborted);
    if (aborted !== undefined) {
      signal.#reason = aborted.#reason;
      signal.#aborted = true;
      return signal;
    }
    // What follows a follower follows its sources: so there are never chains.
    const origins = new Set(all.flatMap((source) => (source.#sources.length > 0 ? source.#sources : [source])));
    signal.#sources = [...origins];
    for (const origin of origins) origin.#addFollower(signal);
    return signal;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  get onabort(): unknown {
    return this.#onabort;
  }

  set onabort(value: unknown) {
    this.#onabort = typeof value === "function" || (typeof value === "object" && value !== null) ? value : null;
    if (this.#onabort !== null && !this.#listensForProperty) {
      this.#listensForProperty = true;
      this.addEventListener("abort", this.#callProperty);
    } else if (this.#onabort === null && this.#listensForProperty) {
      this.#listensForProperty = false;
      this.removeEventListener("abort", this.#callProperty);
    }
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  override addEventListener(type: unknown, callback: unknown, options?: unknown): void {
    super.addEventListener(type, callback, options);
    this.#noteWhetherHeard();
  }

  override removeEventListener(type: unknown, callback: unknown, options?: unknown): void {
    super.removeEventListener(type, callback, options);
    this.#noteWhetherHeard();
  }

  #abort(reason: unknown): void {
    if (this.#aborted) return;
    const aborting = [this, ...this.#liveFollowers().filter((follower) => !follower.#aborted)];
    this.#followers.clear();
    this.#heard.clear();
    // All are aborted before the first listener hears of it.
    for (const each of aborting) {
      each.#reason = reason;
      each.#aborted = true;
      for (const source of each.#sources) source.#heard.delete(each);
      each.#sources = [];
    }
    for (const each of aborting) each.dispatchEvent(new Event("abort"));
  }

  readonly #callProperty = (event: Event): void => {
    if (typeof this.#onabort === "function") (this.#onabort as (event: Event) => void).call(this, event);
  };

  #addFollower(follower: AbortSignal): void {
    if (this.#followers.size >= this.#sweepAt) {
      this.#followers = new Set([...this.#followers].filter((reference) => reference.deref() !== undefined));
      this.#sweepAt = Math.max(64, this.#followers.size * 2);
    }
    this.#followers.add(new WeakRef(follower));
  }

  #liveFollowers(): AbortSignal[] {
    return [...this.#followers].flatMap((reference) => reference.deref() ?? []);
  }

  #noteWhetherHeard(): void {
    if (this.#sources.length === 0) return;
    const heard = isHeard(this, "abort");
    for (const source of this.#sources) {
      if (heard) source.#heard.add(this);
      else source.#heard.delete(this);
    }
  }
}

class AbortController {
  readonly #signal = new AbortSignal(OURS);

  get signal(): AbortSignal {
    return this.#signal;
  }

  abort(reason?: unknown): void {
    abortNow(this.#signal, reasonOf(reason));
  }
}

function reasonOf(reason: unknown): unknown {
  return reason === undefined ? exception("AbortError", "This operation was aborted") : reason;
}

export function install(host: WebHost): void {
  startClock(host.now);
  expose(host, { Event, EventTarget, AbortController, AbortSignal });
  // ctx.signal is one of these where they are there.
  host.beside.controlled = () => {
    const signal = new AbortSignal(OURS);
    return { signal, abort: (reason) => abortNow(signal, reason) };
  };
  if (typeof globalThis.setTimeout !== "function") delete (AbortSignal as { timeout?: unknown }).timeout;
}

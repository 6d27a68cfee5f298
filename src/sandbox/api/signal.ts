/**
 * ctx.signal where the bundle speaks of none of the web's events: with them it is an AbortSignal (web/events.ts). Tells a
 * handler that its time is up, in the moment before it is cut off. Made when it is asked for.
 */
import { apply, bare } from "./primordials.ts";
import type { Controlled } from "./web/host.ts";

type Listener = (event: { readonly type: "abort"; readonly target: TaskSignal }) => void;

const LISTENERS_MAX = 100;

/** Handlers get signals, and with them their class: what the house does to one is no part of it. */
let abort: (signal: TaskSignal, reason: unknown) => void;

export function plainSignal(): Controlled {
  const signal = new TaskSignal();
  return { signal, abort: (reason) => abort(signal, reason) };
}

class TaskSignal {
  onabort: Listener | null = null;
  #aborted = false;
  #reason: unknown;
  #listeners: Listener[] = bare([]);

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  addEventListener(type: string, listener: unknown): void {
    if (type !== "abort" || typeof listener !== "function" || this.#listeners.length >= LISTENERS_MAX) return;
    this.#listeners[this.#listeners.length] = listener as Listener;
  }

  removeEventListener(type: string, listener: unknown): void {
    if (type !== "abort") return;
    const kept: Listener[] = bare([]);
    for (let i = 0; i < this.#listeners.length; i++) {
      const each = this.#listeners[i] as Listener;
      if (each !== listener) kept[kept.length] = each;
    }
    this.#listeners = kept;
  }

  static {
    abort = (signal, reason) => {
      if (signal.#aborted) return;
      signal.#aborted = true;
      signal.#reason = reason;
      const event = { type: "abort", target: signal } as const;
      const listeners = signal.#listeners;
      signal.#listeners = bare([]);
      if (typeof signal.onabort === "function") listeners[listeners.length] = signal.onabort;
      for (let i = 0; i < listeners.length; i++) {
        try {
          apply(listeners[i] as Listener, undefined, [event]);
        } catch {
          continue; // The listener's own affair: the task has failed already.
        }
      }
    };
  }
}

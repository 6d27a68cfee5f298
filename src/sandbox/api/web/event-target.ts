/** Event and EventTarget, without a tree: an event has one target. Source: https://dom.spec.whatwg.org/#events */
import { exception } from "./thrown.ts";
import { textOf } from "./text-of.ts";

interface EventOptions {
  readonly bubbles?: unknown;
  readonly cancelable?: unknown;
  readonly composed?: unknown;
}

/** The task's clock: event times are those of performance.now(). */
const clock = { now: (): number => 0 };

export function startClock(now: () => number): void {
  clock.now = now;
}

// What the classes do for each other, and no handler sees: their insides, given out by static blocks.
let isDispatching: (event: Event) => boolean;
/** Calls the listeners one after another. Returns false when one of them prevented the default. */
let dispatch: (event: Event, target: EventTarget, listeners: readonly Listener[], spend: Spend) => boolean;
export let isHeard: (target: EventTarget, type: string) => boolean;

export class Event {
  static readonly NONE = 0;
  static readonly CAPTURING_PHASE = 1;
  static readonly AT_TARGET = 2;
  static readonly BUBBLING_PHASE = 3;

  readonly #type: string;
  readonly #bubbles: boolean;
  readonly #cancelable: boolean;
  readonly #composed: boolean;
  readonly #timeStamp = clock.now();
  #target: EventTarget | null = null;
  #dispatching = false;
  #prevented = false;
  #propagates = true;
  #stopped = false;
  #passive = false;

  constructor(...given: readonly unknown[]) {
    if (given.length === 0) throw new TypeError("An event needs a type");
    const { bubbles, cancelable, composed } = (given[1] ?? {}) as EventOptions;
    this.#type = textOf(given[0]);
    this.#bubbles = Boolean(bubbles);
    this.#cancelable = Boolean(cancelable);
    this.#composed = Boolean(composed);
  }

  get type(): string {
    return this.#type;
  }
  get target(): EventTarget | null {
    return this.#target;
  }
  get srcElement(): EventTarget | null {
    return this.#target;
  }
  get currentTarget(): EventTarget | null {
    return this.#dispatching ? this.#target : null;
  }
  get eventPhase(): number {
    return this.#dispatching ? Event.AT_TARGET : Event.NONE;
  }
  get bubbles(): boolean {
    return this.#bubbles;
  }
  get cancelable(): boolean {
    return this.#cancelable;
  }
  get composed(): boolean {
    return this.#composed;
  }
  get defaultPrevented(): boolean {
    return this.#prevented;
  }
  get returnValue(): boolean {
    return !this.#prevented;
  }
  /** Milliseconds since the isolate began. */
  get timeStamp(): number {
    return this.#timeStamp;
  }
  /** Whether it comes from the platform: those that a handler makes do not. */
  get isTrusted(): boolean {
    return false;
  }
  get cancelBubble(): boolean {
    return !this.#propagates;
  }
  set cancelBubble(value: unknown) {
    if (value) this.#propagates = false;
  }

  composedPath(): EventTarget[] {
    return this.#dispatching && this.#target !== null ? [this.#target] : [];
  }
  preventDefault(): void {
    if (this.#cancelable && !this.#passive) this.#prevented = true;
  }
  stopPropagation(): void {
    this.#propagates = false;
  }
  stopImmediatePropagation(): void {
    this.#propagates = false;
    this.#stopped = true;
  }

  static {
    isDispatching = (event) => event.#dispatching;
    dispatch = (event, target, listeners, spend) => event.#dispatch(target, listeners, spend);
  }

  #dispatch(target: EventTarget, listeners: readonly Listener[], spend: Spend): boolean {
    this.#target = target;
    this.#dispatching = true;
    this.#stopped = !this.#propagates;
    for (const listener of listeners) {
      if (this.#stopped) break;
      if (listener.removed) continue;
      if (listener.once) spend(listener);
      this.#passive = listener.passive;
      try {
        if (typeof listener.callback === "function") listener.callback.call(target, this);
        else listener.callback.handleEvent(this);
      } catch (thrown) {
        report(thrown);
      }
      this.#passive = false;
    }
    this.#dispatching = false;
    this.#stopped = false;
    this.#propagates = true;
    return !this.#prevented;
  }
}

type Spend = (listener: Listener) => void;
type Callback = ((this: EventTarget, event: Event) => unknown) | { readonly handleEvent: (event: Event) => unknown };

interface Listener {
  readonly callback: Callback;
  readonly capture: boolean;
  readonly once: boolean;
  readonly passive: boolean;
  removed: boolean;
}

interface ListenerOptions {
  readonly capture?: unknown;
  readonly once?: unknown;
  readonly passive?: unknown;
  readonly signal?: AbortSource;
}

/** What `signal` of a listener's options must be able to do. */
interface AbortSource {
  readonly aborted: boolean;
  addEventListener(type: string, callback: () => void, options: { readonly once: boolean }): void;
}

export class EventTarget {
  readonly #listeners = new Map<string, Listener[]>();

  static {
    isHeard = (target, type) => target.#listeners.has(type);
  }

  addEventListener(type: unknown, callback: unknown, options?: unknown): void {
    const { capture, once, passive, signal } = optionsOf(options);
    if (callback === null || callback === undefined) return;
    if (typeof callback !== "function" && typeof callback !== "object") {
      throw new TypeError("A listener is a function, or an object with handleEvent()");
    }
    if (signal !== undefined && typeof signal?.addEventListener !== "function") {
      throw new TypeError("`signal` of a listener is an AbortSignal");
    }
    if (signal?.aborted === true) return;
    const name = textOf(type);
    const list = this.#listeners.get(name) ?? [];
    if (list.some((listener) => listener.callback === callback && listener.capture === Boolean(capture))) return;
    const listener: Listener = {
      callback: callback as Callback,
      capture: Boolean(capture),
      once: Boolean(once),
      passive: Boolean(passive),
      removed: false,
    };
    this.#listeners.set(name, [...list, listener]);
    signal?.addEventListener("abort", () => this.#remove(name, listener), { once: true });
  }

  removeEventListener(type: unknown, callback: unknown, options?: unknown): void {
    const capture = Boolean(optionsOf(options).capture);
    const name = textOf(type);
    const listener = this.#listeners.get(name)?.find((each) => each.callback === callback && each.capture === capture);
    if (listener !== undefined) this.#remove(name, listener);
  }

  dispatchEvent(event: unknown): boolean {
    if (!(event instanceof Event)) throw new TypeError("dispatchEvent() takes an Event");
    if (isDispatching(event)) {
      throw exception("InvalidStateError", "The event is already being dispatched");
    }
    const listeners = this.#listeners.get(event.type) ?? [];
    return dispatch(event, this, listeners, (listener) => this.#remove(event.type, listener));
  }

  #remove(type: string, listener: Listener): void {
    listener.removed = true;
    // A new list: the old one may just be walked through.
    const left = (this.#listeners.get(type) ?? []).filter((each) => each !== listener);
    if (left.length === 0) this.#listeners.delete(type);
    else this.#listeners.set(type, left);
  }
}

function optionsOf(options: unknown): ListenerOptions {
  return typeof options === "object" && options !== null ? options : { capture: options };
}

/** What a listener throws stops no other listener and not the one who dispatches: it is logged. */
function report(thrown: unknown): void {
  try {
    globalThis.console.error(thrown);
  } catch {
    // Without a console nobody is there to be told.
  }
}

/** The globals that every isolate has beside those of the language. Others come with the bundle that mentions them. */
import type { TaskClock } from "./clock.ts";
import { installDate } from "./date.ts";
import { DeadLetter } from "./failure.ts";
import type { GuestLog } from "./log.ts";
import { environmentOf } from "./portable.ts";
import { afterwards, defineProperty, resolved } from "./primordials.ts";
import type { EventRandom } from "./random.ts";
import type { Timers } from "./timers.ts";

/**
 * Callbacks never come, which the language allows. V8 would call them between two calls of ours, where nothing limits
 * their time and they belong to no event.
 */
class FinalizationRegistry {
  constructor(cleanup: unknown) {
    if (typeof cleanup !== "function") throw new TypeError("FinalizationRegistry: cleanup must be callable");
  }

  register(): void {}

  unregister(): boolean {
    return false;
  }

  get [Symbol.toStringTag](): string {
    return "FinalizationRegistry";
  }
}

/** Like a built-in: there, not listed, and the user's to replace. */
export function defineGlobal(name: string, value: unknown): void {
  defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

export function installGlobals(
  log: GuestLog,
  timers: Timers,
  random: EventRandom,
  clock: TaskClock,
  params: unknown,
): void {
  for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics"]) {
    delete (globalThis as Record<string, unknown>)[name];
  }
  defineGlobal("FinalizationRegistry", FinalizationRegistry);
  const { debug, info, warn, error } = log;
  defineGlobal("console", { debug, info, warn, error, log: info, trace: debug });
  defineGlobal("DeadLetter", DeadLetter);
  defineGlobal("__environment", environmentOf(params)); // What bundles have for `process.env`.
  defineGlobal("setTimeout", (callback: unknown, delayMs?: unknown, ...args: unknown[]) =>
    timers.set(callback, delayMs, args, false),
  );
  defineGlobal("setInterval", (callback: unknown, delayMs?: unknown, ...args: unknown[]) =>
    timers.set(callback, delayMs, args, true),
  );
  defineGlobal("clearTimeout", (id: unknown) => timers.clear(id));
  defineGlobal("clearInterval", (id: unknown) => timers.clear(id));
  defineGlobal("queueMicrotask", (callback: unknown) => {
    if (typeof callback !== "function") throw new TypeError("queueMicrotask needs a function");
    // What it throws becomes a rejection that nobody handles, and that is a failure of the event.
    void afterwards(resolved(undefined), () => (callback as () => void)());
  });
  installDate(clock, defineGlobal);
  // Counted from 1970: an isolate's own start would be another one whenever a run is repeated.
  defineGlobal("performance", { timeOrigin: 0, now: () => clock.now() });
  defineProperty(Math, "random", { value: () => random.next(), writable: true, configurable: true });
}

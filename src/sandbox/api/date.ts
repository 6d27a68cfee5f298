/**
 * Date and Intl by the task's clock (clock.ts). Only what reads the time is replaced: a Date of a given time, its
 * methods and its prototype are the engine's own.
 */
import type { TaskClock } from "./clock.ts";
import { Time, apply, construct, defineProperty, dateText, weakGet, weakSet } from "./primordials.ts";

type Formatted = (date?: unknown) => unknown;

export function installDate(clock: TaskClock, define: (name: string, value: unknown) => void): void {
  function ClockDate(...given: unknown[]): unknown {
    if (new.target === undefined) return dateText(new Time(clock.now()));
    const args = given.length === 0 ? [clock.now()] : given;
    if (new.target !== (ClockDate as unknown)) return construct(Time, args, new.target);
    return args.length === 1 ? new Time(args[0] as number) : construct(Time, args);
  }
  const hidden = (on: object, name: string, value: unknown): void => {
    defineProperty(on, name, { value, writable: true, configurable: true });
  };
  defineProperty(ClockDate, "name", { value: "Date", configurable: true });
  defineProperty(ClockDate, "length", { value: 7, configurable: true });
  defineProperty(ClockDate, "prototype", { value: Time.prototype, writable: false });
  // Methods, so that they construct nothing, as those that they stand for.
  hidden(ClockDate, "now", { now: (): number => clock.now() }.now);
  hidden(ClockDate, "parse", Time.parse);
  hidden(ClockDate, "UTC", Time.UTC);
  hidden(Time.prototype, "constructor", ClockDate);
  define("Date", ClockDate);
  installFormat(clock);
}

/** Asked to format nothing, Intl formats the time that it is. */
function installFormat(clock: TaskClock): void {
  const { prototype } = Intl.DateTimeFormat;
  const getFormat = Object.getOwnPropertyDescriptor(prototype, "format")?.get as () => Formatted;
  const { formatToParts } = prototype;
  /** Each formatter has one function to format with, and so has ours. */
  const known = new WeakMap<object, Formatted>();
  const given = (date: unknown): unknown => (date === undefined ? clock.now() : date);
  defineProperty(prototype, "format", {
    get(this: Intl.DateTimeFormat): Formatted {
      const format = apply(getFormat, this, []);
      let ours = weakGet(known, format);
      if (ours === undefined) weakSet(known, format, (ours = (date) => format(given(date))));
      return ours;
    },
    configurable: true,
  });
  const parts = {
    formatToParts(this: Intl.DateTimeFormat, date?: unknown): unknown {
      return apply(formatToParts, this, [given(date)]);
    },
  };
  defineProperty(prototype, "formatToParts", { value: parts.formatToParts, writable: true, configurable: true });
}

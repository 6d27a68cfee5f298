/**
 * Rig: waits with a limit and a reason, so that a story that hangs says for what.
 */
import { setTimeout as sleep } from "node:timers/promises";

export { sleep };

export interface WaitOptions {
  readonly withinMs: number;
  readonly everyMs?: number;
  /** Ends the wait at once by throwing, for what can no longer come true. */
  readonly unless?: () => string | undefined;
  /** What to add to the error: how things stand. */
  readonly tell?: () => unknown;
}

/** Resolves with the first truthy result of `look`; a look that throws counts as "not yet" until the time is up. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, undefined | false | null | 0>> {
  const deadline = performance.now() + options.withinMs;
  let last: unknown;
  for (;;) {
    const hopeless = options.unless?.();
    if (hopeless !== undefined) throw new Error(`waited for ${what}, but ${hopeless}`);
    try {
      const found = await look();
      if (found !== undefined && found !== false && found !== null && found !== 0) {
        return found as Exclude<T, undefined | false | null | 0>;
      }
      last = undefined;
    } catch (thrown) {
      last = thrown;
    }
    if (performance.now() > deadline) {
      const told = options.tell === undefined ? "" : `; ${JSON.stringify(options.tell())}`;
      throw new Error(`${what} did not come within ${options.withinMs} ms${told}`, { cause: last });
    }
    await sleep(options.everyMs ?? 10);
  }
}

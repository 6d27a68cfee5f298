/** The states of a handler's keys, for people: listed, looked at, removed. */
import { CLOCK_UNSET_BEFORE_MS } from "../time.ts";
import type { Consumer } from "./consumer.ts";
import type { Core } from "./core.ts";
import { messageOf } from "../fault.ts";
import { keys } from "./keys.ts";
import { isSealed } from "./seal.ts";
import { readStateRow } from "./state-row.ts";

export interface StateShown {
  readonly key: string;
  /** JSON text. */
  readonly value: string;
  /** When it was written, milliseconds since 1970, and by which version; undefined where that is not known. */
  readonly timeMs: number | undefined;
  readonly version: number | undefined;
}

export interface StateQuery {
  readonly handler: string;
  readonly after?: string | undefined;
  readonly limit: number;
}

export class StateDoor {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** In the order of the keys' bytes, behind the key `after`; undefined when there has never been such a handler. */
  async list({ handler: name, after, limit }: StateQuery): Promise<StateShown[] | undefined> {
    const handler = this.#handler(name);
    if (handler === undefined) return undefined;
    const { disk, damage, writer } = this.#core;
    await writer.synced();
    const range = keys.statesOf(handler.id);
    const from = after === undefined ? range.gte : Buffer.concat([keys.state(handler.id, after), Buffer.of(0)]);
    const shown: StateShown[] = [];
    await disk.walk(
      { gte: from, lt: range.lt },
      (row, bytes) => {
        if (!isSealed(row, bytes)) return true;
        const { value, timeMs, version } = readStateRow(bytes);
        const isOld =
          handler.stateTtlMs !== undefined &&
          timeMs >= CLOCK_UNSET_BEFORE_MS &&
          this.#ageMs(timeMs) >= handler.stateTtlMs;
        if (!isOld) shown.push(shownOf(keys.stateOf(row).key, value, timeMs, version));
        return shown.length < limit;
      },
      (error) => damage.report({ where: "state", from: -1, to: -1, what: messageOf(error) }),
    );
    return shown;
  }

  async get(name: string, key: string): Promise<StateShown | undefined> {
    const handler = this.#handler(name);
    if (handler === undefined) return undefined;
    const { states } = this.#core;
    const [value] = await states.read(handler, [key]);
    if (value === undefined) return undefined;
    const { timeMs, version } = states.written(handler, key);
    return shownOf(key, value, timeMs, version);
  }

  /** One commit; resolves when it is on disk. `removed` is called as it is staged. False when there is none. */
  async remove(name: string, key: string, removed: (handler: number) => void): Promise<boolean> {
    const handler = this.#handler(name);
    if (handler === undefined) return false;
    const { states, writer } = this.#core;
    const [value] = await states.read(handler, [key]);
    if (value === undefined) return false;
    states.stage(writer.group, handler, key, "", 0);
    writer.group.touch(handler);
    removed(handler.id);
    writer.schedule();
    await writer.synced();
    return true;
  }

  #ageMs(timeMs: number): number {
    return this.#core.clock.now() - timeMs;
  }

  #handler(name: string): Consumer | undefined {
    return this.#core.handlers.find((handler) => handler?.name === name);
  }
}

function shownOf(key: string, value: string, timeMs: number, version: number): StateShown {
  return { key, value, timeMs: timeMs === 0 ? undefined : timeMs, version: version === 0 ? undefined : version };
}

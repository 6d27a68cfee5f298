/**
 * State that is too old goes: a slice of rows at a time. Nobody sees it after its time anyway (state.ts); this is for the
 * room that it takes, and gives rows of before there was a time one, from when on it counts.
 */
import type { Consumer } from "./consumer.ts";
import type { Core } from "./core.ts";
import { keys } from "./keys.ts";
import { isSealed } from "./seal.ts";

/** What one slice looks at, at the most: the last row goes beyond the bytes. */
const ROWS_MAX = 512;
const BYTES_MAX = 1024 * 1024;
/** From the end of one pass over a handler's rows to the next: a part of its time, within bounds. */
const PAUSE_SHARE = 0.1;
const PAUSE_MS_MIN = 1000;
const PAUSE_MS_MAX = 60_000;

export class StateSweep {
  readonly #core: Core;
  /** Id of the handler whose turn it is, and the row to go on with. */
  #turn = 0;
  #from: Buffer | undefined;
  /** By id: when the next pass begins, monotonic. */
  readonly #dueMs: number[] = [];

  constructor(core: Core) {
    this.#core = core;
  }

  async slice(): Promise<void> {
    const handler = this.#next();
    if (handler === undefined) return;
    const { states, disk, writer, damage, clock } = this.#core;
    const { ages } = states;
    const range = keys.statesOf(handler.id);
    const rows: [Buffer, Buffer][] = [];
    let bytes = 0;
    let isAll = true;
    await disk.walk(
      this.#from === undefined ? range : { gte: this.#from, lt: range.lt },
      (key, row) => {
        rows.push([key, row]);
        bytes += row.length;
        isAll = rows.length < ROWS_MAX && bytes < BYTES_MAX;
        return isAll;
      },
      (error) => damage.report({ where: "state", from: -1, to: -1, what: String(error) }),
    );
    // What was read may be older than what was forgotten meanwhile: once more.
    if (ages !== states.ages) return;
    let changed = false;
    for (const [key, row] of rows) {
      if (isSealed(key, row) && states.swept(writer.group, handler, keys.stateOf(key).key, row)) changed = true;
    }
    if (changed) {
      writer.group.touch(handler);
      writer.schedule();
    }
    const last = rows.at(-1)?.[0];
    this.#from = isAll || last === undefined ? undefined : Buffer.concat([last, Buffer.of(0)]);
    if (this.#from !== undefined) return;
    const pauseMs = Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, (handler.stateTtlMs ?? 0) * PAUSE_SHARE));
    this.#dueMs[handler.id] = clock.monotonic() + pauseMs;
    this.#turn++;
  }

  /** The one that is under way, or the next one after it whose pass is due. */
  #next(): Consumer | undefined {
    const { handlers, clock } = this.#core;
    const nowMs = clock.monotonic();
    for (let i = 0; i < handlers.length; i++) {
      const id = (this.#turn + i) % handlers.length;
      const handler = handlers[id];
      if (handler?.hasState !== true || handler.stateTtlMs === undefined) continue;
      if ((this.#dueMs[id] ?? 0) > nowMs) continue;
      if (i > 0) this.#from = undefined;
      this.#turn = id;
      return handler;
    }
    return undefined;
  }
}

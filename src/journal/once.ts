/**
 * Events that the gateway makes of its own accord, or for callers that may ask twice: each in one commit with the row that
 * says that it has been made.
 */
import type { EventDraft } from "../event.ts";
import { arrive } from "./arrive.ts";
import type { Core } from "./core.ts";
import type { Receiver } from "./group.ts";
import type { Admission, Room } from "./room.ts";
import type { Ticked, TickMark } from "./ticks.ts";

export class Once {
  readonly #core: Core;
  readonly #room: Room;

  constructor(core: Core, room: Room) {
    this.#core = core;
    this.#room = room;
  }

  /** Up to which instant the handler's schedule has ticked, staged ticks included. */
  lastTick(handler: number): Ticked | undefined {
    return this.#core.ticks.last(handler);
  }

  /** Stages the event, if there is one, as a task of the handler, and that its schedule has ticked up to `mark`. */
  tick(handler: number, mark: TickMark, event: EventDraft | undefined): Admission {
    const { writer, ticks } = this.#core;
    const admission = this.#room.admission();
    if (admission !== "taken") return admission;
    ticks.stage(writer.group, handler, mark);
    if (event !== undefined) arrive(this.#core, event, [handler]);
    writer.schedule();
    return "taken";
  }

  /**
   * Stages the event for `wanted`, and under `key`, 16 bytes of which four say who asks, that it was asked for; committed() follows when it is on disk.
   * What was asked for under the same key within a day, with the same `content`, has its event already: then only the
   * answer is staged, behind it.
   */
  call(
    key: Buffer | undefined,
    content: number,
    event: EventDraft,
    wanted: readonly number[],
    receiver: Receiver,
  ): { readonly at: "taken" | "repeated"; readonly seq: number } | { readonly at: "later" | "refused" | "other" } {
    const { writer, repeats } = this.#core;
    const known = key === undefined ? undefined : repeats.known(key, event.timeMs);
    if (known !== undefined && known.content !== content) return { at: "other" };
    if (known !== undefined) {
      this.#answer(receiver);
      return { at: "repeated", seq: known.seq };
    }
    const admission = this.#room.admission();
    if (admission !== "taken") return { at: admission };
    const seq = arrive(this.#core, event, wanted);
    if (key !== undefined) repeats.stage(writer.group, key, { seq, timeMs: event.timeMs, content });
    this.#answer(receiver);
    return { at: "taken", seq };
  }

  #answer(receiver: Receiver): void {
    const { writer } = this.#core;
    writer.group.receive(receiver, 0);
    writer.schedule();
  }

  /** The handler is gone: when it comes back its schedule begins anew. */
  forgetTicks(handler: number): void {
    const { writer, ticks } = this.#core;
    if (ticks.unstage(writer.group, handler)) writer.schedule();
  }
}

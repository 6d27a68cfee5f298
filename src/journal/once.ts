/**
 * Events that the gateway makes of its own accord, or for callers that may ask twice: each in one commit with the row that
 * says that it has been made.
 */
import type { EventDraft } from "../event.ts";
import { arrive } from "./arrive.ts";
import type { Core } from "./core.ts";
import type { Admission, Room } from "./room.ts";
import type { TickMark } from "./ticks.ts";

export class Once {
  readonly #core: Core;
  readonly #room: Room;

  constructor(core: Core, room: Room) {
    this.#core = core;
    this.#room = room;
  }

  /** Up to which instant the handler's schedule has ticked, staged ticks included. */
  lastTick(handler: number): TickMark | undefined {
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

  /** The handler is gone: when it comes back its schedule begins anew. */
  forgetTicks(handler: number): void {
    const { writer, ticks } = this.#core;
    if (ticks.unstage(writer.group, handler)) writer.schedule();
  }
}

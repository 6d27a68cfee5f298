/**
 * Opening feeds, and what bounds them.
 */
import type { Consumer } from "./consumer.ts";
import { isBrimming } from "./core.ts";
import type { Core, Outbox, OutboxLimits } from "./core.ts";
import type { FeedDoors } from "./feed.ts";
import { HAND_MAX } from "./options.ts";
import { UplinkFeed } from "./outbox-feed.ts";
import { HandlerFeed } from "./task-feed.ts";

/** What the feeds of all handlers together may hold; each may always have the least. */
const TOTAL_BYTES_MAX = 64 * 1024 * 1024;
const ONE_BYTES_MIN = 128 * 1024;

export class Feeds {
  readonly #core: Core;
  readonly #sweep: () => void;
  #open = 0;

  constructor(core: Core, sweep: () => void) {
    this.#core = core;
    this.#sweep = sweep;
  }

  tasks(id: number, keyOf: (topic: string, device: string) => string, wake: () => void): HandlerFeed {
    const core = this.#core;
    const handler = core.handlers[id] as Consumer;
    core.feeds[id]?.close();
    start(handler);
    this.#open++;
    const { feedTasksMax, feedBytesMax } = core.limits;
    const doors: FeedDoors = {
      ...this.#doors(),
      limits: {
        tasksMax: feedTasksMax,
        bytesMax: () => Math.min(feedBytesMax, Math.max(ONE_BYTES_MIN, TOTAL_BYTES_MAX / this.#open)),
        handMax: HAND_MAX,
      },
      head: () => core.committedHead,
      closed: () => {
        this.#open--;
        core.feeds[id] = undefined;
        handler.idleSinceMs = core.clock.monotonic();
      },
    };
    const feed = new HandlerFeed(handler, doors, keyOf, this.#mayTake, wake);
    core.feeds[id] = feed;
    return feed;
  }

  outbox(id: number, limits: OutboxLimits, wake: () => void): UplinkFeed {
    const core = this.#core;
    const outbox = core.outboxes[id] as Outbox;
    const { uplink } = outbox;
    outbox.feed?.close();
    outbox.limits = limits;
    outbox.pages.length = 0;
    start(uplink);
    const { entriesMax = core.limits.feedTasksMax, bytesMax = core.limits.feedBytesMax } = limits;
    const doors: FeedDoors = {
      ...this.#doors(),
      limits: { tasksMax: entriesMax, bytesMax: () => bytesMax, handMax: HAND_MAX },
      head: () => uplink.committed,
      closed: () => {
        outbox.feed = undefined;
        uplink.idleSinceMs = core.clock.monotonic();
      },
    };
    const feed = new UplinkFeed(uplink, doors, outbox.pages, wake);
    outbox.feed = feed;
    this.#sweep();
    return feed;
  }

  /** A start may take long, longer than `retain`: until it is over, nobody who has not come counts as gone. */
  begun(): void {
    const { handlers, outboxes, feeds, clock } = this.#core;
    const idle = [
      ...handlers.filter((handler) => handler !== undefined && feeds[handler.id] === undefined),
      ...outboxes.flatMap((outbox) => (outbox === undefined || outbox.feed !== undefined ? [] : [outbox.uplink])),
    ];
    for (const consumer of idle) consumer.idleSinceMs ??= clock.monotonic();
  }

  #doors(): Pick<FeedDoors, "reader" | "position" | "touched" | "failed"> {
    const core = this.#core;
    return {
      reader: core.reader,
      position: () => core.position,
      touched: (consumer) => {
        core.writer.group.touch(consumer);
        core.writer.schedule();
      },
      failed: (error) => core.log.error({ err: error }, "a feed could not be read"),
    };
  }

  /** Tasks are not handed out while too many are parked, or while their outputs would have no room. */
  readonly #mayTake = (handler: Consumer): boolean => {
    const { limits } = this.#core;
    if (handler.parked >= limits.parkedMax || handler.parkedBytes >= limits.parkedBytesMax) return false;
    return !isBrimming(this.#core);
  };
}

function start(consumer: Consumer): void {
  consumer.rewind();
  consumer.idleSinceMs = undefined;
}

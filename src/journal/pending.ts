/**
 * What waits for handlers and routes, whether somebody runs them or not; and giving it up when a person says so.
 */
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { Core } from "./core.ts";

export interface Pending {
  readonly name: string;
  /** Tasks that are not settled, those in hand included, parked ones not. */
  readonly waiting: number;
  readonly parked: number;
}

/** Of every handler and route for which anything waits. */
export function pendingOf(handlers: readonly (Consumer | undefined)[]): Pending[] {
  return handlers.flatMap((handler) => {
    if (handler === undefined || handler.waiting + handler.parked === 0) return [];
    const { name, waiting, parked } = handler;
    return [{ name, waiting, parked }];
  });
}

/** Gives up, in one commit, all that waits for `handler` by now; resolves with how many tasks, when that is on disk. */
export async function dropPending(core: Core, handler: Consumer): Promise<number> {
  const { writer, parked, header } = core;
  await writer.synced();
  const rows: { key: string; seq: number }[] = [];
  if (handler.parked > 0) await parked.walkHandler(handler, (key, seq) => rows.push({ key, seq }));
  const { group } = writer;
  let count = handler.settleBelow(handler.ordinals, header.head);
  for (const { key, seq } of rows) if (parked.unstage(group, handler, key, seq)) count++;
  if (count === 0) return 0;
  handler.add(COLUMN.droppedAsked, count);
  group.touch(handler);
  writer.schedule();
  await writer.synced();
  return count;
}

/**
 * Room that parked tasks take, under `drop-oldest`: the oldest of the handler that has most of it go. Whoever runs them is
 * told of each, and asked: those of a key that is being run stay.
 */
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { Core } from "./core.ts";

/** False: tasks of that key are being run. */
export type LetsGo = (handler: number, key: string) => boolean;

/** Drops parked tasks of about `bytes`, or all of one handler: the next sweep goes on with another. */
export async function dropParked(core: Core, bytes: number, lets: LetsGo): Promise<void> {
  let most: Consumer | undefined;
  for (const handler of core.handlers) {
    if (handler !== undefined && handler.parkedBytes > (most?.parkedBytes ?? 0)) most = handler;
  }
  if (most === undefined) return;
  const rows: { readonly key: string; readonly seq: number }[] = [];
  await core.parked.walkHandler(most, (key, seq) => rows.push({ key, seq }));
  rows.sort((a, b) => a.seq - b.seq);
  const enough = most.parkedBytes - bytes;
  const { group } = core.writer;
  for (const { key, seq } of rows) {
    if (most.parkedBytes <= enough) break;
    if (!core.parked.has(most.id, seq) || !lets(most.id, key)) continue;
    if (core.parked.unstage(group, most, key, seq)) most.add(COLUMN.droppedFull, 1);
  }
  group.touch(most);
  core.writer.schedule();
}

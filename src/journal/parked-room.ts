/**
 * Room that parked tasks take, under `drop-oldest`: the oldest of the handler that has most of it go. Whoever runs them
 * finds out when it reads them, or settles one that is in its hands (Parked.has).
 */
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { Core } from "./core.ts";

/** Drops parked tasks of about `bytes`, or all of one handler: the next sweep goes on with another. */
export async function dropParked(core: Core, bytes: number): Promise<void> {
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
    if (core.parked.unstage(group, most, key, seq)) most.add(COLUMN.droppedFull, 1);
  }
  group.touch(most);
  core.writer.schedule();
}

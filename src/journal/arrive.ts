/**
 * An event arrives: its record goes into the open page, and a task is counted for each handler that wants it. Who waits
 * for that, and whether there is room, is the caller's.
 */
import { eventRecordBytesMax, writeEventRecord } from "../event.ts";
import type { EventDraft } from "../event.ts";
import { COLUMN } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { Core } from "./core.ts";

/** Stages it, and returns its number. `wanted` are all different. */
export function arrive(core: Core, event: EventDraft, wanted: readonly number[]): number {
  const { events, header, handlers } = core;
  const { group } = core.writer;
  const bytes = eventRecordBytesMax(event, wanted.length);
  if (!events.takes(bytes, wanted.length)) group.pages.push(events.finish());
  const seq = header.head++;
  const into = events.room(bytes, seq, event.timeMs);
  const { at } = events;
  for (let i = 0; i < wanted.length; i++) {
    const handler = handlers[wanted[i] as number] as Consumer;
    if (handler.ordinals === handler.progress.base) handler.nextSeq = seq;
    handler.columns[COLUMN.arrived] = (handler.columns[COLUMN.arrived] as number) + 1;
    events.countTask(handler);
    group.touch(handler);
  }
  core.accepted += wanted.length;
  const end = writeEventRecord(into, at, event, wanted);
  events.wrote(end);
  group.bytes += end - at;
  return seq;
}

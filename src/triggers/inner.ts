/**
 * Inner topics: what an event that no device published has where others have their topic. `$kind/what/subject`, such as
 * `$schedule/tick/report` or `$on/device.connected/press-7`. Nobody can publish there, for brokers keep `$` to themselves, and
 * no filter of a handler matches it unless it says so.
 */
import type { EventKind } from "../event.ts";
import type { KeyOf } from "./key.ts";
import type { TriggerConfig } from "./triggers.ts";

/** Longer subjects are cut: a topic has at most 65,535 bytes. */
const SUBJECT_LENGTH_MAX = 1024;

export function innerTopic(kind: Exclude<EventKind, "topic">, what: string, subject: string): string {
  return `$${kind}/${what}/${subject.slice(0, SUBJECT_LENGTH_MAX)}`;
}

/** The subject of an inner topic of that kind and sort; undefined of any other topic. */
export function innerSubject(topic: string, kind: Exclude<EventKind, "topic">, what: string): string | undefined {
  const start = innerTopic(kind, what, "");
  return topic.startsWith(start) ? topic.slice(start.length) : undefined;
}

export function isInner(topic: string): boolean {
  return topic.startsWith("$");
}

/** Order and state of such events: by a key that is the same for all, by device where there is one, else by handler. */
export function innerKey({ key, name = "" }: TriggerConfig): KeyOf {
  if (key !== undefined && !key.includes("{")) return () => key;
  return (_topic, device) => (device === "" ? name : device);
}

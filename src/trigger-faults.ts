/** The part of the table of faults that is of triggers and chains: see faults.ts. */
import { kind } from "./fault-kind.ts";

export const TRIGGER_FAULTS = {
  TOPIC_FILTER_INVALID: kind(
    "handler",
    false,
    "Write levels separated by /, each plain text, {name} or +, and # only as the last.",
  ),
  TRIGGER_KEY_INVALID: kind(
    "handler",
    false,
    "Use names of levels that each of the handler's filters has, or {device} or {topic}.",
  ),
  TRIGGER_SCHEDULE_INVALID: kind(
    "handler",
    false,
    "Write five fields (minute, hour, day, month, weekday) or six with seconds first, as in `*/5 * * * *`, and a time zone such as Europe/Berlin.",
  ),
  TASK_CHAIN_TOO_LONG: kind(
    "handler",
    false,
    "End the loop: a handler publishes to a topic that leads back to it. A chain that is meant to be longer needs a higher `handlers.hopsMax`.",
  ),
  TASK_CHAIN_REFUSED: kind(
    "box",
    true,
    "Nothing to do if it passes: the event is tried again. Else raise `journal.sizeMax`, or find what its events wait for.",
  ),
} as const;

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
  TRIGGER_ON_UNKNOWN: kind("handler", false, "Wait for what docs/triggers.md lists under `on`."),
  TRIGGER_WEBHOOK_TAKEN: kind(
    "handler",
    false,
    "Give it a path of its own, or the same methods, auth, types and limits as the other handler's.",
  ),
  WEBHOOK_UNKNOWN: kind("usage", false, "Check the path: `sluice status` lists what handlers are run by."),
  WEBHOOK_METHOD: kind("usage", false, "Use a method that the handler's `webhook.methods` names."),
  WEBHOOK_UNAUTHORIZED: kind("usage", false, "Send what the handler's `webhook.auth` asks for; see docs/triggers.md."),
  WEBHOOK_DENIED: kind("usage", false, "Call it from a program on this box, or give the webhook an `auth`."),
  WEBHOOK_TYPE: kind("usage", false, "Send a content type that the handler's `webhook.types` names, not packed."),
  WEBHOOK_TOO_LARGE: kind("usage", false, "Send less; of the body the handler's `webhook.bodyMax` may be raised."),
  WEBHOOK_KEY: kind("usage", false, "Draw a new key for each call, and use it again only to repeat that very call."),
  WEBHOOK_RATE: kind("usage", true, "Wait as Retry-After says; or raise the handler's `webhook.perSecond`."),
  WEBHOOK_BUSY: kind("box", true, "Wait as Retry-After says and repeat the call, with its idempotency key."),
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

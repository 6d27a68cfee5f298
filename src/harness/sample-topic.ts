/** A topic that a handler wants, for events that come without one. */
import { Fault } from "../fault.ts";

/** Names are their own level, wildcards are "x": "plant/{line}/+/#" is plant/line/x/x. Throws DEPLOY_NO_TRIGGER. */
export function sampleTopic(filters: readonly string[]): string {
  const filter = filters[0];
  if (filter === undefined) throw new Fault("DEPLOY_NO_TRIGGER", "the handler has no topic, so name one");
  const levels = filter.split("/").map((level) => {
    if (level === "+" || level === "#") return "x";
    return level.replace(/^\{(.*)\}$/, "$1");
  });
  return levels.join("/");
}

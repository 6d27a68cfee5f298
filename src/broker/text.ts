/**
 * MQTT strings: what may stand in a topic, a filter, a client id or a user name. Pure.
 *
 * UTF-8 must be well formed [MQTT-1.5.3-1] and without U+0000 [MQTT-1.5.3-2]. Control characters and non-characters
 * may be refused (§1.5.3), and are: they end up in logs, file names and other people's brokers.
 */
import { isUtf8 } from "node:buffer";

/** Levels of a topic or filter. aedes' matcher throws beyond it. */
export const TOPIC_LEVELS_MAX = 100;

const UNFIT =
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  /[\u0000-\u001F\u007F-\u009F\uFDD0-\uFDEF\uFFFE\uFFFF]|[\uD83F\uD87F\uD8BF\uD8FF\uD93F\uD97F\uD9BF\uD9FF\uDA3F\uDA7F\uDABF\uDAFF\uDB3F\uDB7F\uDBBF\uDBFF][\uDFFE\uDFFF]/;

const SLASH = 47;

/** The text of these bytes, or undefined when MQTT does not allow it. */
export function readText(bytes: Buffer, start: number, end: number): string | undefined {
  if (!isUtf8(bytes.subarray(start, end))) return undefined;
  const text = bytes.utf8Slice(start, end);
  return UNFIT.test(text) ? undefined : text;
}

/** Why `topic` cannot be published to, or undefined when it can. */
export function topicFlaw(topic: string): string | undefined {
  if (topic === "") return "an empty topic [MQTT-4.7.3-1]";
  if (topic.includes("+") || topic.includes("#")) return "a wildcard in a topic [MQTT-3.3.2-2]";
  if (tooDeep(topic)) return `a topic of more than ${TOPIC_LEVELS_MAX} levels`;
  return undefined;
}

/** Why `filter` cannot be subscribed to, or undefined when it can. */
export function filterFlaw(filter: string): string | undefined {
  if (filter === "") return "an empty filter [MQTT-4.7.3-1]";
  if (tooDeep(filter)) return `a filter of more than ${TOPIC_LEVELS_MAX} levels`;
  const end = filter.length - 1;
  for (let i = 0; i <= end; i++) {
    const char = filter[i];
    if (char !== "#" && char !== "+") continue;
    const startsLevel = i === 0 || filter.charCodeAt(i - 1) === SLASH;
    if (char === "#" && (i !== end || !startsLevel)) return "# elsewhere than alone in the last level [MQTT-4.7.1-2]";
    if (char === "+" && (!startsLevel || (i !== end && filter.charCodeAt(i + 1) !== SLASH))) {
      return "+ beside other characters in its level [MQTT-4.7.1-3]";
    }
  }
  return undefined;
}

function tooDeep(topic: string): boolean {
  let levels = 1;
  for (let i = 0; i < topic.length; i++) if (topic.charCodeAt(i) === SLASH) levels++;
  return levels > TOPIC_LEVELS_MAX;
}

/**
 * Leaf: topic filters as handlers write them. `plant/{line}/+/#` is the MQTT filter `plant/+/+/#` whose second level
 * has a name; a level is a name, `+`, `#` (last only) or plain text [MQTT-4.7.1].
 */
import { Fault } from "./fault.ts";

export interface TopicFilter {
  /** As the user wrote it. */
  readonly text: string;
  /** As MQTT knows it. */
  readonly filter: string;
  /** Name of each level, or undefined where it has none; same length as the filter has levels. */
  readonly names: readonly (string | undefined)[];
}

const NAMED_LEVEL = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/;
const FILTER_BYTES_MAX = 65_535;

/** Throws Fault TOPIC_FILTER_INVALID, saying which level is wrong and how to write it. */
export function parseTopicFilter(text: string): TopicFilter {
  const refuse = (why: string): Fault => new Fault("TOPIC_FILTER_INVALID", `topic filter "${text}": ${why}`);
  if (text === "") throw refuse("it is empty");
  if (Buffer.byteLength(text) > FILTER_BYTES_MAX) throw refuse("it is longer than 65,535 bytes");
  const levels = text.split("/");
  const names: (string | undefined)[] = [];
  const plain: string[] = [];
  for (const [index, level] of levels.entries()) {
    const name = NAMED_LEVEL.exec(level)?.[1];
    if (name !== undefined && names.includes(name)) throw refuse(`the name {${name}} stands there twice`);
    if (level === "#" && index < levels.length - 1) throw refuse("# may only be the last level");
    if (level.length > 1 && /[+#]/.test(level)) throw refuse(`level "${level}" mixes a wildcard with text`);
    if (name === undefined && /[{}]/.test(level)) throw refuse(`level "${level}" is no {name}: a name fills its level`);
    if (level.includes("\0")) throw refuse("it contains U+0000");
    names.push(name);
    plain.push(name === undefined ? level : "+");
  }
  return { text, filter: plain.join("/"), names };
}

/** The named levels of `topic`, or undefined when the filter does not match it [MQTT-4.7.1-2, MQTT-4.7.2-1]. */
export function matchTopic(filter: TopicFilter, topic: string): Record<string, string> | undefined {
  const wanted = filter.filter.split("/");
  const levels = topic.split("/");
  if (topic.startsWith("$") && (wanted[0] === "+" || wanted[0] === "#")) return undefined;
  const params: Record<string, string> = {};
  // By index: handlers' isolates run this too, and a handler may have patched what iterates.
  for (let index = 0; index < wanted.length; index++) {
    const want = wanted[index] as string;
    if (want === "#") return params;
    const level = levels[index];
    if (level === undefined) return undefined;
    if (want !== "+" && want !== level) return undefined;
    const name = filter.names[index];
    if (name !== undefined) params[name] = level;
  }
  return levels.length === wanted.length ? params : undefined;
}

/**
 * Keys: what orders a handler's tasks and scopes its state. A template such as `{machine}` or `{line}/{device}` takes
 * the named levels of the filter that matched, and `{device}` and `{topic}` of the event. Without one the key is the
 * topic.
 */
import { Fault } from "../fault.ts";
import { matchTopic } from "../topic.ts";
import type { TopicFilter } from "../topic.ts";

export type KeyOf = (topic: string, device: string) => string;

const KEYS_REMEMBERED_MAX = 10_000;
/** Keys become parts of LevelDB keys and of log lines; what is longer is cut, which keeps order and merges states. */
const KEY_LENGTH_MAX = 512;
const PLACEHOLDER = /\{([^{}]*)\}/g;

/** Throws Fault TRIGGER_KEY_INVALID when the template names what some filter does not have. */
export function parseKeyTemplate(template: string | undefined, filters: readonly TopicFilter[]): KeyOf {
  if (template === undefined || template === "{topic}") return (topic) => cut(topic);
  const names = [...template.matchAll(PLACEHOLDER)].map((match) => match[1] as string);
  if (names.length === 0) {
    return () => template;
  }
  for (const name of names) {
    if (name === "device" || name === "topic") continue;
    const lacking = filters.find((filter) => !filter.names.includes(name));
    if (lacking === undefined) continue;
    throw new Fault("TRIGGER_KEY_INVALID", `key "${template}": topic filter "${lacking.text}" has no level {${name}}`);
  }
  if (names.length === 1 && template === "{device}") return (_topic, device) => cut(device);
  const render = (topic: string, device: string): string => {
    const params = firstMatch(filters, topic);
    return cut(
      template.replace(PLACEHOLDER, (_whole, name: string) =>
        name === "device" ? device : name === "topic" ? topic : (params[name] ?? ""),
      ),
    );
  };
  return names.includes("device") ? render : remembering(render);
}

/** For a handler without topic filters: a level may be one of its webhook's path. Else throws Fault TRIGGER_KEY_INVALID. */
export function assertNamesLevels(template: string | undefined, path: TopicFilter | undefined): void {
  for (const [, name] of template?.matchAll(PLACEHOLDER) ?? []) {
    if (name === "device" || name === "topic" || path?.names.includes(name) === true) continue;
    const lacks = path === undefined ? "the handler has no topic, and so" : "the handler's webhook has";
    throw new Fault("TRIGGER_KEY_INVALID", `key "${template}": ${lacks} no level {${name}}`);
  }
}

/** Whether the template names a level of that filter, and no level that it lacks. */
export function namesLevelsOf(template: string | undefined, { names }: TopicFilter): boolean {
  const named = [...(template?.matchAll(PLACEHOLDER) ?? [])].flatMap(([, name = ""]) => name);
  const levels = named.filter((name) => name !== "device" && name !== "topic");
  return levels.length > 0 && levels.every((name) => names.includes(name));
}

function cut(key: string): string {
  return key.length <= KEY_LENGTH_MAX ? key : key.slice(0, KEY_LENGTH_MAX);
}

function firstMatch(filters: readonly TopicFilter[], topic: string): Record<string, string> {
  for (const filter of filters) {
    const params = matchTopic(filter, topic);
    if (params !== undefined) return params;
  }
  // A task from before a deploy may carry a topic that no filter of the new version matches: it still needs a key.
  return {};
}

/** A key that follows from the topic alone is worked out once a topic. */
function remembering(render: KeyOf): KeyOf {
  const known = new Map<string, string>();
  return (topic, device) => {
    let key = known.get(topic);
    if (key === undefined) {
      key = render(topic, device);
      if (known.size >= KEYS_REMEMBERED_MAX) known.clear();
      known.set(topic, key);
    }
    return key;
  };
}

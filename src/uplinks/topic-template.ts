/**
 * The topic that an output goes out on: `{gateway}/{handler}` and the like, compiled once. Values from outside cannot
 * break out of it: the characters that MQTT forbids in a topic name become `_` [MQTT-3.3.2-2].
 */
import type { OutboxEntry } from "../task.ts";

export const TOPIC_DEFAULT = "{gateway}/{handler}";
const NAMES = ["gateway", "handler", "type", "subject", "key", "topic"] as const;
type Name = (typeof NAMES)[number];

const PLACE = /\{([^{}]*)\}/g;
// oxlint-disable-next-line no-control-regex -- U+0000 is forbidden in topics, and servers may hang up on the others
const FORBIDDEN = /[+#\u0000-\u001f\u007f]/g;
// oxlint-disable-next-line no-control-regex -- the same, without the state that /g keeps
const HAS_FORBIDDEN = /[+#\u0000-\u001f\u007f]/;

/** Why `template` cannot be used, or undefined when it can. */
export function templateFlaw(template: string): string | undefined {
  for (const [place, name] of template.matchAll(PLACE)) {
    if (!NAMES.includes(name as Name)) return `${place} is none of {${NAMES.join("}, {")}}`;
  }
  return HAS_FORBIDDEN.test(template) ? "a topic to publish on has no +, # or control characters" : undefined;
}

/** Returns the topic of each entry. An entry without a topic of its own gets the default one where `{topic}` is all. */
export function topicTemplate(
  template: string,
  gatewayId: string,
  handlerName: (handler: number) => string,
): (entry: OutboxEntry) => string {
  const names = [...template.matchAll(PLACE)].map(([, name]) => name as Name);
  const texts = template.split(PLACE).filter((_, i) => i % 2 === 0);
  const fallback = (entry: OutboxEntry): string => clean(`${gatewayId}/${handlerName(entry.handler)}`);
  const render = (entry: OutboxEntry): string => {
    let topic = texts[0] ?? "";
    for (let i = 0; i < names.length; i++) {
      topic += clean(valueOf(names[i] as Name, entry, gatewayId, handlerName)) + (texts[i + 1] ?? "");
    }
    return topic === "" ? fallback(entry) : topic;
  };
  if (names.some((name) => name !== "gateway" && name !== "handler")) return render;
  const byHandler = new Map<number, string>();
  return (entry) => {
    let topic = byHandler.get(entry.handler);
    if (topic === undefined) {
      topic = render(entry);
      byHandler.set(entry.handler, topic);
    }
    return topic;
  };
}

function valueOf(name: Name, entry: OutboxEntry, gatewayId: string, handlerName: (handler: number) => string): string {
  switch (name) {
    case "gateway":
      return gatewayId;
    case "handler":
      return handlerName(entry.handler);
    default:
      return entry[name];
  }
}

function clean(value: string): string {
  const text = HAS_FORBIDDEN.test(value) ? value.replaceAll(FORBIDDEN, "_") : value;
  return text.isWellFormed() ? text : text.toWellFormed();
}

/**
 * Trigger kind `topic`: a device's publish is an event for every handler with a filter that matches its topic, once a
 * handler however many of its filters match.
 *
 * Filters live in a trie (qlobber, the one aedes matches with), and what a topic came to is remembered: devices publish
 * to the same topics all day, so a known topic costs one map lookup whether there is one filter or 10,000. A handler
 * that comes or goes empties that memory.
 */
import { Qlobber } from "qlobber";
import { matchTopic, parseTopicFilter } from "../topic.ts";
import type { TopicFilter } from "../topic.ts";
import { parseKeyTemplate } from "./key.ts";
import type { KeyOf } from "./key.ts";
import type { Trigger, TriggerConfig } from "./triggers.ts";

/** Topics whose matches are remembered; when full the memory starts anew. */
const REMEMBERED_TOPICS_MAX = 50_000;
const NOBODY: readonly number[] = [];

export class TopicTrigger implements Trigger {
  readonly kind = "topic";
  readonly #trie = new Qlobber<number>({
    wildcard_one: "+",
    wildcard_some: "#",
    separator: "/",
    match_empty_levels: true,
  });
  readonly #filters = new Map<number, readonly TopicFilter[]>();
  #remembered = new Map<string, readonly number[]>();

  bind(handler: number, config: TriggerConfig): KeyOf | undefined {
    const filters = config.topics.map(parseTopicFilter);
    const keyOf = filters.length === 0 ? undefined : parseKeyTemplate(config.key, filters);
    this.unbind(handler);
    if (keyOf === undefined) return undefined;
    this.#filters.set(handler, filters);
    for (const { filter } of filters) this.#trie.add(filter, handler);
    this.#remembered.clear();
    return keyOf;
  }

  unbind(handler: number): void {
    for (const { filter } of this.#filters.get(handler) ?? []) this.#trie.remove(filter, handler);
    this.#filters.delete(handler);
    this.#remembered.clear();
  }

  match(topic: string): readonly number[] {
    const known = this.#remembered.get(topic);
    if (known !== undefined) return known;
    const wanted = this.#match(topic);
    if (this.#remembered.size >= REMEMBERED_TOPICS_MAX) this.#remembered.clear();
    this.#remembered.set(topic, wanted);
    return wanted;
  }

  #match(topic: string): readonly number[] {
    const found = new Set(this.#trie.match(topic));
    // The trie knows nothing of $-topics, which wildcards at the first level must not match [MQTT-4.7.2-1].
    if (topic.startsWith("$")) {
      for (const handler of found) {
        const filters = this.#filters.get(handler) ?? [];
        if (!filters.some((filter) => matchTopic(filter, topic) !== undefined)) found.delete(handler);
      }
    }
    return found.size === 0 ? NOBODY : [...found].sort((a, b) => a - b);
  }
}

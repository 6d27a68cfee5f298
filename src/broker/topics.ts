/**
 * Topics seen lately, so that a publish costs one map look-up: the bytes read as Latin-1 (a copy without decoding) lead
 * to the checked text and to the number of local subscriptions to it. Bounded by two generations: when the young
 * half is full it becomes the old one, and what is not asked for again is forgotten.
 */
import type { Filters } from "./filters.ts";
import { readText, topicFlaw } from "./text.ts";

const TOPICS_MAX = 16_384;
/** Longer ones are checked each time. */
const CACHED_BYTES_MAX = 256;

export interface Topic {
  readonly text: string;
  /** Why it cannot be published to. */
  readonly flaw: string | undefined;
  /** Starts with $: a broker's own. */
  readonly reserved: boolean;
  /** Filters.generation at which `audience` was found. */
  generation: number;
  audience: number;
}

export class Topics {
  readonly #filters: Filters;
  #young = new Map<string, Topic>();
  #old = new Map<string, Topic>();

  constructor(filters: Filters) {
    this.#filters = filters;
  }

  /** The topic that lies in `bytes` from `start` to `end`. */
  read(bytes: Buffer, start: number, end: number): Topic {
    if (end - start > CACHED_BYTES_MAX) return check(bytes, start, end);
    const key = bytes.latin1Slice(start, end);
    const known = this.#young.get(key);
    if (known !== undefined) return known;
    const topic = this.#old.get(key) ?? check(bytes, start, end);
    if (this.#young.size >= TOPICS_MAX / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, topic);
    return topic;
  }

  /** How many local subscriptions match it. */
  audience(topic: Topic): number {
    if (topic.generation !== this.#filters.generation) {
      topic.generation = this.#filters.generation;
      topic.audience = this.#filters.audience(topic.text);
    }
    return topic.audience;
  }
}

function check(bytes: Buffer, start: number, end: number): Topic {
  const text = readText(bytes, start, end);
  const flaw = text === undefined ? "text in a topic that MQTT does not allow [MQTT-1.5.3-1]" : topicFlaw(text);
  return { text: text ?? "", flaw, reserved: text?.startsWith("$") === true, generation: -1, audience: 0 };
}

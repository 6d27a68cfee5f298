/**
 * Door of the triggers: what makes events for handlers.
 *
 * Each kind of trigger is one file and one line in {@link KINDS}. A kind is told which handlers exist and what their
 * config asks of it (`bind`, `unbind`), and answers which handlers want what happened (`match`). A kind that makes
 * events of its own accord, rather than from what devices publish, is given the pipeline's `accept` when it is opened.
 *
 * T1  A handler gets an event once, however many of its filters match.
 * T2  What `match` costs does not depend on how many handlers and filters there are, once a topic has been seen.
 * T3  `bind` either takes effect as a whole or throws a Fault and changes nothing.
 */
import type { EventKind } from "../event.ts";
import { isInner } from "./inner.ts";
import { assertNamesLevels } from "./key.ts";
import type { KeyOf } from "./key.ts";
import type { ScheduleConfig } from "./plan.ts";
import { OnTrigger } from "./on.ts";
import type { OnConfig } from "./on.ts";
import { ScheduleTrigger } from "./schedule.ts";
import { TopicTrigger } from "./topic.ts";
import { webhookFilter, webhookTopic, WebhookTrigger } from "./webhook.ts";
import type { WebhookConfig } from "./webhook.ts";

export type { KeyOf } from "./key.ts";
export type { ScheduleConfig } from "./plan.ts";
export { Ticker } from "./ticker.ts";
export { Folders } from "./folders.ts";
export { Hooks } from "./hooks.ts";
export { Notices } from "./notices.ts";
export { NOTICES } from "./on.ts";
export { webhookTopic } from "./webhook.ts";
export { requestText } from "./request.ts";
export type { WebhookConfig } from "./webhook.ts";

/** What a handler's config says of its triggers. */
export interface TriggerConfig {
  /** Topic filters, named levels allowed; empty when the handler has no topic trigger. */
  readonly topics: readonly string[];
  /** Key template; the topic when undefined. */
  readonly key: string | undefined;
  /** The handler's name: the key of what comes from nobody's topic. */
  readonly name?: string;
  readonly schedule?: ScheduleConfig | undefined;
  readonly webhook?: WebhookConfig | undefined;
  readonly on?: readonly OnConfig[];
}

export interface Trigger {
  readonly kind: EventKind;
  /** How to tell the key of this handler's events, or undefined when its config asks nothing of this kind. */
  bind(handler: number, config: TriggerConfig): KeyOf | undefined;
  unbind(handler: number): void;
  /** Throws the Fault for which bind() would refuse the config because of other handlers. */
  vet?(handler: number, config: TriggerConfig): void;
  /** Ids of the handlers that want an event of this kind on `topic`, rising. Shared: never written to. */
  match(topic: string): readonly number[];
}

const KINDS: readonly (() => Trigger)[] = [
  () => new TopicTrigger(),
  () => new ScheduleTrigger(),
  () => new WebhookTrigger(),
  () => new OnTrigger(),
];
const byTopic: KeyOf = (topic) => topic;

/** Filters whose named levels an event's `params` are taken from: its topics', and those of its webhook's path. */
export function namedLevels({ topics, webhook }: Pick<TriggerConfig, "topics" | "webhook">): readonly string[] {
  return webhook === undefined ? topics : [...topics, webhookTopic(webhook.path)];
}

export class Triggers {
  readonly #byKind = new Map<EventKind, Trigger>();
  readonly topic: Trigger;
  readonly schedule: ScheduleTrigger;
  readonly webhook: WebhookTrigger;
  readonly on: OnTrigger;

  constructor() {
    for (const make of KINDS) {
      const trigger = make();
      this.#byKind.set(trigger.kind, trigger);
    }
    this.topic = this.#byKind.get("topic") as Trigger;
    this.schedule = this.#byKind.get("schedule") as ScheduleTrigger;
    this.webhook = this.#byKind.get("webhook") as WebhookTrigger;
    this.on = this.#byKind.get("on") as OnTrigger;
  }

  /** Throws the Fault of the first kind that would refuse the config. */
  check(config: TriggerConfig): void {
    if (config.topics.length === 0) {
      assertNamesLevels(config.key, config.webhook === undefined ? undefined : webhookFilter(config.webhook.path));
    }
    for (const make of KINDS) make().bind(0, config);
  }

  /** Throws the Fault with which `bind` would refuse the config, beside what the other handlers have. */
  vet(handler: number, config: TriggerConfig): void {
    this.check(config);
    for (const trigger of this.#byKind.values()) trigger.vet?.(handler, config);
  }

  /** Throws the Fault of the first kind that refuses the config; then no kind has changed (T3). */
  bind(handler: number, config: TriggerConfig): KeyOf {
    this.vet(handler, config);
    const inner = new Map<string, KeyOf>();
    let keyOf = byTopic;
    for (const trigger of this.#byKind.values()) {
      const bound = trigger.bind(handler, config);
      if (trigger.kind === "topic") keyOf = bound ?? byTopic;
      else if (bound !== undefined) inner.set(trigger.kind, bound);
    }
    // Events of a kind that the handler had before a deploy still need a key.
    const [other] = inner.values();
    if (other === undefined) return keyOf;
    return (topic, device) => {
      if (!isInner(topic)) return keyOf(topic, device);
      return (inner.get(topic.slice(1, topic.indexOf("/"))) ?? other)(topic, device);
    };
  }

  unbind(handler: number): void {
    for (const trigger of this.#byKind.values()) trigger.unbind(handler);
  }

  match(kind: EventKind, topic: string): readonly number[] {
    if (kind === "topic") return this.topic.match(topic);
    return this.#byKind.get(kind)?.match(topic) ?? [];
  }
}

/**
 * Trigger kind `webhook`: which handlers are called at which path, and what a call must be like. Calls are hooks.ts's.
 *
 * A level of a path may be a `{name}`. Where several paths fit a call, the one with plain text at the first level that
 * differs has it.
 */
import { Fault } from "../fault.ts";
import { matchTopic, parseTopicFilter } from "../topic.ts";
import type { TopicFilter } from "../topic.ts";
import { innerKey, innerSubject, innerTopic } from "./inner.ts";
import { namesLevelsOf, parseKeyTemplate } from "./key.ts";
import type { KeyOf } from "./key.ts";
import type { Trigger, TriggerConfig } from "./triggers.ts";

/** Who may call: bearers of the gateway's own token, of a secret, who signs with a secret, or anybody on the box. */
export type WebhookAuth =
  | "operator"
  | "none"
  | { readonly token: string }
  | {
      readonly hmac: {
        readonly secret: string;
        readonly header: string;
        /** The signature is then over `<timestamp>.<body>`, and a timestamp too far off is refused. */
        readonly timestampHeader: string | undefined;
        readonly toleranceMs: number;
      };
    };

export interface WebhookConfig {
  /** Below /hooks: "/orders/{id}". */
  readonly path: string;
  readonly methods: readonly string[];
  readonly auth: WebhookAuth;
  /** Media types, "text/*" included. */
  readonly types: readonly string[];
  readonly bodyBytesMax: number;
  /** Header that names a call, so that its repeat is known. */
  readonly idempotencyHeader: string;
  /** Headers that the handler gets. */
  readonly headers: readonly string[];
  readonly perSecond: number;
}

const WHAT = "call";

/** Longer paths are nobody's. */
const PATH_LENGTH_MAX = 1000;

interface Bound {
  readonly path: TopicFilter;
  readonly config: WebhookConfig;
  readonly handlers: number[];
}

export class WebhookTrigger implements Trigger {
  readonly kind = "webhook";
  /** By path, names left out; those with plain text sooner come first. */
  #byShape = new Map<string, Bound>();

  bind(handler: number, config: TriggerConfig): KeyOf | undefined {
    this.vet(handler, config);
    this.unbind(handler);
    const { webhook } = config;
    if (webhook === undefined) return undefined;
    const shape = shapeOf(webhook.path);
    const handlers = [...(this.#byShape.get(shape)?.handlers ?? []), handler].sort((a, b) => a - b);
    this.#byShape.set(shape, { path: parseTopicFilter(webhook.path), config: webhook, handlers });
    this.#byShape = new Map([...this.#byShape].sort(([a], [b]) => (a < b ? -1 : 1)));
    const filter = webhookFilter(webhook.path);
    return namesLevelsOf(config.key, filter) ? parseKeyTemplate(config.key, [filter]) : innerKey(config);
  }

  /** Throws Fault TRIGGER_WEBHOOK_TAKEN: several handlers may have one path, if they want the same of its callers. */
  vet(handler: number, { webhook }: TriggerConfig): void {
    if (webhook === undefined) return;
    const bound = this.#byShape.get(shapeOf(webhook.path));
    if (bound === undefined || bound.handlers.every((id) => id === handler)) return;
    if (JSON.stringify(bound.config) === JSON.stringify(webhook)) return;
    const message = `another handler has the webhook ${webhook.path}, and wants something else of its callers`;
    throw new Fault("TRIGGER_WEBHOOK_TAKEN", message);
  }

  unbind(handler: number): void {
    for (const [shape, bound] of this.#byShape) {
      if (!bound.handlers.includes(handler)) continue;
      const handlers = bound.handlers.filter((id) => id !== handler);
      if (handlers.length === 0) this.#byShape.delete(shape);
      else this.#byShape.set(shape, { ...bound, handlers });
    }
  }

  match(topic: string): readonly number[] {
    const path = innerSubject(topic, "webhook", WHAT);
    return path === undefined ? [] : (this.#find(path)?.handlers ?? []);
  }

  at(path: string): WebhookConfig | undefined {
    return this.#find(path)?.config;
  }

  #find(path: string): Bound | undefined {
    if (path.length > PATH_LENGTH_MAX) return undefined;
    const plain = this.#byShape.get(path);
    if (plain !== undefined) return plain;
    for (const bound of this.#byShape.values()) {
      const params = bound.path.text.includes("{") ? matchTopic(bound.path, path) : undefined;
      if (params !== undefined && Object.values(params).every((level) => level !== "")) return bound;
    }
    return undefined;
  }
}

/** A name sorts behind whatever text a path may have. */
function shapeOf(path: string): string {
  return path.replace(/\{[^{}]*\}/g, "\uffff");
}

/** The filter of the topics that a path's events have. */
export function webhookFilter(path: string): TopicFilter {
  return parseTopicFilter(webhookTopic(path));
}

export function webhookTopic(path: string): string {
  return innerTopic("webhook", WHAT, path);
}

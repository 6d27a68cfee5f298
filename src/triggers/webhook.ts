/** Trigger kind `webhook`: which handlers are called at which path, and what a call must be like. Calls are hooks.ts's. */
import { Fault } from "../fault.ts";
import { innerKey, innerSubject, innerTopic } from "./inner.ts";
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
  /** Below /hooks: "/orders". */
  readonly path: string;
  readonly methods: readonly string[];
  readonly auth: WebhookAuth;
  /** Media types, "text/*" included. */
  readonly types: readonly string[];
  readonly bodyBytesMax: number;
  /** Header that names a call, so that its repeat is known. */
  readonly idempotencyHeader: string;
  readonly perSecond: number;
}

const WHAT = "call";

interface Bound {
  readonly config: WebhookConfig;
  readonly handlers: number[];
}

export class WebhookTrigger implements Trigger {
  readonly kind = "webhook";
  readonly #byPath = new Map<string, Bound>();

  bind(handler: number, config: TriggerConfig): KeyOf | undefined {
    this.vet(handler, config);
    this.unbind(handler);
    const { webhook } = config;
    if (webhook === undefined) return undefined;
    const handlers = [...(this.#byPath.get(webhook.path)?.handlers ?? []), handler].sort((a, b) => a - b);
    this.#byPath.set(webhook.path, { config: webhook, handlers });
    return innerKey(config);
  }

  /** Throws Fault TRIGGER_WEBHOOK_TAKEN: several handlers may have one path, if they want the same of its callers. */
  vet(handler: number, { webhook }: TriggerConfig): void {
    if (webhook === undefined) return;
    const bound = this.#byPath.get(webhook.path);
    if (bound === undefined || bound.handlers.every((id) => id === handler)) return;
    if (JSON.stringify(bound.config) === JSON.stringify(webhook)) return;
    const message = `another handler has the webhook ${webhook.path}, and wants something else of its callers`;
    throw new Fault("TRIGGER_WEBHOOK_TAKEN", message);
  }

  unbind(handler: number): void {
    for (const [path, { config, handlers }] of this.#byPath) {
      if (!handlers.includes(handler)) continue;
      const rest = handlers.filter((id) => id !== handler);
      if (rest.length === 0) this.#byPath.delete(path);
      else this.#byPath.set(path, { config, handlers: rest });
    }
  }

  match(topic: string): readonly number[] {
    const path = innerSubject(topic, "webhook", WHAT);
    return path === undefined ? [] : (this.#byPath.get(path)?.handlers ?? []);
  }

  at(path: string): WebhookConfig | undefined {
    return this.#byPath.get(path)?.config;
  }
}

export function webhookTopic(path: string): string {
  return innerTopic("webhook", WHAT, path);
}

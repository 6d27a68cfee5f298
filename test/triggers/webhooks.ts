/** Rig: what a handler says of its webhook. */
import type { TriggerConfig } from "../../src/triggers/triggers.ts";
import type { WebhookConfig } from "../../src/triggers/webhook.ts";

export function webhook(more: Partial<WebhookConfig> = {}): WebhookConfig {
  return {
    path: "/orders",
    methods: ["POST"],
    auth: "none",
    types: ["application/json", "text/*"],
    bodyBytesMax: 1000,
    idempotencyHeader: "Idempotency-Key",
    headers: ["Content-Type"],
    perSecond: 1000,
    ...more,
  };
}

export const wants = (config: WebhookConfig): TriggerConfig => ({
  topics: [],
  key: undefined,
  name: "order",
  webhook: config,
});

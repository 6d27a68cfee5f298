/** Whose a call is, by its path. */
import { describe, expect, it } from "vitest";
import { Triggers } from "../../src/triggers/triggers.ts";
import { WebhookTrigger } from "../../src/triggers/webhook.ts";
import { triggerContract } from "../contracts/trigger.ts";
import { wants, webhook } from "./webhooks.ts";

triggerContract("webhook", {
  make: () => new WebhookTrigger(),
  asks: wants(webhook()),
  covered: "$webhook/call//orders",
  elsewhere: "$webhook/call//others",
  refused: undefined,
});

describe("a webhook's path", () => {
  it("may be that of several handlers that want the same of callers, and not of others, which changes nothing (T3)", () => {
    const triggers = new Triggers();
    triggers.bind(1, wants(webhook()));
    triggers.bind(2, wants(webhook()));
    const other = { ...wants(webhook({ auth: "operator" })), topics: ["a"] };
    expect(() => triggers.bind(3, other)).toThrow("another handler has the webhook /orders");
    expect(triggers.match("topic", "a")).toEqual([]);
    expect(triggers.match("webhook", "$webhook/call//orders")).toEqual([1, 2]);
    triggers.unbind(1);
    triggers.bind(2, wants(webhook({ auth: "operator" })));
    expect(triggers.match("webhook", "$webhook/call//orders")).toEqual([2]);
  });
});

describe("a webhook's path with names", () => {
  const named = { ...wants(webhook({ path: "/lines/{line}/orders" })), key: "{line}" };

  it("is that of all calls that fit, and orders by its names where the key does", () => {
    const triggers = new Triggers();
    const keyOf = triggers.bind(1, named);
    const match = (path: string): readonly number[] => triggers.match("webhook", `$webhook/call/${path}`);
    expect(match("/lines/7/orders")).toEqual([1]);
    for (const other of ["/lines/orders", "/lines//orders", "/lines/7/8/orders", "/lines/7/orders/"]) {
      expect(match(other)).toEqual([]);
    }
    expect(keyOf("$webhook/call//lines/7/orders", "")).toBe("7");
    expect(() => triggers.check({ ...named, key: "{machine}" })).toThrow("webhook has no level {machine}");
  });

  it("gives way to one with plain text, whichever came first, and is one with its like of other names", () => {
    const triggers = new Triggers();
    triggers.bind(1, named);
    triggers.bind(2, wants(webhook({ path: "/lines/new/orders", auth: "operator" })));
    triggers.bind(3, wants(webhook({ path: "/lines/{line}/{what}" })));
    const match = (path: string): readonly number[] => triggers.match("webhook", `$webhook/call/${path}`);
    expect(match("/lines/new/orders")).toEqual([2]);
    expect(match("/lines/7/orders")).toEqual([1]);
    expect(match("/lines/7/parts")).toEqual([3]);
    expect(triggers.webhook.at("/lines/new/orders")?.auth).toBe("operator");
    expect(() => triggers.bind(4, wants(webhook({ path: "/lines/{other}/orders" })))).toThrow("another handler has");
    triggers.unbind(2);
    expect(match("/lines/new/orders")).toEqual([1]);
  });
});

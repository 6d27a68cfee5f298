import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseLines } from "./rig/cloud-lines.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { imbalances } from "./rig/oracle.ts";

const ORDER = `
export const config = { webhook: { path: "/orders/{n}", auth: { token: "shop" } }, to: ["cloud"] };
export default async (event) => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  return { ...event.data, type: event.type, subject: event.subject, request: event.request };
};`;

it("a call that was answered 202 is handled once, across kill -9 and however often it is repeated under its key", async () => {
  await using gateway = await GatewayProcess.start({
    handlers: { "order.js": ORDER },
    config: { secrets: { shop: { env: "SHOP_KEY" } } },
    env: { SHOP_KEY: "a-key-of-the-shop" },
  });
  const call = async (n: number): Promise<string | undefined> => {
    const answer = await fetch(`${gateway.controlUrl}/hooks/orders/${n}?from=shop`, {
      method: "POST",
      body: JSON.stringify({ n }),
      headers: {
        authorization: "Bearer a-key-of-the-shop",
        "content-type": "application/json",
        "idempotency-key": `order-${n}`,
      },
    }).catch(() => undefined);
    if (answer === undefined || answer.status !== 202) return undefined;
    return ((await answer.json()) as { id: string }).id;
  };
  const numbers = Array.from({ length: 60 }, (_, n) => n);
  const ids = new Map<number, string>();
  for (let life = 0; life < 3; life++) {
    const calls = numbers.slice(life * 20, life * 20 + 20).map(async (n) => {
      const id = await call(n);
      if (id !== undefined) ids.set(n, id);
    });
    if (life === 1) await Promise.all(calls);
    else await new Promise((resolve) => setTimeout(resolve, 15));
    await gateway.kill9();
    await Promise.all(calls);
    await gateway.start();
  }
  expect(ids.size).toBeGreaterThanOrEqual(20);
  for (const n of numbers) {
    const id = await call(n);
    expect(id).toBeDefined();
    // Who was answered before hears the same again.
    expect(ids.get(n) ?? id).toBe(id);
  }
  const ledger = await gateway.drained();
  expect(imbalances(ledger)).toEqual([]);
  expect(ledger.events).toMatchObject({ accepted: 60, done: 60 });
  const { lines } = parseLines(readFileSync(join(gateway.folder, "cloud/events.ndjson"), "utf8").trim().split("\n"));
  const handled = [...new Map(lines.map((line) => [line.id, line.data])).values()];
  expect(handled.map(({ n }) => n).toSorted((a, b) => a - b)).toEqual(numbers);
  for (const { n, ...rest } of handled) {
    const request = { method: "POST", query: { from: "shop" }, headers: { "content-type": "application/json" } };
    expect(rest).toMatchObject({ type: "sluice.webhook.call", subject: `/orders/${n}`, request });
  }
  expect(gateway.log.join("\n")).not.toContain("a-key-of-the-shop");
});

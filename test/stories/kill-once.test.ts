/** The gateway dies at each step of what it does of its own accord, or for callers that ask again: ticks, webhooks, the end of states. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { dieAt, steps } from "./rig/last-step.ts";
import { imbalances } from "./rig/oracle.ts";
import { RawClient } from "./rig/raw-client.ts";
import { until } from "./rig/wait.ts";

const ROUND = ["before", "during", "after"];
/** Tables of the journal (journal/keys.ts): what ends a state, what says that a schedule has ticked, what remembers a call. */
const STATES_END = "del:0x22";
const TICKS = "put:0x24";
const CALLS = "put:0x25";

const ticking = (missed: string): string => `
export const config = { schedule: { every: "1s", missed: "${missed}" }, to: ["cloud"] };
export default ({ data }) => ({ missed: "${missed}", at: Date.parse(data.scheduled) / 1000, unsaid: data.missed });`;

const ORDERS = `
export const config = { webhook: "/orders", to: ["cloud"] };
export default (event) => event.data;`;

const counting = (topic: string, more: string): string => `
export const config = { topic: "${topic}/{key}", key: "{key}", to: ["cloud"]${more} };
export default async (event, ctx) => {
  if (event.data.waitMs > 0) await new Promise((resolve) => setTimeout(resolve, event.data.waitMs));
  ctx.state.count = (ctx.state.count ?? 0) + 1;
  return { of: event.topic, n: event.data.n, count: ctx.state.count };
};`;

interface Sent {
  readonly [name: string]: unknown;
}

/** What has come to the cloud: an output that is delivered again, because its receipt was lost, counts once. */
function sent(gateway: GatewayProcess): Sent[] {
  const { lines } = readFileUplink(join(gateway.folder, "cloud", "events.ndjson"));
  return [...new Map(lines.map(({ id, data }) => [id, data as unknown as Sent])).values()];
}

async function publish(gateway: GatewayProcess, topic: string, data: object): Promise<void> {
  using client = await RawClient.open(gateway.mqttPort, "probe");
  await client.publish(topic, JSON.stringify(data));
}

it("a kill around the commits of ticks neither doubles nor skips an instant, whatever becomes of those that were missed (T4, T5)", async () => {
  const policies = ["skip", "once", "all"];
  await using gateway = await GatewayProcess.prepare({
    handlers: Object.fromEntries(policies.map((missed) => [`${missed}.js`, ticking(missed)])),
  });
  // The first commit of a life makes up for what was missed while there was none, the second is that of a tick in time.
  for (const step of [...steps("commit", ROUND, [2]), "commit:before:1", "commit:after:1"]) {
    await dieAt(gateway, { step, rows: TICKS });
  }
  await gateway.start();
  const ticks = (missed: string): Sent[] => sent(gateway).filter((tick) => tick["missed"] === missed);
  const seen = policies.map((missed) => ticks(missed).length);
  await until(
    "two more ticks of each",
    () => policies.every((missed, i) => ticks(missed).length > Number(seen[i]) + 1),
    {
      withinMs: 20_000,
      tell: () => gateway.logTail(),
    },
  );
  for (const missed of policies) {
    const all = ticks(missed);
    const instants = all.map(({ at }) => Number(at));
    // Each says how many instants before it have no event of their own, and so all of them are accounted for, once.
    expect(instants, missed).toEqual(
      all.map(({ unsaid }, i) => (i === 0 ? instants[0] : Number(instants[i - 1]) + Number(unsaid) + 1)),
    );
    if (missed === "all") expect(new Set(all.map(({ unsaid }) => unsaid))).toEqual(new Set([0]));
  }
  expect(imbalances(await gateway.ledger())).toEqual([]);
});

it("a kill around the commit of a webhook's call leaves it unanswered; asked again under its key it is one event (T6, T7)", async () => {
  await using gateway = await GatewayProcess.prepare({ handlers: { "orders.js": ORDERS } });
  const call = async (n: number): Promise<string> => {
    const answer = await gateway.ask("POST", "/hooks/orders", { n }, { "idempotency-key": `order-${n}` });
    expect(answer.status).toBe(202);
    return ((await answer.json()) as { id: string }).id;
  };
  const lives = steps("commit", ROUND, [1]);
  for (const [n, step] of lives.entries()) {
    let answered: string | undefined;
    await dieAt(gateway, { step, rows: CALLS }, async (arm) => {
      arm();
      answered = await call(n);
    });
    expect({ step, answered }).toEqual({ step, answered: undefined });
  }
  await gateway.start();
  const ids = await Promise.all(lives.map((_, n) => call(n)));
  expect(await Promise.all(lives.map((_, n) => call(n)))).toEqual(ids);
  const ledger = await gateway.drained();
  expect(ledger.events).toMatchObject({ accepted: lives.length, done: lives.length });
  expect(
    sent(gateway)
      .map(({ n }) => Number(n))
      .toSorted((a, b) => a - b),
  ).toEqual(lives.map((_, n) => n));
});

it("a kill around the commit that ends a state leaves it there or not, and events of its key go on from that (G2, P9)", async () => {
  await using gateway = await GatewayProcess.prepare({
    handlers: { "keep.js": counting("keep", ""), "fade.js": counting("fade", ', state: { ttl: "1s" }') },
  });
  const counts = (of: string): unknown[] => sent(gateway).flatMap((one) => (one["of"] === of ? [one["count"]] : []));
  // By hand, while an event of the key runs with the state that goes.
  for (const step of steps("commit", ROUND, [1])) {
    const topic = `keep/${step}`;
    await dieAt(gateway, { step, rows: STATES_END }, async (arm) => {
      await publish(gateway, topic, {});
      await until("the state", () => counts(topic).length === 1, { withinMs: 20_000 });
      arm();
      await publish(gateway, topic, { waitMs: 400 });
      const removed = await gateway.ask("DELETE", `/api/v1/handlers/keep/state?key=${encodeURIComponent(step)}`);
      throw new Error(`nobody may hear of it, and it said ${removed.status}`);
    });
  }
  // By itself, when its time is over.
  for (const step of steps("commit", ROUND, [1])) {
    const topic = `fade/${step}`;
    await dieAt(gateway, { step, rows: STATES_END }, async (arm) => {
      await publish(gateway, topic, {});
      await until("the state", () => counts(topic).length === 1, { withinMs: 20_000 });
      // What goes first may be the state that the life before has left.
      arm();
      await gateway.exited();
    });
  }
  await gateway.start();
  await gateway.drained();
  const remembered = async (): Promise<unknown[]> =>
    ((await gateway.api("/api/v1/handlers/fade/states")) as { states: unknown[] }).states;
  await until("the end of all that fades", async () => (await remembered()).length === 0, { withinMs: 20_000 });
  for (const step of steps("commit", ROUND, [1])) {
    for (const of of ["keep", "fade"]) await publish(gateway, `${of}/${step}`, {});
  }
  const ledger = await gateway.drained();
  const found = Object.fromEntries(steps("commit", ROUND, [1]).map((step) => [step, counts(`keep/${step}`)]));
  const isGone = [
    [1, 1, 2],
    // The event had ended before its state went.
    [1, 2, 1],
  ];
  expect(found["commit:before:1"]).toEqual([1, 2, 3]);
  expect([[1, 2, 3], ...isGone]).toContainEqual(found["commit:during:1"]);
  expect(isGone).toContainEqual(found["commit:after:1"]);
  for (const step of steps("commit", ROUND, [1])) expect(counts(`fade/${step}`)).toEqual([1, 1]);
  expect(ledger.events).toMatchObject({ accepted: 15, done: 15 });
  // What the sweep takes comes off the count in the same commit.
  await until(
    "an empty count",
    async () => (await gateway.metric('sluice_handler_state_bytes{handler="fade"}')) === 0,
    { withinMs: 20_000, everyMs: 100 },
  );
});

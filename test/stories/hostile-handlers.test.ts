import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFileUplink } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler } from "./rig/handlers.ts";
import { expectSound, imbalances } from "./rig/oracle.ts";
import { RawClient } from "./rig/raw-client.ts";
import { chance } from "./rig/story.ts";
import { sleep, until } from "./rig/wait.ts";

/** Body of a handler, by what it does to its host. */
const HOSTILE: Record<string, string> = {
  loops: `for (;;) {}`,
  eats: `const kept = []; for (;;) kept.push(new Array(100_000).fill(kept.length));`,
  throws: `throw new Error("I always do");`,
  circles: `const a = {}; a.self = a; return a;`,
  floods: `return "x".repeat(100 * 1024 * 1024);`,
  dawdles: `return new Promise(() => {});`,
};
const EVENTS_EACH = 3;

const handlers = Object.fromEntries(
  Object.entries(HOSTILE).map(([name, body]) => [
    `${name}.js`,
    `export const config = { topic: "hostile/${name}/{n}", key: "{n}", to: ["cloud"] };\nexport default (event, ctx) => {\n  ${body}\n};\n`,
  ]),
);

const PATIENCE = { timeout: "300ms", memory: "32MB", retry: { triesMax: 2, backoff: "50ms", backoffMax: "100ms" } };

describe("a handler that loops, eats memory, throws, returns a cycle or 100 MB, or never ends", () => {
  it("costs its own events only: others go on, the gateway stays up, and the ledger balances (G4, G5)", async () => {
    await using gateway = await GatewayProcess.start({
      config: { handlers: { defaults: PATIENCE } },
      handlers: { ...handlers, "count.ts": countingHandler() },
    });
    const { pid } = gateway;
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 6, ratePerSecond: 300 });
    fleet.start();
    await fleet.online();
    using attacker = await RawClient.open(gateway.mqttPort, "attacker");
    let messageId = 1;
    for (let n = 1; n <= EVENTS_EACH; n++) {
      for (const name of Object.keys(HOSTILE)) {
        const topic = `hostile/${name}/${n}`;
        attacker.send({
          cmd: "publish",
          topic,
          qos: 1,
          messageId: messageId++,
          dup: false,
          retain: false,
          payload: "{}",
        });
        await attacker.expect("puback");
      }
    }
    // Good events come all the way through while the bad ones are being suffered.
    await until("every hostile event's end", async () => (await gateway.ledger()).events.dead === messageId - 1, {
      withinMs: 30_000,
      everyMs: 100,
      tell: () => gateway.logTail(),
    });
    await sleep(200);
    await fleet.settled();
    const ledger = await gateway.drained();
    expect(gateway.pid).toBe(pid);
    expect(ledger.events.dead).toBe(EVENTS_EACH * Object.keys(HOSTILE).length);
    expect(ledger.events.done).toBe(fleet.acked);
    expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(join(gateway.folder, "cloud", "events.ndjson")),
      ledger,
    });
  });
});

describe("a runner that is killed under load", () => {
  it("is replaced, and no event is lost, run twice or made a dead letter by it (G2, G5)", async () => {
    const random = chance();
    await using gateway = await GatewayProcess.start({ handlers: { "count.ts": countingHandler() } });
    using fleet = new Fleet({ port: gateway.mqttPort, devices: 8, ratePerSecond: 1_000, qos: () => 2 });
    fleet.start();
    await fleet.online();
    for (let kill = 0; kill < 6; kill++) {
      await sleep(random.between(50, 300));
      const runners = await until("a runner", () => (gateway.children().length > 0 ? gateway.children() : undefined), {
        withinMs: 15_000,
      });
      process.kill(random.pick(runners), "SIGKILL");
    }
    await fleet.settled();
    const ledger = await gateway.drained();
    expect(imbalances(ledger)).toEqual([]);
    expect(ledger.events.dead, gateway.logTail()).toBe(0);
    const finding = expectSound({
      promises: fleet.promises(),
      devices: fleet.devices,
      arrivals: readFileUplink(join(gateway.folder, "cloud", "events.ndjson")),
      ledger,
    });
    expect(finding.unique).toBe(finding.acked);
  });
});

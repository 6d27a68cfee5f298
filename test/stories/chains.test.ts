import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseLines } from "./rig/cloud-lines.ts";
import { Fleet } from "./rig/fleet.ts";
import { GatewayProcess } from "./rig/gateway-process.ts";
import { countingHandler, relayHandler } from "./rig/handlers.ts";
import { expectSound, imbalances } from "./rig/oracle.ts";

const LOOP = `
export const config = { topic: "loop/{side}", key: "{device}", to: ["cloud"] };
export default (event, ctx) => {
  ctx.publish(event.params.side === "a" ? "loop/b" : "loop/a", event.data);
  return { id: event.id, n: event.data.n };
};`;

it("what a handler publishes is an event for the handler that listens to it: each once, in order, across kill -9", async () => {
  await using gateway = await GatewayProcess.start({
    handlers: { "relay.ts": relayHandler(), "count.ts": countingHandler({ topic: "relay/{device}" }) },
  });
  using fleet = new Fleet({ port: gateway.mqttPort, devices: 3, ratePerSecond: 300 });
  fleet.start();
  for (let kill = 0; kill < 3; kill++) {
    await fleet.online();
    await new Promise((resolve) => setTimeout(resolve, 400));
    await gateway.kill9();
    await gateway.start();
  }
  await fleet.online();
  await fleet.settled();
  const ledger = await gateway.drained();
  const arrivals = parseLines(readFileSync(join(gateway.folder, "cloud/events.ndjson"), "utf8").trim().split("\n"));
  const { unique } = expectSound({
    promises: fleet.promises(),
    devices: fleet.devices,
    arrivals,
    ledger,
    allDelivered: false,
  });
  expect(ledger.events).toMatchObject({ dead: 0, dropped: 0 });
  // Two tasks a message: the relay's, and that of the event that it made.
  expect(ledger.events.accepted).toBe(2 * unique);
});

it("what a handler publishes as soon as the gateway starts is an event for those that come after it, too", async () => {
  // By name the last that is taken on; and it is built anew at the start, which takes its time.
  const listener = countingHandler({ topic: "relay/{device}" });
  const slow = relayHandler().replace(
    "(event, ctx) => {",
    "async (event, ctx) => {\n  await new Promise((done) => setTimeout(done, 5));",
  );
  await using gateway = await GatewayProcess.start({ handlers: { "relay.js": slow, "tally.ts": listener } });
  using fleet = new Fleet({ port: gateway.mqttPort, devices: 3, ratePerSecond: 0 });
  fleet.start();
  await fleet.online();
  await fleet.publish(200);
  await gateway.kill9();
  gateway.saveHandler("tally.ts", `// As it was.\n${listener}`);
  await gateway.start();
  const ledger = await gateway.drained();
  expect(imbalances(ledger)).toEqual([]);
  expect(ledger.uplinks.cloud).toMatchObject({ delivered: 600 });
});

it("a chain that leads back to itself ends as a dead letter that names it, and the ledger balances", async () => {
  await using gateway = await GatewayProcess.start({
    handlers: { "loop.js": LOOP },
    config: { handlers: { dir: "handlers", watch: false, hopsMax: 4 } },
  });
  using fleet = new Fleet({
    port: gateway.mqttPort,
    devices: 1,
    ratePerSecond: 1,
    qos: () => 1,
    topic: () => "loop/a",
  });
  for (const device of fleet.devices) device.connect();
  await fleet.online();
  await fleet.publish(3);
  const ledger = await gateway.drained();
  expect(ledger.events).toMatchObject({ accepted: 15, done: 12, dead: 3, pending: 0 });
  expect(imbalances(ledger)).toEqual([]);
  const { letters } = (await gateway.api("/api/v1/dead")) as {
    letters: { failure: { code: string; message: string } }[];
  };
  expect(letters.length).toBe(3);
  for (const { failure } of letters) {
    expect(failure.code).toBe("TASK_CHAIN_TOO_LONG");
    expect(failure.message).toContain("hop 5 of a chain: loop → loop → loop → loop → loop");
  }
  const { lines } = parseLines(readFileSync(join(gateway.folder, "cloud/events.ndjson"), "utf8").trim().split("\n"));
  // An output's id is its event's id, the handler and the position (G3): along the chain too.
  for (const line of lines) expect(line.id).toBe(`${(line.data as unknown as { id: string }).id}.loop.1`);
  expect(new Set(lines.map(({ id }) => id)).size).toBe(12);
});

import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { generate } from "mqtt-packet";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { imbalances } from "../stories/rig/oracle.ts";
import { RawClient } from "../stories/rig/raw-client.ts";
import { sleep, until } from "../stories/rig/wait.ts";

const WAITING = 1_000_000;
const CONNECTIONS = 8;
const ACCEPTING_MS_MAX = 3_000;
const EXTRA_BYTES_MAX = 100 * 1024 ** 2;

/** Its first task holds up all others, which have the same key. */
const STUCK = `export const config = { topic: "work/#", key: "all", to: ["cloud"], timeout: "1h" };
export default () => new Promise(() => {});
`;
const FLOWING = `export const config = { topic: "work/#", key: "all", to: ["cloud"], timeout: "1s" };
export default () => undefined;
`;

describe("one million waiting tasks", () => {
  it("cost at most 100 MB, and keep a start from accepting for at most 3 s (G7)", async () => {
    await using gateway = await GatewayProcess.start({
      config: { handlers: { watch: true }, journal: { sizeMax: "4GB" } },
      handlers: { "work.js": STUCK },
    });
    await publishAll(gateway.mqttPort, 1);
    await gateway.kill9();
    const few = await startAgain(gateway);

    await publishAll(gateway.mqttPort, WAITING);
    await gateway.kill9();
    const many = await startAgain(gateway);

    const ledger = await gateway.ledger();
    expect(imbalances(ledger)).toEqual([]);
    expect(ledger.events.pending).toBeGreaterThanOrEqual(WAITING);
    expect(many.acceptingMs).toBeLessThan(ACCEPTING_MS_MAX);
    expect(many.residentBytes - few.residentBytes).toBeLessThan(EXTRA_BYTES_MAX);

    // And they can be worked off.
    gateway.saveHandler("work.js", FLOWING);
    await gateway.kill9();
    await gateway.start();
    await until("progress", async () => (await gateway.ledger()).events.done > 50_000, {
      withinMs: 30_000,
      everyMs: 100,
      tell: () => gateway.logTail(),
    });
  });
});

/** How long until a device's message was acknowledged, and what memory the gateway then settles at. */
async function startAgain(gateway: GatewayProcess): Promise<{ acceptingMs: number; residentBytes: number }> {
  const launchedMs = performance.now();
  gateway.launch();
  const client = await until("a login", () => RawClient.open(gateway.mqttPort, "probe"), {
    withinMs: 30_000,
    tell: () => gateway.logTail(),
  });
  client.send({ cmd: "publish", topic: "work/probe", qos: 1, messageId: 1, dup: false, retain: false, payload: "{}" });
  await client.expect("puback", 30_000);
  const acceptingMs = performance.now() - launchedMs;
  client[Symbol.dispose]();
  await gateway.ready();
  await sleep(3_000);
  return { acceptingMs, residentBytes: gateway.residentBytes() };
}

/** As fast as the gateway acknowledges: prepared packets, and acknowledgements counted by their bytes. */
async function publishAll(port: number, messages: number): Promise<void> {
  const connections = Math.min(CONNECTIONS, messages);
  const each = Math.ceil(messages / connections);
  await Promise.all(Array.from({ length: connections }, (_, i) => publishMany(port, `loader-${i}`, each)));
}

const CHUNK = 500;
const CONNACK_BYTES = 4;
const PUBACK_BYTES = 4;

function publishMany(port: number, clientId: string, messages: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let sent = 0;
    let answered = 0;
    const sendChunk = (): void => {
      const packets: Buffer[] = [];
      for (let i = 0; i < CHUNK && sent < messages; i++, sent++) {
        const messageId = (sent % 65_000) + 1;
        packets.push(
          generate({
            cmd: "publish",
            topic: `work/${clientId}`,
            qos: 1,
            messageId,
            dup: false,
            retain: false,
            payload: `{"n":${sent}}`,
          }),
        );
      }
      socket.write(Buffer.concat(packets));
    };
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`${clientId} was disconnected after ${sent} messages`)));
    socket.on("data", (bytes) => {
      answered += bytes.length;
      const acknowledged = (answered - CONNACK_BYTES) / PUBACK_BYTES;
      if (acknowledged >= messages) {
        socket.removeAllListeners("close");
        socket.destroy();
        resolve();
      } else if (sent < messages && sent - acknowledged < CHUNK) {
        sendChunk();
      }
    });
    socket.write(
      generate({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: 0, clientId }),
    );
  });
}

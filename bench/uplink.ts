/**
 * What the mqtt uplink costs by itself: entries from memory → envelopes → PUBLISH → a real mosquitto on loopback → receipts.
 *
 *     node bench/uplink.ts [--events 200000] [--inflight 512,2048,8192] [--broker mosquitto]
 *
 * CPU is this process's alone, mosquitto's comes on top; the rate has both on the box's cores. Prints one line a setting.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createLog } from "../src/log.ts";
import type { OutboxEntry } from "../src/task.ts";
import { sleep, systemClock } from "../src/time.ts";
import type { Outboxes } from "../src/uplinks/outbox.ts";
import { uplinksSettings } from "../src/uplinks/settings.ts";
import { Uplinks } from "../src/uplinks/uplinks.ts";

const { values: args } = parseArgs({
  options: {
    events: { type: "string", default: "200000" },
    inflight: { type: "string", default: "256,1024,2048,4096,8192" },
    broker: { type: "string", default: "mosquitto" },
  },
});

/** An outbox that makes its entries when they are taken, so that only the uplink is measured. */
class EndlessOutbox implements Outboxes {
  readonly #total: number;
  readonly #done: () => void;
  readonly #data: Buffer[] = Array.from({ length: 64 }, (_, i) =>
    Buffer.from(JSON.stringify({ machine: `m-${i}`, c: 80 + i / 2, count: i * 1000 })),
  );
  #next = 0;
  #receipts = 0;

  constructor(total: number, done: () => void) {
    this.#total = total;
    this.#done = done;
  }

  outbox(): ReturnType<Outboxes["outbox"]> {
    // oxlint-disable-next-line no-this-alias, typescript/no-this-alias -- the getters below are the feed's, not this object's
    const outbox = this;
    return {
      take: () => outbox.#take(),
      get size() {
        return outbox.#total - outbox.#next;
      },
      get waiting() {
        return outbox.#total - outbox.#receipts;
      },
      get waitingBytes() {
        return 0;
      },
      isWaiting: () => true,
      close() {},
    };
  }

  received(_uplink: string, receipts: readonly unknown[]): void {
    this.#receipts += receipts.length;
    if (this.#receipts === this.#total) this.#done();
  }

  #take(): OutboxEntry | undefined {
    if (this.#next === this.#total) return undefined;
    const seq = this.#next++;
    return {
      seq,
      eventSeq: seq + 1_000_000,
      lineage: "",
      position: 0,
      handler: seq % 4,
      version: 3,
      timeMs: 1_795_000_000_000 + (seq >> 5),
      key: `m-${seq % 64}`,
      type: "sluice.output",
      subject: `plant/line-1/m-${seq % 64}/temperature`,
      topic: "",
      qos: 1,
      retain: false,
      json: true,
      data: this.#data[seq % 64] as Buffer,
    };
  }
}

async function run(port: number, inflight: number, events: number): Promise<{ rate: number; cpuUs: number }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const outbox = new EndlessOutbox(events, resolve);
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  const uplinks = Uplinks.open({
    uplinks: uplinksSettings.parse({
      cloud: { kind: "mqtt", url: `mqtt://127.0.0.1:${port}`, inflight, buffer: { ageMax: "36500d" } },
    }),
    journal: outbox,
    handlerName: (handler) => `handler-${handler}`,
    gatewayId: "edge-1",
    journalId: "0badcafe",
    folder: "/",
    clock: systemClock,
    random: Math.random,
    log: createLog({ level: "warn", pretty: false }),
  });
  await promise;
  const ms = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpu);
  await uplinks.close(1000);
  return { rate: (events / ms) * 1000, cpuUs: (user + system) / events };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function listening(port: number): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).once("error", () => resolve(false));
      setTimeout(() => socket.destroy(), 200).unref();
    });
    if (open) return;
    await sleep(50);
  }
  throw new Error("mosquitto did not start");
}

const events = Number(args.events);
const folder = mkdtempSync(join(tmpdir(), "sluice-bench-uplink-"));
const port = await freePort();
const config = join(folder, "mosquitto.conf");
writeFileSync(config, `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\n`);
const broker = spawn(args.broker, ["-c", config], { stdio: "ignore" });
try {
  await listening(port);
  await run(port, 2048, 50_000);
  for (const inflight of args.inflight.split(",").map(Number)) {
    const { rate, cpuUs } = await run(port, inflight, events);
    console.log(
      `inflight ${String(inflight).padStart(5)}: ${Math.round(rate).toLocaleString("en").padStart(8)} events/s, ${cpuUs.toFixed(2)} µs CPU an event`,
    );
  }
} finally {
  broker.kill();
  rmSync(folder, { recursive: true, force: true });
}

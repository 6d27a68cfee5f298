/** Debian's mosquitto, as the broker upstream (and, for Node-RED, the one in front). */
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { subscribe } from "./mqtt.ts";
import { freePort, start, until } from "./processes.ts";
import type { Started } from "./processes.ts";

export class Mosquitto {
  readonly port: number;
  readonly process: Started;
  /** Publishes received since the start, and when that was told (monotonic ms). mosquitto counts; nobody subscribes. */
  received = { count: 0, atMs: 0 };
  #onTold: (() => void)[] = [];
  #unsubscribe: () => void = () => {};

  private constructor(port: number, process: Started) {
    this.port = port;
    this.process = process;
  }

  static async open(folder: string): Promise<Mosquitto> {
    const port = await freePort();
    const file = join(folder, `mosquitto-${port}.conf`);
    const lines = [
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "persistence false",
      // Unlimited, so that what is measured is the one who sends or receives.
      "max_queued_messages 0",
      "max_inflight_messages 0",
      "sys_interval 1",
      "log_dest none",
      "user root",
    ];
    await writeFile(file, `${lines.join("\n")}\n`);
    const process = start("mosquitto", ["-c", file], { env: { PATH: `${globalThis.process.env["PATH"]}:/usr/sbin` } });
    await until("mosquitto", () => answers(port), { by: process });
    const mosquitto = new Mosquitto(port, process);
    mosquitto.#unsubscribe = await subscribe(port, "$SYS/broker/publish/messages/received", (_, payload) => {
      mosquitto.received = { count: Number(payload.toString("utf8")), atMs: performance.now() };
      for (const resolve of mosquitto.#onTold.splice(0)) resolve();
    });
    return mosquitto;
  }

  /** The next count, at most a second and a bit away while messages come in. */
  async nextCount(): Promise<{ count: number; atMs: number }> {
    await new Promise<void>((resolve) => this.#onTold.push(resolve));
    return this.received;
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    await this.process.stop();
  }
}

async function answers(port: number): Promise<true | undefined> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(undefined));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

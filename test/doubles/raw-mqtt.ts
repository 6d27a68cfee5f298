/**
 * An MQTT client that sends whatever bytes the test wants and shows the packets that come back. It differs from a
 * device in that it does nothing by itself: no acknowledgement, no ping, no reconnect.
 */
import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { generate, parser } from "mqtt-packet";
import type { IConnectPacket, Packet } from "mqtt-packet";

/** The bytes of a well-formed packet. */
export function packet(it: Packet): Buffer {
  return generate(it);
}

export function connectPacket(options: Partial<IConnectPacket> = {}): Buffer {
  return packet({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    clientId: "raw",
    keepalive: 0,
    ...options,
  });
}

export function publishPacket(
  topic: string,
  payload: string | Buffer,
  qos: 0 | 1 | 2 = 0,
  messageId?: number,
  more: { dup?: boolean; retain?: boolean } = {},
): Buffer {
  return packet({
    cmd: "publish",
    topic,
    payload,
    qos,
    dup: false,
    retain: false,
    ...(messageId === undefined ? {} : { messageId }),
    ...more,
  });
}

export function ackPacket(cmd: "puback" | "pubrec" | "pubrel" | "pubcomp", messageId: number): Buffer {
  return packet({ cmd, messageId });
}

export function subscribePacket(messageId: number, ...filters: [topic: string, qos: 0 | 1 | 2][]): Buffer {
  return packet({ cmd: "subscribe", messageId, subscriptions: filters.map(([topic, qos]) => ({ topic, qos })) });
}

export class RawMqtt {
  readonly socket: Socket;
  /** All packets received, oldest first. */
  readonly packets: Packet[] = [];
  /** Bytes received. */
  bytes = 0;
  isClosed = false;
  #wake: () => void = () => {};
  readonly #parser = parser({ protocolVersion: 4 });

  private constructor(socket: Socket) {
    this.socket = socket;
    this.#parser.on("packet", (received: Packet) => this.packets.push(received));
    socket.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      this.#parser.parse(chunk);
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  static async open(port: number): Promise<RawMqtt> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    return new RawMqtt(socket);
  }

  /** Opens, logs in and takes the CONNACK off the list. */
  static async login(port: number, options: Partial<IConnectPacket> = {}): Promise<RawMqtt> {
    const client = await RawMqtt.open(port);
    client.send(connectPacket(options));
    const answer = await client.next();
    if (answer.cmd !== "connack" || answer.returnCode !== 0) throw new Error(`no login: ${answer.cmd}`);
    return client;
  }

  send(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** Takes the oldest packet received, waiting for it. */
  async next(timeoutMs = 10_000): Promise<Packet> {
    await this.until(() => this.packets.length > 0 || this.isClosed, timeoutMs);
    const first = this.packets.shift();
    if (first === undefined) throw new Error("the connection closed");
    return first;
  }

  async take(count: number, timeoutMs = 10_000): Promise<Packet[]> {
    await this.until(() => this.packets.length >= count || this.isClosed, timeoutMs);
    return this.packets.splice(0, count);
  }

  /** A ping and its answer: all that was sent before has been read. */
  async ping(): Promise<void> {
    this.send(packet({ cmd: "pingreq" }));
    await this.until(() => this.packets.some((one) => one.cmd === "pingresp") || this.isClosed);
    const at = this.packets.findIndex((one) => one.cmd === "pingresp");
    if (at < 0) throw new Error("the connection closed");
    this.packets.splice(at, 1);
  }

  async closed(timeoutMs = 10_000): Promise<void> {
    await this.until(() => this.isClosed, timeoutMs);
  }

  async until(holds: () => boolean, timeoutMs = 10_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!holds()) {
      const left = deadline - Date.now();
      if (left <= 0)
        throw new Error(
          `nothing came within ${timeoutMs} ms; received ${this.packets.length}: ${this.packets
            .slice(0, 5)
            .map((one) => one.cmd)
            .join(" ")}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 50));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Cuts the connection without a word. */
  cut(): void {
    this.socket.destroy();
  }
}

/**
 * A cloud that takes MQTT 3.1.1 publishes at QoS 1, on a real socket on loopback. Packets are parsed and written by
 * mqtt-packet, so that our own encoding is read by somebody else's code.
 *
 * Unlike a real broker it has no subscribers and no sessions, keeps all it got in memory, in order and with repeats, and
 * acknowledges, keeps silent or hangs up as it is told.
 */
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { generate, parser } from "mqtt-packet";
import type { IConnectPacket, IPublishPacket, Packet } from "mqtt-packet";

export type MqttBehaviour =
  | { readonly at: "well" }
  /** Takes everything and acknowledges nothing. */
  | { readonly at: "silent" }
  /** Stops reading after CONNECT, so that the socket fills up. */
  | { readonly at: "deaf" }
  /** Acknowledges so many messages of each connection, and resets it at the next. */
  | { readonly at: "resetting"; readonly after: number }
  /** Answers CONNECT with a return code. */
  | { readonly at: "refusing"; readonly code: number }
  /** Acknowledges in pairs, the second one first. */
  | { readonly at: "swapping" };

export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
  /** The connection it came on, from 1. */
  readonly connection: number;
}

export class FakeMqttCloud {
  behaviour: MqttBehaviour = { at: "well" };
  /** The connection is closed at a message that holds this text. */
  poison: string | undefined;
  readonly arrived: Message[] = [];
  readonly connects: IConnectPacket[] = [];
  /** Most messages that were without an acknowledgement at once. */
  unacknowledgedMost = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connections = 0;
  #port = 0;

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async open(): Promise<FakeMqttCloud> {
    const cloud = new FakeMqttCloud();
    await cloud.up();
    return cloud;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`;
  }

  async up(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async down(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }

  /** Resets all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.down();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    const connection = ++this.#connections;
    const parse = parser({ protocolVersion: 4 });
    let messages = 0;
    let held: number | undefined;
    const waiting = new Set<number>();
    const acknowledge = (messageId: number): void => {
      waiting.delete(messageId);
      socket.write(generate({ cmd: "puback", messageId }));
    };
    const publish = (packet: IPublishPacket): void => {
      const payload = Buffer.from(packet.payload);
      const messageId = packet.messageId ?? 0;
      if (packet.qos !== 1 || packet.dup || waiting.has(messageId) || messageId === 0) {
        throw new Error(`a publish that should not be: ${JSON.stringify({ ...packet, payload: payload.toString() })}`);
      }
      messages++;
      const { behaviour } = this;
      if (behaviour.at === "resetting" && messages > behaviour.after) {
        socket.resetAndDestroy();
        return;
      }
      if (this.poison !== undefined && payload.includes(this.poison)) {
        socket.end();
        return;
      }
      this.arrived.push({ topic: packet.topic, payload, retain: packet.retain, connection });
      waiting.add(messageId);
      this.unacknowledgedMost = Math.max(this.unacknowledgedMost, waiting.size);
      if (behaviour.at === "silent") return;
      if (behaviour.at === "swapping" && held === undefined) {
        held = messageId;
        return;
      }
      acknowledge(messageId);
      if (held !== undefined) acknowledge(held);
      held = undefined;
    };
    parse.on("packet", (packet: Packet) => {
      if (socket.destroyed || socket.writableEnded) return;
      switch (packet.cmd) {
        case "connect": {
          this.connects.push(packet);
          const { behaviour } = this;
          const returnCode = behaviour.at === "refusing" ? behaviour.code : 0;
          socket.write(generate({ cmd: "connack", returnCode, sessionPresent: false }));
          if (returnCode !== 0) socket.end();
          if (behaviour.at === "deaf") socket.pause();
          return;
        }
        case "publish":
          publish(packet);
          return;
        case "pingreq":
          socket.write(generate({ cmd: "pingresp" }));
          return;
        case "disconnect":
          socket.end();
          return;
        default:
          throw new Error(`a publisher does not send ${packet.cmd}`);
      }
    });
    socket.on("data", (chunk: Buffer) => parse.parse(chunk));
  }
}

/** Rig: a bare MQTT connection on which a story writes packets one by one and waits for each answer. */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { generate, parser } from "mqtt-packet";
import type { IConnectPacket, Packet } from "mqtt-packet";
import { until } from "./wait.ts";

export class RawClient {
  readonly socket: Socket;
  /** Packets that no `expect` has taken yet. */
  readonly received: Packet[] = [];
  isClosed = false;

  /** Connects and waits for the CONNACK. */
  static async open(port: number, clientId: string, options: Partial<IConnectPacket> = {}): Promise<RawClient> {
    const client = new RawClient(port);
    client.send({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      keepalive: 60,
      clientId,
      ...options,
    });
    const connack = await client.expect("connack");
    if (connack.returnCode !== 0) throw new Error(`${clientId} was refused: ${connack.returnCode}`);
    return client;
  }

  private constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const incoming = parser({ protocolVersion: 4 });
    incoming.on("packet", (packet: Packet) => this.received.push(packet));
    this.socket.on("data", (bytes) => incoming.parse(bytes));
    this.socket.on("error", () => {});
    this.socket.on("close", () => (this.isClosed = true));
  }

  send(packet: Packet): void {
    this.socket.write(generate(packet));
  }

  /** The next packet of this kind, taken out of those received. */
  async expect<Command extends Packet["cmd"]>(
    cmd: Command,
    withinMs = 30_000,
  ): Promise<Extract<Packet, { cmd: Command }>> {
    return await until(
      cmd,
      () => {
        const at = this.received.findIndex((packet) => packet.cmd === cmd);
        return at < 0 ? undefined : (this.received.splice(at, 1)[0] as Extract<Packet, { cmd: Command }>);
      },
      { withinMs, everyMs: 2, unless: () => (this.isClosed ? "the connection was closed" : undefined) },
    );
  }

  /** At QoS 1, and waits for the PUBACK. */
  async publish(topic: string, payload: string, messageId = 1): Promise<void> {
    this.send({ cmd: "publish", topic, payload, qos: 1, messageId, dup: false, retain: false });
    await this.expect("puback");
  }

  async subscribe(topic: string, qos: 0 | 1 | 2 = 0): Promise<void> {
    this.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos }] });
    const { granted } = await this.expect("suback");
    if (granted[0] !== qos) throw new Error(`${topic} was granted ${JSON.stringify(granted)}`);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

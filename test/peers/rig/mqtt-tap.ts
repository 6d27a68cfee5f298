/**
 * Rig: a wire tap between a gateway and its broker upstream. It passes every byte on and notes each message that the broker
 * acknowledged. That is what an `mqtt` uplink may call delivered, and it does not depend on what a broker that is killed
 * then forgets.
 */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { parser } from "mqtt-packet";
import type { Packet } from "mqtt-packet";

export class MqttTap {
  /** Payloads whose PUBACK passed by, in the order of the PUBACKs. */
  readonly acknowledged: string[] = [];
  readonly port: number;
  readonly #server: Server;
  readonly #upstreamPort: number;
  readonly #sockets = new Set<Socket>();

  static async open(upstreamPort: number): Promise<MqttTap> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new MqttTap(server, upstreamPort);
  }

  private constructor(server: Server, upstreamPort: number) {
    this.#server = server;
    this.#upstreamPort = upstreamPort;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (gateway) => this.#join(gateway));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(gateway: Socket): void {
    const broker = connect(this.#upstreamPort, "127.0.0.1");
    const unacknowledged = new Map<number, string>();
    const outgoing = parser({ protocolVersion: 4 });
    const incoming = parser({ protocolVersion: 4 });
    outgoing.on("packet", (packet: Packet) => {
      if (packet.cmd === "publish" && packet.messageId !== undefined) {
        unacknowledged.set(packet.messageId, packet.payload.toString());
      }
    });
    incoming.on("packet", (packet: Packet) => {
      if (packet.cmd !== "puback") return;
      const payload = unacknowledged.get(packet.messageId ?? 0);
      unacknowledged.delete(packet.messageId ?? 0);
      if (payload !== undefined) this.acknowledged.push(payload);
    });
    this.#pass(gateway, broker, outgoing);
    this.#pass(broker, gateway, incoming);
  }

  #pass(from: Socket, to: Socket, tap: ReturnType<typeof parser>): void {
    this.#sockets.add(from);
    from.on("data", (bytes) => {
      tap.parse(bytes);
      to.write(bytes);
    });
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}

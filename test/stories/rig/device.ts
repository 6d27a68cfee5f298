/**
 * Rig: one device, over a bare socket, that remembers exactly what it was promised.
 *
 * It numbers its messages from 1, keeps a window of them in flight, and does as MQTT says after a lost connection: it
 * connects again with the same client id and sends what is not yet acknowledged once more, in the old order, before
 * anything new [MQTT-4.4.0-1]. A message counts as acknowledged from its PUBACK (QoS 1) or PUBREC (QoS 2) on, for that is
 * the gateway's promise (G1).
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { generate, parser } from "mqtt-packet";
import type { Packet } from "mqtt-packet";

export interface DeviceOptions {
  readonly port: number;
  readonly id: string;
  readonly topic: string;
  readonly qos: 1 | 2;
  readonly inflightMax: number;
  /** Payload of message `n`. */
  readonly payload: (n: number) => string;
  /** Milliseconds before it connects again. */
  readonly reconnectMs?: number;
}

interface InFlight {
  readonly n: number;
  readonly packetId: number;
  /** QoS 2 only: PUBREC came, PUBREL is due until PUBCOMP comes. */
  released: boolean;
  sends: number;
}

type Line =
  | { readonly at: "off" }
  | { readonly at: "connecting" | "online"; readonly socket: Socket }
  | { readonly at: "waiting"; readonly timer: NodeJS.Timeout };

/** Of a QoS 2 device a gateway must know the session across connections; of a QoS 1 device it need know nothing. */
export class Device {
  readonly options: DeviceOptions;
  #port: number;
  /** Numbers of the messages that the gateway promised to keep, in the order of the promises. */
  readonly acked: number[] = [];
  /** Messages that were sent more than once, so that a second event of one is the device's doing. */
  readonly resent = new Set<number>();
  /** Broken rules of MQTT that it saw: acks out of order, acks of nothing, packets that do not parse. */
  readonly complaints: string[] = [];
  published = 0;
  connects = 0;
  #line: Line = { at: "off" };
  readonly #flight: InFlight[] = [];
  #nextPacketId = 1;

  constructor(options: DeviceOptions) {
    this.options = options;
    this.#port = options.port;
  }

  get isOnline(): boolean {
    return this.#line.at === "online";
  }

  get inFlight(): number {
    return this.#flight.length;
  }

  get hasRoom(): boolean {
    return this.#line.at === "online" && this.#flight.length < this.options.inflightMax;
  }

  connect(): void {
    const { id, qos } = this.options;
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    this.#line = { at: "connecting", socket };
    const incoming = parser({ protocolVersion: 4 });
    incoming.on("packet", (packet: Packet) => this.#receive(socket, packet));
    incoming.on("error", (error: Error) => this.complaints.push(`${id}: ${error.message}`));
    socket.on("connect", () => {
      socket.write(
        generate({
          cmd: "connect",
          protocolId: "MQTT",
          protocolVersion: 4,
          clientId: id,
          clean: qos === 1,
          keepalive: 60,
        }),
      );
    });
    socket.on("data", (bytes) => incoming.parse(bytes));
    socket.on("error", () => {});
    socket.on("close", () => this.#lost(socket));
  }

  /** Sends the next message. Only when {@link hasRoom}. */
  publishNext(): void {
    const message = { n: ++this.published, packetId: this.#drawPacketId(), released: false, sends: 0 };
    this.#flight.push(message);
    this.#send(message);
  }

  /** Leaves without a word, and does not come back until {@link connect}. */
  drop(): void {
    const line = this.#line;
    this.#line = { at: "off" };
    if (line.at === "waiting") clearTimeout(line.timer);
    else if (line.at !== "off") line.socket.destroy();
  }

  /** As a device on a bad network: the connection dies, it connects again by itself. */
  breakLine(): void {
    if (this.#line.at === "online" || this.#line.at === "connecting") this.#line.socket.destroy();
  }

  /** The gateway has another address now: what is not yet acknowledged goes there. */
  moveTo(port: number): void {
    this.drop();
    this.#port = port;
    this.connect();
  }

  #send(message: InFlight): void {
    if (this.#line.at !== "online") return;
    message.sends += 1;
    if (message.sends > 1) this.resent.add(message.n);
    const { topic, qos, payload } = this.options;
    this.#line.socket.write(
      generate({
        cmd: "publish",
        topic,
        qos,
        messageId: message.packetId,
        payload: payload(message.n),
        dup: message.sends > 1,
        retain: false,
      }),
    );
  }

  #receive(socket: Socket, packet: Packet): void {
    if (this.#line.at === "off" || this.#line.at === "waiting" || this.#line.socket !== socket) return;
    switch (packet.cmd) {
      case "connack":
        if (packet.returnCode !== 0) {
          socket.destroy();
          return;
        }
        this.connects += 1;
        this.#line = { at: "online", socket };
        this.#resume(socket);
        return;
      case "puback":
        this.#acknowledged(packet.messageId ?? 0);
        this.#finished(packet.messageId ?? 0);
        return;
      case "pubrec":
        this.#acknowledged(packet.messageId ?? 0);
        socket.write(generate({ cmd: "pubrel", messageId: packet.messageId ?? 0 }));
        return;
      case "pubcomp":
        this.#finished(packet.messageId ?? 0);
        return;
      default:
        this.complaints.push(`${this.options.id}: unexpected ${packet.cmd}`);
    }
  }

  /** [MQTT-4.6.0-2], [MQTT-4.6.0-3]: acks come in the order of the messages. */
  #acknowledged(packetId: number): void {
    const expected = this.#flight.find((message) => !message.released);
    const message = this.#flight.find((candidate) => candidate.packetId === packetId);
    if (message === undefined) {
      this.complaints.push(`${this.options.id}: ack of packet ${packetId}, which is not in flight`);
      return;
    }
    if (message.released) return;
    if (message !== expected)
      this.complaints.push(`${this.options.id}: ack of ${message.n} before that of ${expected?.n}`);
    message.released = true;
    this.acked.push(message.n);
  }

  #finished(packetId: number): void {
    const at = this.#flight.findIndex((message) => message.packetId === packetId);
    if (at >= 0) this.#flight.splice(at, 1);
  }

  #resume(socket: Socket): void {
    for (const message of this.#flight) {
      if (message.released) socket.write(generate({ cmd: "pubrel", messageId: message.packetId }));
      else this.#send(message);
    }
  }

  #lost(socket: Socket): void {
    const line = this.#line;
    if (line.at === "off" || line.at === "waiting" || line.socket !== socket) return;
    this.#line = { at: "waiting", timer: setTimeout(() => this.connect(), this.options.reconnectMs ?? 25) };
  }

  #drawPacketId(): number {
    for (;;) {
      const packetId = this.#nextPacketId;
      this.#nextPacketId = packetId === 65_535 ? 1 : packetId + 1;
      if (!this.#flight.some((message) => message.packetId === packetId)) return packetId;
    }
  }
}

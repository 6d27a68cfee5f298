/**
 * One connection to an MQTT server, from CONNECT to its end. mqtt.js does the session (CONNECT, keepalive, DISCONNECT);
 * batches of PUBLISH packets are written to the socket in one piece, and their PUBACKs are taken out by the tap.
 *
 * mqtt.js never uses a packet id here, for it neither subscribes nor publishes: all 65,535 are ours.
 */
import { connect as connectTcp } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import { MqttClient } from "mqtt";
import { Fault } from "../fault.ts";
import type { Failure } from "../task.ts";
import type { GrowingBuffer } from "./growing-buffer.ts";
import { MqttTap } from "./mqtt-tap.ts";
import { networkFault } from "./network-fault.ts";
import type { Verdict } from "./uplink.ts";

export interface LinkOptions {
  readonly url: URL;
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly keepaliveMs: number;
  readonly connectTimeoutMs: number;
  readonly tls: ConnectionOptions;
  /** Where faults point to. Without credentials. */
  readonly where: string;
}

/** What a batch needs of the link while it is encoded. */
export interface Parcel {
  readonly count: number;
  /** Writes packet `index` with `packetId`, or returns why it can never be sent. */
  write(into: GrowingBuffer, index: number, packetId: number): Failure | undefined;
  /** A buffer of about the right size. */
  buffer(): GrowingBuffer;
}

interface Flight {
  readonly parcel: Parcel;
  readonly settle: (verdict: Verdict) => void;
  readonly acknowledged: Uint8Array;
  readonly rejected: { index: number; failure: Failure }[];
  /** Entries from the first on that are acknowledged, and how many of all are not. */
  prefix: number;
  left: number;
}

/** Nudges that a piece of the stream with PUBACKs in it pays for, and the most that are saved up. */
const NUDGES_EACH = 2;
const NUDGES_MAX = 16;
/** A server that does not close after DISCONNECT is left after this. */
const GOODBYE_MS = 500;
const PINGREQ = Buffer.from([0xc0, 0]);
const PACKET_IDS = 65_536;
/** PUBACKs prove that the connection lives as well as a PINGRESP does; mqtt.js is told this often. */
const ALIVE_MS = 1000;

export class MqttLink {
  readonly #options: LinkOptions;
  readonly #socket: Socket;
  readonly #client: MqttClient;
  readonly #flights: Flight[] = [];
  /** Batches that wait for the socket to take more. */
  readonly #queue: Flight[] = [];
  readonly #flightOf: (Flight | undefined)[] = Array.from({ length: PACKET_IDS });
  readonly #placeOf = new Uint32Array(PACKET_IDS);
  #packetId = 0;
  #clogged = false;
  #ended: Fault | undefined;
  #answered = false;
  /** Something came in and nothing has been written since: our TCP has not acknowledged it yet. */
  #owing = false;
  #nudges = 0;
  #acks = 0;
  #aliveAtMs = 0;
  /** Called once, when the connection is over. */
  onEnd: () => void = () => undefined;

  private constructor(options: LinkOptions, connected: (error?: Fault) => void) {
    this.#options = options;
    const socket = openSocket(options);
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("drain", () => this.#unclog());
    const tap = new MqttTap(socket, {
      puback: (packetId) => this.#acked(packetId),
      chunk: () => this.#chunk(),
    });
    this.#client = new MqttClient(() => tap, {
      clientId: options.clientId,
      clean: true,
      keepalive: Math.max(1, Math.round(options.keepaliveMs / 1000)),
      reschedulePings: false,
      reconnectPeriod: 0,
      connectTimeout: options.connectTimeoutMs,
      protocolVersion: 4,
      ...(options.username === undefined ? {} : { username: options.username }),
      ...(options.password === undefined ? {} : { password: options.password }),
    });
    // The first error says most; the close that follows it says nothing.
    let error: unknown;
    this.#client.on("error", (thrown) => (error ??= thrown));
    this.#client.once("connect", () => connected());
    this.#client.once("close", () => {
      const fault = this.#ended ?? this.#faultOf(error);
      connected(fault);
      this.#end(fault, isHangUp(error));
    });
  }

  /** Resolves after CONNACK; rejects with a {@link Fault}. */
  static connect(options: LinkOptions, signal: AbortSignal): Promise<MqttLink> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = (): void => link.drop(signal.reason as Fault);
      const link = new MqttLink(options, (fault) => {
        signal.removeEventListener("abort", abort);
        if (fault === undefined) resolve(link);
        else reject(fault);
      });
      signal.addEventListener("abort", abort, { once: true });
    });
  }

  /** Sends a parcel. Resolves when all of it is acknowledged, or with what is when the connection ends. */
  publish(parcel: Parcel): Promise<Verdict> {
    return new Promise((settle) => {
      const acknowledged = new Uint8Array(parcel.count);
      const flight: Flight = { parcel, settle, acknowledged, rejected: [], prefix: 0, left: parcel.count };
      if (this.#ended !== undefined) {
        settle({ acked: 0, fault: this.#ended });
        return;
      }
      this.#flights.push(flight);
      if (this.#clogged) this.#queue.push(flight);
      else this.#write(flight);
    });
  }

  /** Ends the connection at once; what is outstanding comes back with `fault`. */
  drop(fault: Fault): void {
    this.#end(fault, false);
    this.#client.end(true);
    this.#socket.destroy();
  }

  /** Says goodbye, and waits a moment for the server to close. Nothing is outstanding. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      const patience = setTimeout(() => this.#socket.destroy(), GOODBYE_MS);
      const closed = (): void => {
        clearTimeout(patience);
        resolve();
      };
      if (this.#socket.destroyed) closed();
      else this.#socket.once("close", closed);
      this.#client.end(false);
    });
  }

  #write(flight: Flight): void {
    const into = flight.parcel.buffer();
    for (let i = 0; i < flight.acknowledged.length; i++) {
      const packetId = this.#nextId();
      const failure = flight.parcel.write(into, i, packetId);
      if (failure === undefined) {
        this.#flightOf[packetId] = flight;
        this.#placeOf[packetId] = i;
      } else {
        flight.rejected.push({ index: i, failure });
        this.#mark(flight, i);
      }
    }
    if (into.length === 0) return;
    this.#owing = false;
    this.#clogged = !this.#socket.write(into.written());
  }

  #unclog(): void {
    this.#clogged = false;
    while (!this.#clogged) {
      const flight = this.#queue.shift();
      if (flight === undefined) return;
      this.#write(flight);
    }
  }

  /** The next id that is not outstanding. Far fewer than all are, by the window. */
  #nextId(): number {
    do {
      this.#packetId = this.#packetId >= PACKET_IDS - 1 ? 1 : this.#packetId + 1;
    } while (this.#flightOf[this.#packetId] !== undefined);
    return this.#packetId;
  }

  /** A PUBACK. One that nothing waits for is ignored. */
  #acked(packetId: number): void {
    const flight = this.#flightOf[packetId];
    if (flight === undefined) return;
    this.#flightOf[packetId] = undefined;
    this.#answered = true;
    this.#acks++;
    const nowMs = performance.now();
    if (nowMs - this.#aliveAtMs > ALIVE_MS) {
      this.#aliveAtMs = nowMs;
      this.#client.reschedulePing(true);
    }
    this.#mark(flight, this.#placeOf[packetId] as number);
  }

  /**
   * A server with Nagle's algorithm on (mosquitto) sends its first PUBACK, and the others only when our TCP has acknowledged
   * that one; our TCP waits 40 ms for something to send along. Where no batch is about to go, a ping goes instead. Its
   * answer has to be acknowledged as well; PUBACKs pay for pings, so that no two sides ping each other for ever.
   */
  #chunk(): void {
    if (this.#acks > 0) this.#nudges = Math.min(NUDGES_MAX, this.#nudges + NUDGES_EACH);
    this.#acks = 0;
    this.#owing = true;
    if (this.#nudges > 0 && this.#flights.length > 0) setImmediate(() => this.#nudge());
  }

  #nudge(): void {
    if (!this.#owing || this.#nudges === 0 || this.#flights.length === 0 || this.#ended !== undefined) return;
    this.#owing = false;
    this.#nudges--;
    this.#socket.write(PINGREQ);
  }

  #mark(flight: Flight, place: number): void {
    const { acknowledged } = flight;
    acknowledged[place] = 1;
    if (place === flight.prefix) {
      while (acknowledged[flight.prefix] === 1) flight.prefix++;
    }
    if (--flight.left > 0) return;
    this.#flights.splice(this.#flights.indexOf(flight), 1);
    flight.settle({ acked: acknowledged.length, rejected: flight.rejected });
  }

  #end(fault: Fault, hungUp: boolean): void {
    if (this.#ended !== undefined) return;
    this.#ended = fault;
    this.#queue.length = 0;
    for (const { settle, prefix, rejected } of this.#flights.splice(0)) {
      settle({ acked: prefix, rejected, fault, suspect: hungUp });
    }
    this.onEnd();
  }

  #faultOf(error: unknown): Fault {
    const { where } = this.#options;
    const code = (error as { code?: unknown } | undefined)?.code;
    if (typeof code === "number") return connackFault(code, where);
    if (error instanceof Error && error.message === "connack timeout") {
      return new Fault("UPLINK_TIMEOUT", "no CONNACK in time", { where, cause: error });
    }
    if (error === undefined || isHangUp(error)) {
      const outstanding = this.#flights.length > 0;
      if (outstanding && !this.#answered) {
        return new Fault("UPLINK_HUNG_UP", "the server closed the connection on what it was sent", { where });
      }
      return new Fault("UPLINK_UNREACHABLE", "the server closed the connection", { where, cause: error });
    }
    return networkFault(error, where);
  }
}

function openSocket({ url, tls }: LinkOptions): Socket {
  // A URL has brackets around an IPv6 address; sockets want none.
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (url.protocol === "mqtt:") return connectTcp({ host, port: Number(url.port || 1883) });
  const name = /^[\d.]+$|:/.test(host) ? {} : { servername: host };
  return connectTls({ host, port: Number(url.port || 8883), ...name, ...tls });
}

/** [MQTT-3.2.2.3]: 1 protocol version, 2 client id, 3 unavailable, 4 user name or password, 5 not authorized. */
function connackFault(code: number, where: string): Fault {
  if (code === 3) return new Fault("UPLINK_BUSY", "the server says that it is unavailable", { where });
  const reasons: Record<number, string> = {
    1: "the server does not speak MQTT 3.1.1",
    2: "the server does not take our client id",
    4: "bad user name or password",
    5: "not authorized",
  };
  return new Fault("UPLINK_DENIED", reasons[code] ?? `the server refused the connection (${code})`, { where });
}

/** The other side ended the connection, in order or not. */
function isHangUp(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return error === undefined || code === "ECONNRESET" || code === "EPIPE";
}

/**
 * The gate of one connection: a Duplex that stands between the socket and aedes.
 *
 * It reads the socket itself, cuts it into packets, checks each, and keeps what concerns events: PUBLISH and PUBREL go
 * to the intake, PINGREQ is answered here. CONNECT, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and the acknowledgements of
 * outbound messages go on to aedes, which sees a device only once it has logged in.
 *
 * Back-pressure is real: while there is any reason to hold, the socket is not read and what was read stays where it is,
 * one chunk at the most.
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Fault } from "../fault.ts";
import { readConnect, rewriteConnect } from "./connect.ts";
import type { Connect } from "./connect.ts";
import type { GateContext } from "./context.ts";
import { Intake } from "./intake.ts";
import type { IntakeGate } from "./intake.ts";
import { login } from "./login.ts";
import { Outbound } from "./outbound.ts";
import { PACKET, PINGRESP, ackFlaw, bodyStart, connack, flagsFlaw, packetBytes, readFilters } from "./packets.ts";
import type { Level } from "./packets.ts";
import { Tail } from "./tail.ts";

/** Why the socket is not read. */
const HOLDS = { login: 1, aedes: 2, inflight: 4, room: 8, local: 16, closing: 32 } as const;

/** How long a connection that we end may take to read our last words, and aedes to let go. */
const LINGER_MS = 2000;

/** What aedes may have waiting before the socket is not read. */
const TO_AEDES_BYTES = 16_384;

/**
 * new: until CONNECT; login: until the seat; greeting: until aedes' CONNACK; open; closing: no more input, last words
 * on their way; closed: the socket is gone.
 */
type Stage = "new" | "login" | "greeting" | "open" | "closing" | "closed";

export class Gate extends Duplex implements IntakeGate {
  readonly #context: GateContext;
  readonly #socket: Socket;
  readonly #outbound: Outbound;
  readonly #tail = new Tail();
  #stage: Stage = "new";
  #holds = 0;
  /** Read and not taken, while held. */
  #rest: Buffer | undefined;
  #level: Level = 4;
  #device = "";
  #isClean = true;
  #sessionPresent = false;
  #intake: Intake | undefined;
  /** What aedes knows of it. */
  #inAedes: "unknown" | "connecting" | "registered" | "gone" = "unknown";
  #keepaliveMs = 0;
  #heard = true;
  #heardAtMs: number;
  #sinceMs: number;
  #isVacated = false;
  #hasNotedReserved = false;
  /** The device said DISCONNECT: its will is void [MQTT-3.14.4-3]. */
  isFarewell = false;

  constructor(context: GateContext, socket: Socket) {
    super({ readableHighWaterMark: TO_AEDES_BYTES, writableHighWaterMark: context.limits.outboundMax });
    this.#context = context;
    this.#socket = socket;
    this.#outbound = new Outbound(socket, context.limits, context.figures, {
      connack: (returnCode) => this.#greet(returnCode),
      overflowed: () => this.#overflowed(),
      dropping: () => this.#log("warn", "device reads too slowly, QoS 0 messages to it are dropped"),
    });
    this.#sinceMs = this.#heardAtMs = context.clock.monotonic();
    context.roster.enter(this);
    context.figures.halfOpen++;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("end", () => this.#ended());
    socket.on("error", () => this.#ended());
    socket.on("close", () => this.#closed());
    // aedes listens while it has the connection; an error may come before and after.
    this.on("error", () => {});
  }

  get device(): string {
    return this.#device;
  }

  get isLoggingIn(): boolean {
    return this.#stage === "new" || this.#stage === "login" || this.#stage === "greeting";
  }

  /** Packets taken from the device and not settled. */
  get inflight(): number {
    return this.#intake?.inflight ?? 0;
  }

  /** Bytes that wait for the device. */
  get outboundWaiting(): number {
    return this.#outbound.waiting;
  }

  // --- reading

  #received(chunk: Buffer): void {
    this.#heard = true;
    if (this.#stage === "closing" || this.#stage === "closed") return;
    if (this.#holds === 0) this.#take(chunk);
    else this.#rest = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
  }

  #take(chunk: Buffer): void {
    if (this.#intake !== undefined) this.#intake.nowMs = this.#context.clock.now();
    let at = 0;
    if (this.#tail.length > 0) {
      at = this.#tail.fill(chunk, 0, this.#packetMax);
      const whole = this.#tail.bytes;
      const needed = this.#tail.needed;
      if (needed >= 0 && needed <= this.#packetMax && needed !== whole.length) return;
      const taken = this.#consume(whole, 0);
      if (taken === 0) this.#keep(Buffer.concat([whole, chunk.subarray(at)]));
      this.#tail.clear();
      if (taken === 0) return;
    }
    const end = this.#consume(chunk, at);
    if (end === chunk.length) return;
    if (this.#holds !== 0) this.#keep(chunk.subarray(end));
    else this.#tail.fill(chunk, end, this.#packetMax);
  }

  #keep(rest: Buffer): void {
    if ((this.#holds & HOLDS.closing) === 0) this.#rest = rest;
  }

  get #packetMax(): number {
    return this.#stage === "new" ? this.#context.limits.loginPacketMax : this.#context.limits.packetMax;
  }

  /** Takes the whole packets of `bytes` from `at` on until one must wait; returns the offset of the first not taken. */
  #consume(bytes: Buffer, from: number): number {
    let at = from;
    const end = bytes.length;
    while (at < end && this.#holds === 0) {
      const length = packetBytes(bytes, at, end);
      if (length === 0) return at;
      if (length < 0) {
        this.malformed("a remaining length of more than four bytes");
        return at;
      }
      if (length > this.#packetMax) {
        this.#oversized(length);
        return at;
      }
      const next = at + length;
      if (next > end) return at;
      const first = bytes[at] as number;
      if (first >> 4 === PACKET.publish && this.#intake !== undefined) {
        if (!this.#intake.publish(bytes, first, bodyStart(bytes, at), next)) return at;
      } else {
        this.#packet(bytes, first, at, next);
      }
      at = next;
    }
    return at;
  }

  /** All but PUBLISH. */
  #packet(bytes: Buffer, first: number, at: number, end: number): void {
    const kind = first >> 4;
    if (this.#stage === "new") {
      this.#connect(bytes, kind, first, at, end);
      return;
    }
    const intake = this.#intake;
    if (intake === undefined || kind === PACKET.connect) {
      this.malformed("a second CONNECT [MQTT-3.1.0-2]");
      return;
    }
    const flaw = flagsFlaw(kind, first & 0b1111, this.#level);
    if (flaw !== undefined) {
      this.malformed(flaw);
      return;
    }
    const body = bodyStart(bytes, at);
    switch (kind) {
      case PACKET.puback:
      case PACKET.pubrec:
      case PACKET.pubrel:
      case PACKET.pubcomp: {
        const bad = ackFlaw(bytes, body, end);
        if (bad !== undefined) this.malformed(bad);
        else if (kind === PACKET.pubrel) intake.release(bytes.readUInt16BE(body));
        else this.#toAedes(bytes.subarray(at, end));
        return;
      }
      case PACKET.subscribe:
      case PACKET.unsubscribe: {
        this.#request(bytes, kind, at, body, end);
        return;
      }
      case PACKET.pingreq:
      case PACKET.disconnect: {
        if (body !== end) this.malformed("a PINGREQ or DISCONNECT with a body");
        else if (kind === PACKET.pingreq) this.acknowledge(PINGRESP);
        else this.#disconnect(bytes.subarray(at, end));
        return;
      }
      default:
        this.malformed("a packet that only servers send, or none of MQTT");
    }
  }

  #request(bytes: Buffer, kind: number, at: number, body: number, end: number): void {
    const { filters, flaw } = readFilters(bytes, body, end, kind === PACKET.subscribe);
    if (flaw !== undefined) {
      this.malformed(flaw);
      return;
    }
    if (kind === PACKET.subscribe && filters.length > 1) {
      // aedes drops repeats, the last one counts, and answers with too few codes.
      const unique = [...new Set(filters)];
      if (unique.length < filters.length) {
        this.#outbound.expectRepeats(
          bytes.readUInt16BE(body),
          filters.map((filter) => unique.indexOf(filter)),
        );
      }
    }
    const packet = Buffer.from(bytes.subarray(at, end));
    // MQTT 3.1 may set DUP here, which aedes' parser does not know.
    packet[0] = (kind << 4) | 0b10;
    this.#toAedes(packet);
  }

  #disconnect(packet: Buffer): void {
    this.isFarewell = true;
    this.#toAedes(packet);
    this.#hold(HOLDS.closing);
    this.#sinceMs = this.#context.clock.monotonic();
  }

  #toAedes(packet: Buffer): void {
    // A view into the tail's buffer would be overwritten.
    if (!this.push(Buffer.from(packet))) this.#hold(HOLDS.aedes);
  }

  // --- logging in

  #connect(bytes: Buffer, kind: number, first: number, at: number, end: number): void {
    if (kind !== PACKET.connect) {
      this.malformed("something else than CONNECT first [MQTT-3.1.0-1]");
      return;
    }
    const flaw = flagsFlaw(kind, first & 0b1111, 4);
    const verdict = flaw === undefined ? readConnect(bytes, at, end) : ({ at: "malformed", flaw } as const);
    switch (verdict.at) {
      case "malformed":
        this.malformed(verdict.flaw);
        return;
      case "refused":
        this.#refuseProtocol(verdict.returnCode, verdict.why);
        return;
      case "sound":
        this.#level = verdict.connect.level;
        this.#stage = "login";
        this.#hold(HOLDS.login);
        void this.#login(verdict.connect, Buffer.from(bytes.subarray(at, end)));
    }
  }

  #refuseProtocol(returnCode: 1 | 2, why: "mqtt-5" | "level" | "client-id"): void {
    const { figures } = this.#context;
    if (why === "client-id") {
      figures.refusedLogins.clientId++;
      this.#log("warn", "login refused: the client id is empty without a clean session, or too long for MQTT 3.1");
    } else {
      figures.refusedLogins.protocol++;
      const remedy =
        "Set the device's protocol version to MQTT 3.1.1 (in mqtt.js protocolVersion: 4, in mosquitto_pub -V 311).";
      this.#log(
        "warn",
        why === "mqtt-5" ? "login refused: the device speaks MQTT 5" : "login refused: unknown protocol level",
        { remedy },
      );
    }
    this.#socket.write(connack(returnCode));
    this.#shut();
  }

  async #login(connect: Connect, packet: Buffer): Promise<void> {
    const context = this.#context;
    const result = await login(context, this, connect).catch((error: unknown) => {
      this.#log("error", "login failed", { err: error });
      return { at: "gone" } as const;
    });
    if (!this.isLoggingIn || result.at === "gone") {
      this.#shut();
      return;
    }
    if (result.at === "refused") {
      context.figures.refusedLogins[result.why]++;
      this.#log("warn", "login refused", { why: result.why });
      this.#socket.write(connack(result.returnCode));
      this.#shut();
      return;
    }
    this.#sessionPresent = result.sessionPresent;
    this.#keepaliveMs = connect.keepaliveS * 1500;
    this.#intake = new Intake(context, this, result.device, result.claimed);
    this.#stage = "greeting";
    this.#inAedes = "connecting";
    context.handle(this);
    this.push(rewriteConnect(packet, connect, result.device));
  }

  /** The roster has given the seat; it is vacated when the gate is over. */
  seated(device: string, isClean: boolean): void {
    this.#device = device;
    this.#isClean = isClean;
    if (this.#stage === "closed") this.#vacate();
  }

  /** aedes' CONNACK, on its way out. */
  #greet(returnCode: number): Buffer {
    if (returnCode !== 0) return connack(returnCode);
    if (this.#stage === "greeting") {
      this.#stage = "open";
      this.#context.figures.halfOpen--;
      this.#context.figures.devices++;
      this.#context.figures.logins++;
      this.#heard = true;
      this.#context.deviceConnected(this.#device);
      // After the CONNACK is written, and not from within aedes' write.
      setImmediate(() => this.#release(HOLDS.login));
    }
    const answer = connack(0);
    answer[2] = this.#sessionPresent ? 1 : 0;
    return answer;
  }

  registered(): void {
    this.#inAedes = "registered";
  }

  /** aedes has let go of the connection. */
  unregistered(): void {
    this.#inAedes = "gone";
    this.#vacate();
  }

  // --- writing

  /** aedes may write after the end; a `false` would have it wait for a drain that never comes, with all others. */
  override write(...args: unknown[]): boolean {
    if (this.destroyed) return true;
    return super.write(...(args as [Buffer]));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.#socket.destroyed && this.#socket.writable) this.#outbound.pass(chunk);
    done();
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    if (!this.#socket.destroyed && this.#socket.writable)
      this.#outbound.pass(Buffer.concat(chunks.map((one) => one.chunk)));
    done();
  }

  override _read(): void {
    this.#release(HOLDS.aedes);
  }

  acknowledge(packets: Buffer): void {
    if (this.#stage !== "open" || !this.#socket.writable) return;
    this.#outbound.answer(packets);
  }

  // --- holding

  hold(reason: "inflight" | "room" | "local"): void {
    this.#hold(HOLDS[reason]);
    if (reason !== "inflight") this.#context.roster.waitFor(reason, this);
  }

  release(reason: "inflight" | "room" | "local"): void {
    this.#release(HOLDS[reason]);
  }

  #hold(hold: number): void {
    if (this.#holds === 0) this.#socket.pause();
    this.#holds |= hold;
  }

  #release(hold: number): void {
    if ((this.#holds & hold) === 0) return;
    this.#holds &= ~hold;
    if (this.#holds !== 0) return;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#take(rest);
    if (this.#holds === 0) this.#socket.resume();
  }

  get isHeld(): boolean {
    return (this.#holds & (HOLDS.inflight | HOLDS.room | HOLDS.local)) !== 0;
  }

  // --- ending

  malformed(flaw: string): void {
    this.#context.figures.malformed++;
    this.#log("warn", "connection closed: the device broke MQTT", { flaw });
    this.#shut();
  }

  refused(fault: Fault | undefined): void {
    if (this.#stage !== "open") return;
    this.#context.figures.refusedConnections++;
    this.#log("error", "connection closed: its message cannot be stored, and is not acknowledged", { fault });
    this.#shut();
  }

  noteReserved(topic: string): void {
    if (this.#hasNotedReserved) return;
    this.#hasNotedReserved = true;
    this.#log("warn", "publish to a topic that the device may not use, thrown away", { topic });
  }

  takenOver(): void {
    this.#log("debug", "connection closed: the device connected anew");
    this.#shut();
  }

  drained(): void {
    if (this.#stage === "closed") this.#vacate();
  }

  #oversized(bytes: number): void {
    this.#context.figures.oversized++;
    this.#log("warn", "connection closed: packet too long", { bytes, packetMax: this.#packetMax });
    this.#shut();
  }

  #overflowed(): void {
    this.#context.figures.outboundDisconnects++;
    this.#log("warn", "connection closed: the device reads too slowly");
    this.#shut();
    this.#socket.destroy();
  }

  /** Every TICK_MS. */
  tick(nowMs: number): void {
    this.#outbound.count();
    if (this.#heard) {
      this.#heard = false;
      this.#heardAtMs = nowMs;
    }
    if (this.isLoggingIn) {
      if (nowMs - this.#sinceMs < this.#context.limits.connectTimeout) return;
      this.#context.figures.refusedLogins.connectTimeout++;
      this.#shut();
    } else if (this.#stage === "open" && (this.#holds & HOLDS.closing) === 0) {
      // A device whose socket is not read is silent too: its pings cannot be answered, and it knows.
      if (this.#keepaliveMs === 0 || nowMs - this.#heardAtMs <= this.#keepaliveMs) return;
      this.#context.figures.keepaliveExpired++;
      this.#log("info", "connection closed: nothing heard for one and a half keepalives");
      this.#shut();
    } else if (nowMs - this.#sinceMs > LINGER_MS) {
      this.#socket.destroy();
      this.destroy();
      // aedes never heard of it, or never will say so.
      if (this.#stage === "closed" && this.#inAedes === "connecting") this.unregistered();
    }
  }

  /** Ends the connection: last words may leave, nothing more is read. */
  #shut(): void {
    if (this.#stage === "closing" || this.#stage === "closed") return;
    this.#leaveStage("closing");
    this.#holds |= HOLDS.closing;
    this.#rest = undefined;
    this.#tail.clear();
    this.#sinceMs = this.#context.clock.monotonic();
    this.destroy();
    // Bytes left unread would turn our last words into a reset.
    this.#socket.resume();
    this.#socket.end();
  }

  close(): void {
    this.#shut();
  }

  override _destroy(_error: Error | null, done: (error: Error | null) => void): void {
    this.#shut();
    done(null);
  }

  /** The device's side ended. aedes still has to read its DISCONNECT, or the will would be published. */
  #ended(): void {
    if (!this.isFarewell) this.#shut();
  }

  #closed(): void {
    const farewell = this.isFarewell && this.#stage === "open";
    this.#leaveStage("closed");
    this.#outbound.count();
    if (!farewell) this.destroy();
    this.#vacate();
  }

  #leaveStage(next: "closing" | "closed"): void {
    if (this.#stage === "open") {
      this.#context.figures.devices--;
      this.#context.deviceDisconnected(this.#device);
    } else if (this.isLoggingIn) {
      this.#context.figures.halfOpen--;
    }
    this.#stage = next;
  }

  /** Gives the seat back once the gate is over (R1). */
  #vacate(): void {
    if (this.#stage !== "closed" || this.#isVacated) return;
    if (this.inflight > 0 || this.#inAedes === "connecting" || this.#inAedes === "registered") return;
    this.#isVacated = true;
    const { roster, sessions, filters, ingress } = this.#context;
    roster.leave(this);
    if (this.#device === "") return;
    if (this.#isClean) {
      filters.removeAll(this.#device);
      ingress.forget(this.#device);
    } else {
      sessions.leave(this.#device);
    }
    roster.vacate(this.#device, this);
  }

  #log(level: "debug" | "info" | "warn" | "error", message: string, fields: object = {}): void {
    this.#context.log[level](
      { device: this.#device === "" ? undefined : this.#device, remote: this.#socket.remoteAddress, ...fields },
      message,
    );
  }
}

/**
 * The gate of one connection: a Duplex that stands between the socket and aedes.
 *
 * Inbound, a reader cuts the stream into packets (reader.ts). CONNECT is checked and logged in here (connect.ts,
 * login.ts), and only then does aedes hear of the connection. PUBLISH and PUBREL go to the intake, the hot path
 * (intake.ts); the rest is answered here or passed on (requests.ts). Outbound, what aedes writes comes past a limit that
 * never pushes back (outbound.ts).
 *
 * It ends in one of two ways: the gate shuts the connection, with a last word and without reading on, or the socket
 * closes. It is over when besides nothing of it is in flight and aedes has let go; then its seat is free (R1).
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Fault } from "../fault.ts";
import { rewriteConnect } from "./connect.ts";
import type { Connect } from "./connect.ts";
import type { GateContext } from "./context.ts";
import { Intake } from "./intake.ts";
import type { IntakeGate } from "./intake.ts";
import { takeConnect } from "./login.ts";
import type { Welcome } from "./login.ts";
import { Outbound } from "./outbound.ts";
import type { OutboundWatch } from "./outbound.ts";
import { PACKET, connack } from "./packets.ts";
import type { Level } from "./packets.ts";
import { HOLD, Reader } from "./reader.ts";
import type { PacketSink } from "./reader.ts";
import { takeRequest } from "./requests.ts";
import type { RequestGate } from "./requests.ts";

/** How long a connection that we end may take to read our last words, and aedes to let go. */
const LINGER_MS = 2000;
/** What aedes may have waiting before the socket is not read. */
const TO_AEDES_BYTES = 16_384;

/**
 * new: until CONNECT; login: until the seat; greeting: until aedes' CONNACK; open; closing: no more input, last words
 * on their way; closed: the socket is gone.
 */
type Stage = "new" | "login" | "greeting" | "open" | "closing" | "closed";

export class Gate extends Duplex implements PacketSink, IntakeGate, RequestGate, OutboundWatch {
  readonly #context: GateContext;
  readonly #socket: Socket;
  readonly outbound: Outbound;
  readonly #reader: Reader;
  #stage: Stage = "new";
  #level: Level = 4;
  #device = "";
  #isClean = true;
  #sessionPresent = false;
  #intake: Intake | undefined;
  /** What aedes knows of it. */
  #inAedes: "unknown" | "connecting" | "registered" | "gone" = "unknown";
  #isVacated = false;
  /** The device has a newer connection. */
  #isSuperseded = false;
  #keepaliveMs = 0;
  #isHeard = true;
  #heardAtMs: number;
  /** When the stage began that LINGER_MS or connectTimeout is about. */
  #sinceMs: number;
  #hasNotedReserved = false;
  /** The device said DISCONNECT: its will is void [MQTT-3.14.4-3]. */
  isFarewell = false;

  constructor(context: GateContext, socket: Socket) {
    // What is written here is taken at once: the mark is only for what piles up within one turn.
    super({ readableHighWaterMark: TO_AEDES_BYTES, writableHighWaterMark: context.limits.outboundMax });
    this.#context = context;
    this.#socket = socket;
    this.outbound = new Outbound(socket, context.limits, context.figures, this);
    this.#reader = new Reader(socket, this, context.pieces);
    this.#sinceMs = this.#heardAtMs = context.clock.monotonic();
    context.roster.enter(this);
    context.figures.halfOpen++;
    // "close" follows.
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#sinceMs = context.clock.monotonic();
      if (this.isLoggingIn) this.#shut();
      this.#reader.end();
    });
    // aedes listens while it has the connection; an error may come before and after.
    this.on("error", () => {});
  }

  get isLoggingIn(): boolean {
    return this.#stage === "new" || this.#stage === "login" || this.#stage === "greeting";
  }

  /** Packets taken from the device and not settled. */
  get inflight(): number {
    return this.#intake?.inflight ?? 0;
  }

  /** Whether its socket is not read for want of room. */
  get isHeld(): boolean {
    return this.#reader.isHeldFor(HOLD.inflight | HOLD.room | HOLD.local);
  }

  // --- inbound

  get packetMax(): number {
    return this.#stage === "new" ? this.#context.limits.loginPacketMax : this.#context.limits.packetMax;
  }

  heard(): void {
    this.#isHeard = true;
    if (this.#intake !== undefined) this.#intake.nowMs = this.#context.clock.now();
  }

  /** What speaks another protocol than MQTT is told so at once, and not after connectTimeout. */
  mayBegin(first: number): boolean {
    return this.#stage !== "new" || first === PACKET.connect << 4;
  }

  packet(bytes: Buffer, at: number, body: number, end: number): boolean {
    const first = bytes[at] as number;
    const intake = this.#intake;
    if (intake === undefined) takeConnect(this, this.#context, bytes, at, end);
    else if (first >> 4 === PACKET.publish) return intake.publish(bytes, first, body, end);
    else takeRequest(this, intake, this.#level, bytes, at, body, end);
    return true;
  }

  toAedes(packet: Buffer): void {
    if (!this.push(packet)) this.#reader.hold(HOLD.aedes);
  }

  /** aedes works on several at a time, and on one filter's SUBSCRIBE and UNSUBSCRIBE in either order: one by one here. */
  request(packet: Buffer, positions: readonly number[], filters: number): void {
    this.#reader.hold(HOLD.request);
    this.outbound.expect(positions);
    this.#context.requests.take(filters, () => this.toAedes(packet));
  }

  answered(): void {
    setImmediate(() => this.#reader.release(HOLD.request));
  }

  farewell(packet: Buffer): void {
    this.isFarewell = true;
    this.#reader.hold(HOLD.closing);
    this.#sinceMs = this.#context.clock.monotonic();
    this.toAedes(packet);
  }

  hold(reason: "inflight" | "room" | "local"): void {
    this.#reader.hold(HOLD[reason]);
    if (reason !== "inflight") this.#context.roster.waitFor(reason, this);
  }

  release(reason: "inflight" | "room" | "local"): void {
    if (!this.#reader.isHeldFor(HOLD[reason])) return;
    if (this.#intake !== undefined) this.#intake.nowMs = this.#context.clock.now();
    this.#reader.release(HOLD[reason]);
  }

  // --- logging in

  beginLogin(connect: Connect): void {
    this.#level = connect.level;
    this.#stage = "login";
    this.#reader.hold(HOLD.login);
  }

  /** A last word: CONNACK with this return code. */
  refuse(returnCode: number, message: string, fields: object): void {
    this.#log("warn", message, fields);
    this.#socket.write(connack(returnCode));
    this.#shut();
  }

  /** aedes hears of the device. */
  welcome({ device, sessionPresent, claimed }: Welcome, connect: Connect, packet: Buffer): void {
    this.#sessionPresent = sessionPresent;
    this.#keepaliveMs = connect.keepaliveS * 1500;
    this.#intake = new Intake(this.#context, this, device, claimed);
    this.#stage = "greeting";
    this.#inAedes = "connecting";
    this.#context.handle(this);
    this.push(rewriteConnect(packet, connect, device));
  }

  /** The roster has given the seat; it is vacated when the gate is over. */
  seated(device: string, isClean: boolean): void {
    this.#device = device;
    this.#isClean = isClean;
    if (this.#stage === "closed") this.#vacate();
  }

  registered(): void {
    this.#inAedes = "registered";
  }

  /** aedes has let go of the connection. */
  unregistered(): void {
    this.#inAedes = "gone";
    this.#vacate();
  }

  // --- outbound

  connack(returnCode: number): Buffer {
    const answer = connack(returnCode);
    if (returnCode !== 0 || this.#stage !== "greeting") return answer;
    answer[2] = this.#sessionPresent ? 1 : 0;
    this.#stage = "open";
    this.#isHeard = true;
    this.#context.figures.halfOpen--;
    this.#context.figures.devices++;
    this.#context.figures.logins++;
    this.#context.deviceConnected(this.#device);
    // After the CONNACK is written, and not from within aedes' write.
    setImmediate(() => {
      if (this.#isSuperseded) this.#shut();
      this.heard();
      this.#reader.release(HOLD.login);
    });
    return answer;
  }

  acknowledge(packets: Buffer): void {
    if (this.#stage !== "open" || !this.#socket.writable) return;
    this.outbound.answer(packets);
  }

  /** aedes may write after the end; a `false` would have it wait for a drain that never comes, with all others. */
  override write(...args: unknown[]): boolean {
    if (this.destroyed) return true;
    return super.write(...(args as [Buffer]));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#socket.writable) this.outbound.pass(chunk);
    done();
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    if (this.#socket.writable) this.outbound.pass(Buffer.concat(chunks.map((one) => one.chunk)));
    done();
  }

  override _read(): void {
    this.#reader.release(HOLD.aedes);
  }

  dropping(): void {
    this.#log("warn", "the device reads too slowly: QoS 0 messages to it are dropped");
  }

  overflowed(): void {
    this.#context.figures.outboundDisconnects++;
    this.#log("warn", "connection closed: the device reads too slowly");
    this.#shut();
    this.#socket.destroy();
  }

  // --- ending

  malformed(flaw: string): void {
    this.#context.figures.malformed++;
    this.#log("warn", "connection closed: the device broke MQTT", { flaw });
    this.#shut();
  }

  oversized(bytes: number): void {
    this.#context.figures.oversized++;
    this.#log("warn", "connection closed: packet too long", { bytes, packetMax: this.packetMax });
    this.#shut();
  }

  refused(fault: Fault | undefined): void {
    if (this.#stage !== "open") return;
    this.#context.figures.refusedConnections++;
    this.#log("error", "connection closed: its message cannot be stored and is not acknowledged", { fault });
    this.#shut();
  }

  noteReserved(topic: string): void {
    if (this.#hasNotedReserved) return;
    this.#hasNotedReserved = true;
    this.#log("warn", "publish to a topic that the device may not use: thrown away", { topic });
  }

  takenOver(): void {
    this.#isSuperseded = true;
    // aedes cannot let go before it has got hold.
    if (this.#stage === "greeting") return;
    this.#log("debug", "connection closed: the device connected anew");
    this.#shut();
  }

  /** Reads no more; what is in flight is still acknowledged. */
  stop(): void {
    this.#reader.hold(HOLD.closing);
  }

  close(): void {
    this.#shut();
  }

  /** Does not wait for last words. */
  abandon(): void {
    this.#shut();
    this.#socket.destroy();
  }

  drained(): void {
    this.#vacate();
  }

  /** Every TICK_MS (R2). */
  tick(nowMs: number): void {
    const { figures, limits } = this.#context;
    this.outbound.count();
    if (this.#isHeard) this.#heardAtMs = nowMs;
    this.#isHeard = false;
    if (this.isLoggingIn) {
      if (nowMs - this.#sinceMs < limits.connectTimeout) return;
      figures.refusedLogins.connectTimeout++;
      this.#shut();
    } else if (this.#stage === "open" && !this.isFarewell && !this.#socket.closed) {
      // A device whose socket is not read is silent too: its pings cannot be answered, and it will know.
      if (this.#keepaliveMs === 0 || nowMs - this.#heardAtMs <= this.#keepaliveMs) return;
      figures.keepaliveExpired++;
      this.#log("info", "connection closed: nothing heard for one and a half keepalives");
      this.#shut();
    } else if (nowMs - this.#sinceMs > LINGER_MS) {
      this.#socket.destroy();
      this.#shut();
      this.destroy();
      // aedes never got as far as to know it.
      if (this.#stage === "closed" && this.#inAedes === "connecting") this.unregistered();
    }
  }

  /** Ends the connection: last words may leave, nothing more is read. */
  #shut(): void {
    if (this.#stage === "closing" || this.#stage === "closed") return;
    this.#leaveStage("closing");
    this.#sinceMs = this.#context.clock.monotonic();
    this.destroy();
    this.#reader.discard();
    if (this.#socket.closed) this.#closed();
    else this.#socket.end();
  }

  override _destroy(_error: Error | null, done: (error: Error | null) => void): void {
    this.#shut();
    done(null);
  }

  ended(): void {
    if (this.#socket.closed) this.#closed();
    // aedes still has to read the DISCONNECT, or the will would be published.
    else if (!this.isFarewell) this.#shut();
  }

  #closed(): void {
    if (this.#stage === "closed") return;
    const isAedesReading = this.isFarewell && this.#stage === "open";
    this.#leaveStage("closed");
    this.outbound.count();
    if (!isAedesReading) this.destroy();
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

  #vacate(): void {
    if (this.#stage !== "closed" || this.#isVacated || this.inflight > 0) return;
    if (this.#inAedes === "connecting" || this.#inAedes === "registered") return;
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
    const device = this.#device === "" ? undefined : this.#device;
    this.#context.complaints.line(level, message, { device, remote: this.#socket.remoteAddress, ...fields });
  }
}

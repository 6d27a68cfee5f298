/**
 * Reads a socket packet by packet, and stops when told to.
 *
 * One connection has PACKETS_MAX packets shown at a time, and then others have their turn: a chunk holds thirty thousand
 * PINGREQs, and fifty such chunks would keep everybody waiting for many seconds.
 *
 * While there is any reason to hold, the socket is not read, and what was read already stays here: one chunk at the
 * most. Packets are shown where they lie in the chunk; only one that came in pieces is copied together (tail.ts).
 */
import type { Socket } from "node:net";
import { bodyStart, packetBytes } from "./packets.ts";
import type { PieceHolder, Pieces } from "./pieces.ts";
import { Tail } from "./tail.ts";

/** Reasons not to read, as bits. */
export const HOLD = {
  login: 1,
  aedes: 2,
  request: 4,
  inflight: 8,
  room: 16,
  local: 32,
  closing: 64,
  turn: 128,
} as const;

export interface PacketSink {
  /** Longest packet, header included. */
  readonly packetMax: number;
  /** Bytes have come. */
  heard(): void;
  /**
   * One whole packet from `at` to `end`, its body starts at `body`. False: it cannot be taken now, `hold` was called;
   * it is shown again after the release.
   */
  packet(bytes: Buffer, at: number, body: number, end: number): boolean;
  /** Asked of a packet that is not whole yet: whether it is worth waiting for, by its first byte. */
  mayBegin(first: number): boolean;
  malformed(flaw: string): void;
  oversized(bytes: number): void;
  /** The connection ends, without last words. */
  abandon(): void;
  /** The device has ended, and all that it sent before was shown. Called once or twice. */
  ended(): void;
}

const PACKETS_MAX = 256;
/** A piece so short is not counted: each connection may have one. */
const PIECE_BYTES_MIN = 4096;

export class Reader implements PieceHolder {
  readonly #socket: Socket;
  readonly #sink: PacketSink;
  readonly #tail = new Tail();
  readonly #pieces: Pick<Pieces, "hold">;
  /** What of them is ours. */
  #heldBytes = 0;
  /** Packets in this turn, also those shown after holds that were released within it. */
  #shown = 0;
  #holds = 0;
  #rest: Buffer | undefined;
  #hasEnded = false;

  constructor(socket: Socket, sink: PacketSink, pieces: Pick<Pieces, "hold">) {
    this.#socket = socket;
    this.#sink = sink;
    this.#pieces = pieces;
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("end", () => this.end());
  }

  /** Nothing more will come. What is held is still shown when its time has come: a DISCONNECT may be in it. */
  end(): void {
    this.#hasEnded = true;
    if (!this.isBusy) this.#sink.ended();
  }

  /** Something that has come is still to be shown, or is being worked on. */
  get isBusy(): boolean {
    return this.#holds !== 0 && !this.isHeldFor(HOLD.closing);
  }

  isHeldFor(holds: number): boolean {
    return (this.#holds & holds) !== 0;
  }

  hold(hold: number): void {
    if (this.#holds === 0) this.#socket.pause();
    this.#holds |= hold;
  }

  release(hold: number): void {
    if ((this.#holds & hold) === 0) return;
    this.#holds &= ~hold;
    if (this.#holds !== 0) return;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#take(rest);
    this.#count();
    if (this.#hasEnded && !this.isBusy) this.#sink.ended();
    else if (this.#holds === 0) this.#socket.resume();
  }

  /** For good. What comes from now on is read and thrown away: left unread, it would turn our last words into a reset. */
  discard(): void {
    this.#holds |= HOLD.closing;
    this.#rest = undefined;
    this.#tail.clear();
    this.#count();
    this.#socket.resume();
  }

  get remote(): string | undefined {
    return this.#socket.remoteAddress;
  }

  crowdedOut(): void {
    this.#heldBytes = 0;
    this.#sink.abandon();
  }

  #received(chunk: Buffer): void {
    if (!this.isHeldFor(HOLD.turn)) this.#shown = 0;
    this.#sink.heard();
    if (this.#holds === 0) this.#take(chunk);
    else this.#keep(this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]));
    this.#count();
  }

  #count(): void {
    const bytes = this.#tail.capacity > PIECE_BYTES_MIN ? this.#tail.capacity : 0;
    if (bytes === this.#heldBytes) return;
    this.#heldBytes = bytes;
    this.#pieces.hold(this, bytes);
  }

  #yield(): void {
    this.hold(HOLD.turn);
    setImmediate(() => {
      this.#shown = 0;
      this.release(HOLD.turn);
    });
  }

  #take(chunk: Buffer): void {
    let at = 0;
    if (this.#tail.length > 0) {
      const { packetMax } = this.#sink;
      at = this.#tail.fill(chunk, 0, packetMax);
      const { bytes, needed } = this.#tail;
      if (needed >= 0 && needed <= packetMax && needed !== bytes.length) return;
      const taken = this.#consume(bytes, 0);
      if (taken === 0) this.#keep(Buffer.concat([bytes, chunk.subarray(at)]));
      this.#tail.clear();
      if (taken === 0) return;
    }
    const end = this.#consume(chunk, at);
    if (end === chunk.length) return;
    if (this.#holds !== 0) this.#keep(chunk.subarray(end));
    else this.#tail.fill(chunk, end, this.#sink.packetMax);
  }

  #keep(rest: Buffer): void {
    if (!this.isHeldFor(HOLD.closing)) this.#rest = rest;
  }

  /** Shows the whole packets of `bytes` from `from` on until one must wait; returns the offset of the first not taken. */
  #consume(bytes: Buffer, from: number): number {
    const sink = this.#sink;
    const end = bytes.length;
    let at = from;
    while (at < end && this.#holds === 0) {
      if (this.#shown++ === PACKETS_MAX) {
        this.#yield();
        return at;
      }
      const length = packetBytes(bytes, at, end);
      if (length === 0 || (length <= sink.packetMax && at + length > end)) {
        if (!sink.mayBegin(bytes[at] as number)) sink.malformed("something else than CONNECT first [MQTT-3.1.0-1]");
        return at;
      }
      if (length < 0) sink.malformed("a remaining length of more than four bytes");
      else if (length > sink.packetMax) sink.oversized(length);
      else if (!sink.packet(bytes, at, bodyStart(bytes, at), at + length)) return at;
      else at += length;
    }
    return at;
  }
}

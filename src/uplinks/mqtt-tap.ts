/**
 * The stream between the socket and mqtt.js. It takes the PUBACKs out, four bytes each, and hands everything else on in
 * whole packets. mqtt.js spends 12 to 15 µs on a message of its own; acknowledgements that never reach it cost nothing.
 */
import { Duplex } from "node:stream";
import type { Socket } from "node:net";

/** A publisher gets CONNACK, PUBACK and PINGRESP. What claims to be longer is no MQTT server. */
const PACKET_BYTES_MAX = 65_536;
const PUBACK = 0x40;

/** What the tap tells of what it sees. */
export interface Heard {
  puback(packetId: number): void;
  /** A piece of the stream is dealt with. */
  chunk(): void;
}

export class MqttTap extends Duplex {
  readonly #socket: Socket;
  readonly #heard: Heard;
  #rest: Buffer | undefined;

  constructor(socket: Socket, heard: Heard) {
    super({ autoDestroy: true, emitClose: true });
    this.#socket = socket;
    this.#heard = heard;
    socket.on("data", (chunk: Buffer) => {
      this.#take(chunk);
      this.#heard.chunk();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  override _read(): void {
    // What arrives is a few bytes now and then; there is nothing to hold back.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk);
    done();
  }

  /** A packet that mqtt.js writes in pieces reaches the socket in one, so that nothing of ours gets in between. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.write(Buffer.concat(chunks.map(({ chunk }) => Buffer.from(chunk))));
    done();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (at < bytes.length) {
      if (bytes[at] === PUBACK && bytes[at + 1] === 2 && at + 4 <= bytes.length) {
        this.#heard.puback(((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number));
        at += 4;
        continue;
      }
      const end = packetEnd(bytes, at);
      if (end - at > PACKET_BYTES_MAX) {
        this.destroy(Object.assign(new Error("what answers is no MQTT server"), { code: "EPROTO" }));
        return;
      }
      if (end > bytes.length) {
        this.#rest = bytes.subarray(at);
        return;
      }
      this.push(bytes.subarray(at, end));
      at = end;
    }
  }
}

/** Where the packet at `at` ends; beyond the bytes there are when it is not complete. */
function packetEnd(bytes: Buffer, at: number): number {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + 1 + i];
    if (byte === undefined) return bytes.length + 1;
    length |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) return at + 2 + i + length;
  }
  return Infinity;
}

/**
 * The CONNECT packet, read strictly. Pure.
 */
import { ownBytes } from "../own-bytes.ts";
import { bodyStart, remainingLength } from "./packets.ts";
import type { Level } from "./packets.ts";
import { readText, topicFlaw } from "./text.ts";

export interface Connect {
  readonly level: Level;
  /** "" when the device leaves the choice to us. */
  readonly clientId: string;
  readonly clean: boolean;
  /** Seconds; 0 turns it off. */
  readonly keepaliveS: number;
  readonly username: string | undefined;
  /** A copy: it outlives the chunk. */
  readonly password: Buffer | undefined;
  /** Offset of the keepalive in the packet, and of the client id's length. */
  readonly keepaliveAt: number;
  readonly clientIdAt: number;
}

export type ConnectVerdict =
  | { readonly at: "sound"; readonly connect: Connect }
  /** Close without a word. */
  | { readonly at: "malformed"; readonly flaw: string }
  /** Answer CONNACK with this return code, then close. */
  | { readonly at: "refused"; readonly returnCode: 1 | 2; readonly why: "mqtt-5" | "level" | "client-id" };

const CLIENT_ID_BYTES_MAX_31 = 23;

const malformed = (flaw: string): ConnectVerdict => ({ at: "malformed", flaw });

/** Walks the length-prefixed fields of a packet; `short` once one reaches past the end. */
class Fields {
  readonly #bytes: Buffer;
  readonly #end: number;
  at: number;
  short = false;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = end;
  }

  byte(): number {
    if (this.at >= this.#end) this.short = true;
    return this.#bytes[this.at++] ?? 0;
  }

  word(): number {
    return this.byte() * 256 + this.byte();
  }

  /** [start, end) of the next field. */
  field(): readonly [number, number] {
    const length = this.word();
    const start = this.at;
    if (start + length > this.#end) this.short = true;
    if (!this.short) this.at += length;
    return [start, this.at];
  }

  text(): string | undefined {
    const [start, end] = this.field();
    return this.short ? "" : readText(this.#bytes, start, end);
  }

  get isAtEnd(): boolean {
    return this.at === this.#end;
  }
}

/** `bytes` from `at` to `end` is one whole CONNECT packet. */
export function readConnect(bytes: Buffer, at: number, end: number): ConnectVerdict {
  const fields = new Fields(bytes, bodyStart(bytes, at), end);
  const name = fields.text();
  if (fields.short || (name !== "MQTT" && name !== "MQIsdp"))
    return malformed("no protocol name of MQTT [MQTT-3.1.2-1]");
  const level = fields.byte();
  if (fields.short) return malformed("a CONNECT that is cut short");
  if (level !== (name === "MQTT" ? 4 : 3)) {
    return { at: "refused", returnCode: 1, why: name === "MQTT" && level === 5 ? "mqtt-5" : "level" };
  }
  return readFlags(bytes, at, fields, level === 4 ? 4 : 3);
}

function readFlags(bytes: Buffer, at: number, fields: Fields, level: Level): ConnectVerdict {
  const flags = fields.byte();
  const keepaliveAt = fields.at - at;
  const keepaliveS = fields.word();
  const clientIdAt = fields.at - at;
  if (fields.short) return malformed("a CONNECT that is cut short");
  const clean = (flags & 0b10) !== 0;
  const will = (flags & 0b100) !== 0;
  const willQos = (flags >> 3) & 0b11;
  const named = (flags & 0x80) !== 0;
  if ((flags & 1) !== 0) return malformed("the reserved CONNECT flag [MQTT-3.1.2-3]");
  if (!will && (flags & 0b0011_1000) !== 0) return malformed("will QoS or retain without a will [MQTT-3.1.2-13, -15]");
  if (willQos === 3) return malformed("will QoS 3 [MQTT-3.1.2-14]");
  if (!named && (flags & 0x40) !== 0) return malformed("a password without a user name [MQTT-3.1.2-22]");

  const clientId = fields.text();
  if (clientId === undefined) return malformed("a client id that MQTT does not allow [MQTT-3.1.3-4]");
  if (will) {
    const topic = fields.text();
    if (topic === undefined) return malformed("text in a will topic that MQTT does not allow [MQTT-3.1.3-10]");
    const flaw = fields.short ? undefined : topicFlaw(topic);
    if (flaw !== undefined) return malformed(`a will on ${flaw}`);
    fields.field();
  }
  const username = named ? fields.text() : "";
  if (username === undefined) return malformed("a user name that MQTT does not allow [MQTT-3.1.3-11]");
  const secret = (flags & 0x40) !== 0 ? fields.field() : undefined;
  if (fields.short) return malformed("a CONNECT that is cut short [MQTT-3.1.2-18]");
  if (!fields.isAtEnd) return malformed("a CONNECT with bytes to spare [MQTT-3.1.2-20]");
  if (!isAllowedId(clientId, clean, level)) return { at: "refused", returnCode: 2, why: "client-id" };
  const connect: Connect = {
    level,
    clientId,
    clean,
    keepaliveS,
    username: named ? username : undefined,
    password: secret === undefined ? undefined : Buffer.from(bytes.subarray(secret[0], secret[1])),
    keepaliveAt,
    clientIdAt,
  };
  return { at: "sound", connect };
}

/** MQTT 3.1: 1 to 23 characters. 3.1.1: an empty one only with a clean session [MQTT-3.1.3-8]. */
function isAllowedId(clientId: string, clean: boolean, level: Level): boolean {
  if (level === 3) return clientId !== "" && Buffer.byteLength(clientId) <= CLIENT_ID_BYTES_MAX_31;
  return clientId !== "" || clean;
}

/**
 * The CONNECT as aedes gets it: keepalive 0, for the gate keeps that, and the client id that we chose when the device
 * left it open. A copy.
 */
export function rewriteConnect(packet: Buffer, connect: Connect, device: string): Buffer {
  // aedes keeps the will that is in it for as long as the device is connected.
  const copy = ownBytes(packet);
  copy.writeUInt16BE(0, connect.keepaliveAt);
  if (connect.clientId !== "") return copy;
  const id = Buffer.from(device);
  const head = copy.subarray(bodyStart(copy, 0), connect.clientIdAt);
  const rest = copy.subarray(connect.clientIdAt + 2);
  const idLength = Buffer.of(id.length >> 8, id.length & 0xff);
  const whole = Buffer.concat([
    copy.subarray(0, 1),
    remainingLength(head.length + 2 + id.length + rest.length),
    head,
    idLength,
    id,
    rest,
  ]);
  return ownBytes(whole);
}

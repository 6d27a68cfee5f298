/**
 * As much MQTT 3.1.1 as measuring needs, as bytes: a client library would cost more per message than what is measured.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";

export const PUBACK_BYTES = 4;

function remainingLength(bytes: number): number[] {
  const digits: number[] = [];
  let left = bytes;
  do {
    const digit = left % 128;
    left = Math.floor(left / 128);
    digits.push(left > 0 ? digit | 0x80 : digit);
  } while (left > 0);
  return digits;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

export function connectPacket(clientId: string): Buffer {
  const KEEPALIVE_S = 300;
  const body = Buffer.concat([
    text("MQTT"),
    Buffer.from([4, 0b10, KEEPALIVE_S >> 8, KEEPALIVE_S & 0xff]),
    text(clientId),
  ]);
  return Buffer.concat([Buffer.from([0x10, ...remainingLength(body.length)]), body]);
}

/** QoS 1 when a packet id is given (1 to 65,535), else QoS 0. */
export function publishPacket(topic: string, payload: Uint8Array, packetId?: number): Buffer {
  const id = packetId === undefined ? [] : [packetId >> 8, packetId & 0xff];
  const body = Buffer.concat([text(topic), Buffer.from(id), payload]);
  return Buffer.concat([Buffer.from([packetId === undefined ? 0x30 : 0x32, ...remainingLength(body.length)]), body]);
}

function subscribePacket(filter: string): Buffer {
  const body = Buffer.concat([Buffer.from([0, 1]), text(filter), Buffer.from([0])]);
  return Buffer.concat([Buffer.from([0x82, ...remainingLength(body.length)]), body]);
}

/** Connects and resolves when the broker has accepted the client. */
export async function openClient(port: number, clientId: string): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  return await new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(`port ${port} closed the connection of ${clientId}`)));
    socket.once("connect", () => socket.write(connectPacket(clientId)));
    socket.once("data", (chunk) => {
      if (chunk[0] !== 0x20 || chunk[3] !== 0) {
        reject(new Error(`port ${port} refused ${clientId}: CONNACK ${chunk.toString("hex")}`));
        return;
      }
      socket.removeAllListeners("error");
      socket.removeAllListeners("close");
      resolve(socket);
    });
  });
}

/** Subscribes at QoS 0. `onMessage` gets topic and payload of each message; returns how to end it. */
export async function subscribe(
  port: number,
  filter: string,
  onMessage: (topic: string, payload: Buffer) => void,
): Promise<() => void> {
  const socket = await openClient(port, `bench-sub-${process.pid}-${Math.random().toString(36).slice(2, 8)}`);
  let rest: Buffer = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  const granted = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      for (;;) {
        const frame = frameAt(rest, at);
        if (frame === undefined) break;
        const kind = (rest[at] as number) >> 4;
        if (kind === 9) resolve();
        if (kind === 3) {
          const topicBytes = rest.readUInt16BE(frame.body);
          const payloadAt = frame.body + 2 + topicBytes;
          onMessage(rest.toString("utf8", frame.body + 2, payloadAt), rest.subarray(payloadAt, frame.end));
        }
        at = frame.end;
      }
      rest = rest.subarray(at);
    });
  });
  socket.write(subscribePacket(filter));
  await granted;
  return () => socket.destroy();
}

function frameAt(bytes: Buffer, at: number): { body: number; end: number } | undefined {
  let length = 0;
  for (let i = 1; i <= 4; i++) {
    const digit = bytes[at + i];
    if (digit === undefined) return undefined;
    length += (digit & 0x7f) * 128 ** (i - 1);
    if (digit < 0x80) {
      const body = at + i + 1;
      return body + length <= bytes.length ? { body, end: body + length } : undefined;
    }
  }
  throw new Error("not MQTT: a remaining length of more than four bytes");
}

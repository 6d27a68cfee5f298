import fc from "fast-check";
import { EventEmitter } from "node:events";
import { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { generate, parser } from "mqtt-packet";
import type { IPublishPacket } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { GrowingBuffer } from "#src/uplinks/growing-buffer.ts";
import { MqttTap } from "#src/uplinks/mqtt-tap.ts";
import { writePublish } from "#src/uplinks/mqtt-publish.ts";

describe("PUBLISH packets", () => {
  it("written by us are read by mqtt-packet as what they are, whatever length was guessed", () => {
    const message = fc.record({
      topic: fc.string({ minLength: 1, maxLength: 40, unit: "grapheme" }),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom(16_383, 16_400).map((n) => new Uint8Array(n)),
      ),
      guess: fc.nat(40_000),
      retain: fc.boolean(),
      packetId: fc.integer({ min: 1, max: 65_535 }),
    });
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 8 }), (messages) => {
        const into = new GrowingBuffer(16);
        for (const { topic, payload, guess, retain, packetId } of messages) {
          const write = (at: GrowingBuffer): void => {
            at.reserve(payload.length);
            at.bytes.set(payload, at.length);
            at.length += payload.length;
          };
          expect(writePublish(into, topic, retain, packetId, write, guess)).toBe(true);
        }
        const read: IPublishPacket[] = [];
        const parse = parser({ protocolVersion: 4 });
        parse.on("packet", (packet) => read.push(packet as IPublishPacket));
        parse.on("error", (error) => {
          throw error;
        });
        expect(parse.parse(into.written())).toBe(0);
        expect(read).toHaveLength(messages.length);
        for (const [i, { topic, payload, retain, packetId }] of messages.entries()) {
          expect(read[i]).toMatchObject({ cmd: "publish", topic, retain, messageId: packetId, qos: 1, dup: false });
          expect(Buffer.from(read[i]?.payload ?? "").equals(payload)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("the tap", () => {
  it("takes PUBACKs out and hands everything else on, wherever the stream is cut", () => {
    const packet = fc.oneof(
      fc.integer({ min: 1, max: 65_535 }).map((messageId) => generate({ cmd: "puback", messageId })),
      fc.constant(generate({ cmd: "pingresp" })),
      fc.constant(generate({ cmd: "connack", returnCode: 0, sessionPresent: false })),
      fc.string({ maxLength: 300 }).map((payload) => {
        return generate({ cmd: "publish", topic: "t", payload, qos: 0, dup: false, retain: false });
      }),
    );
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 30 }), fc.array(fc.nat(2000), { maxLength: 12 }), (packets, cuts) => {
        const socket = new EventEmitter();
        const acknowledged: number[] = [];
        const tap = new MqttTap(socket as Socket, { puback: (id) => acknowledged.push(id), chunk: () => undefined });
        const stream = Buffer.concat(packets);
        const edges = [0, ...cuts.filter((cut) => cut < stream.length).sort((a, b) => a - b), stream.length];
        for (let i = 1; i < edges.length; i++) {
          const chunk = stream.subarray(edges[i - 1], edges[i]);
          if (chunk.length > 0) socket.emit("data", chunk);
        }
        const passed = (tap.read() as Buffer | null) ?? Buffer.alloc(0);
        const pubacks = packets.filter((bytes) => bytes[0] === 0x40);
        expect(acknowledged).toEqual(pubacks.map((bytes) => bytes.readUInt16BE(2)));
        expect(passed).toEqual(Buffer.concat(packets.filter((bytes) => bytes[0] !== 0x40)));
      }),
      { numRuns: 150 },
    );
  });

  it("ends a connection to something that is no MQTT server", async () => {
    const socket = Object.assign(new Duplex({ read: () => undefined, write: () => undefined }), {});
    const tap = new MqttTap(socket as unknown as Socket, { puback: () => undefined, chunk: () => undefined });
    const failed = new Promise<Error>((resolve) => tap.once("error", resolve));
    socket.emit("data", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n".padEnd(100_000, "\xff"), "latin1"));
    // "HTTP" reads as a packet of 84 bytes, and what follows is none of MQTT's either.
    socket.emit("data", Buffer.alloc(100_000, 0xff));
    expect(await failed).toMatchObject({ code: "EPROTO" });
  });
});

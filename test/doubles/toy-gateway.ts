/**
 * The least that can be called a gateway, to calibrate the fault rigs with: a QoS 1 broker that appends payloads to one
 * file, a group at a time, and acknowledges at an instant of the test's choice.
 *
 *     node toy-gateway.ts <port> <file> ack-first | ack-written | ack-synced
 *
 * `ack-first` acknowledges on arrival, `ack-written` after write(2), `ack-synced` after fdatasync(2). A rig that cannot
 * catch the first two losing messages proves nothing about a gateway that passes.
 */
import { open } from "node:fs/promises";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { generate, parser } from "mqtt-packet";
import type { Packet } from "mqtt-packet";

const [port, path, mode] = process.argv.slice(2) as [string, string, "ack-first" | "ack-written" | "ack-synced"];
const file = await open(path, "a");
let waiting: { readonly line: string; readonly ack: () => void }[] = [];
let isWriting = false;

createServer((socket) => {
  const incoming = parser({ protocolVersion: 4 });
  incoming.on("packet", (packet: Packet) => receive(socket, packet));
  socket.on("data", (bytes) => incoming.parse(bytes));
  socket.on("error", () => {});
}).listen(Number(port), "127.0.0.1");

function receive(socket: Socket, packet: Packet): void {
  if (packet.cmd === "connect") socket.write(generate({ cmd: "connack", returnCode: 0, sessionPresent: false }));
  if (packet.cmd !== "publish") return;
  const ack = (): void => void socket.write(generate({ cmd: "puback", messageId: packet.messageId ?? 0 }));
  if (mode === "ack-first") ack();
  waiting.push({ line: `${packet.payload.toString()}\n`, ack: mode === "ack-first" ? () => {} : ack });
  if (!isWriting) void write();
}

async function write(): Promise<void> {
  isWriting = true;
  while (waiting.length > 0) {
    const group = waiting;
    waiting = [];
    await file.write(group.map(({ line }) => line).join(""));
    if (mode === "ack-written") for (const { ack } of group) ack();
    await file.datasync();
    if (mode === "ack-synced") for (const { ack } of group) ack();
  }
  isWriting = false;
}

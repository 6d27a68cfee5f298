/**
 * Rig: a runner that has been taken over. It speaks the wire as the real one does until an event's payload is a lie (see
 * `lying`); then it does what that says: code that sees `id` and the functions of the program below. It differs from the
 * real one in that it has no isolates, and answers an honest batch with nothing but its ends.
 */
import type { RunnerCommand } from "#src/sandbox/runner-process.ts";
import { FRAME_KINDS, RAN_HEAD_BYTES } from "#src/sandbox/wire.ts";

/** The payload that makes it lie. */
export function lying(code: string): Buffer {
  return Buffer.from(`LIE${Buffer.from(code).toString("base64")}LIE`);
}

const PROGRAM = `
import { Socket } from "node:net";
const kinds = ${JSON.stringify(FRAME_KINDS)};
const channel = new Socket({ fd: 3, readable: true, writable: true });
let bytes = Buffer.alloc(0);
channel.on("error", () => {});
channel.on("end", () => process.exit());
channel.on("data", (chunk) => {
  bytes = Buffer.concat([bytes, chunk]);
  while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) {
    const end = 4 + bytes.readUInt32BE(0);
    obey(kinds[bytes[4]], bytes.readUInt32BE(5), bytes.subarray(9, end));
    bytes = bytes.subarray(end);
  }
});
const frame = (kind, id, body = "", length = 5 + body.length) => {
  const head = Buffer.alloc(9);
  head.writeUInt32BE(length, 0);
  head[4] = typeof kind === "number" ? kind : kinds.indexOf(kind);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, Buffer.from(body)]);
};
const raw = (what) => channel.write(what);
const say = (kind, id, body) => raw(frame(kind, id, Buffer.from(body)));
const answer = (lines, failure = "") => {
  const head = Buffer.alloc(${RAN_HEAD_BYTES});
  head.writeUInt32BE(Buffer.byteLength(failure), head.length - 4);
  return Buffer.concat([head, Buffer.from(failure), Buffer.from(lines)]);
};
const ran = (id, lines, failure) => say("ran", id, answer(lines, failure));
const die = () => process.kill(process.pid, "SIGKILL");
const deep = "[".repeat(2_000_000) + "]".repeat(2_000_000);
function obey(kind, id, body) {
  if (kind === "hello") say("ready", 0, "null");
  if (kind === "inspect") say("inspected", id, '{"at":"ready","config":"{}"}');
  if (kind === "load" && JSON.parse(body.toString()).lazy !== true) say("loaded", id, '{"at":"ready","config":"{}"}');
  if (kind !== "run") return;
  const [, lie] = body.toString("latin1").split("LIE");
  if (lie === undefined) ran(id, ".\\n".repeat(body.readUInt16BE(4)));
  else new Function("id", "channel", "frame", "raw", "say", "answer", "ran", "die", "deep", Buffer.from(lie, "base64").toString())(
    id, channel, frame, raw, say, answer, ran, die, deep);
}`;

export const liar: RunnerCommand = { args: ["--input-type=module", "-"], stdin: PROGRAM, guestCode: "" };

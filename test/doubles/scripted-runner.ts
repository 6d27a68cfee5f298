/**
 * A runner that speaks the wire and does what batches and bundles tell it, so that a test can have exactly the end that it
 * wants. It differs from the real one in that it has no isolates: nothing is evaluated, every task ends well without
 * outputs, and it kills itself where the real one would be taken down.
 *
 * A batch with "stuck" in a payload is reported as stuck, one with "hold" in it is never answered. A bundle with "die" in
 * its code kills the runner when it is inspected or loaded, once all that was sent before has been read.
 */
import type { RunnerCommand } from "#src/sandbox/runner-process.ts";
import { FRAME_KINDS, RAN_HEAD_BYTES } from "#src/sandbox/wire.ts";

const program = `
import { Socket } from "node:net";
const kinds = ${JSON.stringify(FRAME_KINDS)};
const channel = new Socket({ fd: 3, readable: true, writable: true });
let bytes = Buffer.alloc(0);
channel.on("data", (chunk) => {
  bytes = Buffer.concat([bytes, chunk]);
  while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) {
    const end = 4 + bytes.readUInt32BE(0);
    obey(kinds[bytes[4]], bytes.readUInt32BE(5), bytes.subarray(9, end));
    bytes = bytes.subarray(end);
  }
});
channel.on("end", () => process.exit());
function say(kind, id, body) {
  const frame = Buffer.alloc(9 + body.length);
  frame.writeUInt32BE(frame.length - 4, 0);
  frame[4] = kinds.indexOf(kind);
  frame.writeUInt32BE(id, 5);
  body.copy(frame, 9);
  channel.write(frame);
}
const json = (value) => Buffer.from(JSON.stringify(value));
function obey(kind, id, body) {
  if (kind === "hello") say("ready", 0, json(null));
  if (kind === "load" || kind === "inspect") {
    const said = JSON.parse(body.toString());
    if (said.lazy === true) return;
    if (body.includes("die")) process.kill(process.pid, "SIGKILL");
    say(kind === "load" ? "loaded" : "inspected", id, json({ at: "ready", config: "{}" }));
  }
  if (kind !== "run" || body.includes("hold")) return;
  if (body.includes("stuck")) say("stuck", id, json({ index: 0 }));
  else say("ran", id, Buffer.concat([Buffer.alloc(${RAN_HEAD_BYTES}), Buffer.from(".\\n".repeat(body.readUInt16BE(4)))]));
}`;

export const scriptedRunner: RunnerCommand = {
  args: ["--input-type=module", "-"],
  stdin: program,
  guestCode: "",
};

/**
 * A login, from the CONNECT packet to a seat: is it sound, its turn, access, room for one more, the seat, the session.
 */
import { randomUUID } from "node:crypto";
import { readConnect } from "./connect.ts";
import type { Connect } from "./connect.ts";
import type { GateContext } from "./context.ts";
import type { Gate } from "./gate.ts";
import { PACKET, flagsFlaw } from "./packets.ts";

export interface Welcome {
  readonly device: string;
  /** For CONNACK [MQTT-3.2.2-2]. */
  readonly sessionPresent: boolean;
  /** QoS 2 packet ids that are claimed from before. */
  readonly claimed: Set<number>;
}

type Login =
  | ({ readonly at: "seated" } & Welcome)
  | { readonly at: "refused"; readonly returnCode: 3 | 4 | 5; readonly why: "access" | "devicesMax" | "sessionsMax" }
  /** The connection ended meanwhile, or a newer one of the same device came. */
  | { readonly at: "gone" };

const MQTT_5_REMEDY =
  "set the device's protocol version to MQTT 3.1.1 (mqtt.js: protocolVersion 4, mosquitto_pub: -V 311)";

/** The first packet of a connection, from `at` to `end`. */
export function takeConnect(gate: Gate, context: GateContext, bytes: Buffer, at: number, end: number): void {
  const first = bytes[at] as number;
  if (first >> 4 !== PACKET.connect) {
    gate.malformed("something else than CONNECT first [MQTT-3.1.0-1]");
    return;
  }
  const flaw = flagsFlaw(PACKET.connect, first & 0b1111, 4);
  const verdict = flaw === undefined ? readConnect(bytes, at, end) : ({ at: "malformed", flaw } as const);
  switch (verdict.at) {
    case "malformed":
      gate.malformed(verdict.flaw);
      return;
    case "refused":
      refuseProtocol(gate, context, verdict.returnCode, verdict.why);
      return;
    case "sound":
      context.roster.spoke(gate);
      gate.beginLogin(verdict.connect);
      void finish(gate, context, verdict.connect, Buffer.from(bytes.subarray(at, end)));
  }
}

function refuseProtocol(
  gate: Gate,
  context: GateContext,
  returnCode: 1 | 2,
  why: "mqtt-5" | "level" | "client-id",
): void {
  const { refusedLogins } = context.figures;
  if (why === "client-id") {
    refusedLogins.clientId++;
    gate.refuse(
      returnCode,
      "login refused: the client id is empty without a clean session, or does not suit MQTT 3.1",
      {},
    );
    return;
  }
  refusedLogins.protocol++;
  const message =
    why === "mqtt-5" ? "login refused: the device speaks MQTT 5" : "login refused: unknown protocol level";
  gate.refuse(returnCode, message, { remedy: MQTT_5_REMEDY });
}

/** `packet` is a copy. */
async function finish(gate: Gate, context: GateContext, connect: Connect, packet: Buffer): Promise<void> {
  let result: Login = { at: "gone" };
  try {
    result = await login(context, gate, connect);
  } catch (error) {
    context.complaints.line("error", "login failed", { err: error });
  }
  if (!gate.isLoggingIn || result.at === "gone") {
    gate.close();
  } else if (result.at === "refused") {
    context.figures.refusedLogins[result.why]++;
    gate.refuse(result.returnCode, "login refused", { why: result.why });
  } else {
    gate.welcome(result, connect, packet);
  }
}

async function login(context: GateContext, gate: Gate, connect: Connect): Promise<Login> {
  const { roster, sessions, limits, access, ingress } = context;
  const device = connect.clientId === "" ? `auto-${randomUUID()}` : connect.clientId;
  await roster.turn();
  if (!gate.isLoggingIn) return { at: "gone" };
  const answer = await access.connect(device, connect.username, connect.password);
  if (!gate.isLoggingIn) return { at: "gone" };
  if (answer.at === "denied") return { at: "refused", returnCode: answer.returnCode, why: "access" };
  if (roster.holder(device) === undefined && roster.seats >= limits.devicesMax) {
    return { at: "refused", returnCode: 3, why: "devicesMax" };
  }
  if (!(await roster.seat(device, gate))) return { at: "gone" };
  // From here on the seat is the gate's, and vacated when the gate is over.
  gate.seated(device, connect.clean);
  if (!gate.isLoggingIn) return { at: "gone" };
  const present = sessions.has(device) && !connect.clean;
  if (connect.clean) sessions.remove(device);
  else if (!sessions.open(device)) return { at: "refused", returnCode: 3, why: "sessionsMax" };
  // It begins with nothing, QoS 2 claims included: its packet ids are for new messages.
  if (!present) ingress.forget(device);
  // Claims are on disk before they are answered. Which session they belong to has to be as well, or after a power cut
  // they would be taken for those of the one before, or of none (broker.ts).
  await sessions.settled(device);
  // MQTT 3.1 has no such bit.
  return {
    at: "seated",
    device,
    sessionPresent: present && connect.level === 4,
    claimed: new Set(ingress.claimed(device)),
  };
}

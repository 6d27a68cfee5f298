/**
 * A login, from a sound CONNECT to a seat: its turn, access, room for one more, the seat, the session.
 */
import { randomUUID } from "node:crypto";
import type { Connect } from "./connect.ts";
import type { GateContext } from "./context.ts";
import type { Gate } from "./gate.ts";

export type Login =
  | {
      readonly at: "seated";
      readonly device: string;
      /** For CONNACK [MQTT-3.2.2-2]. */
      readonly sessionPresent: boolean;
      /** QoS 2 packet ids that are claimed from before. */
      readonly claimed: Set<number>;
    }
  | { readonly at: "refused"; readonly returnCode: 3 | 4 | 5; readonly why: "access" | "devicesMax" | "sessionsMax" }
  /** The connection ended meanwhile, or a newer one of the same device came. */
  | { readonly at: "gone" };

export async function login(context: GateContext, gate: Gate, connect: Connect): Promise<Login> {
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
  if (connect.clean) {
    sessions.remove(device);
    ingress.forget(device);
    return { at: "seated", device, sessionPresent: false, claimed: new Set() };
  }
  const present = sessions.has(device);
  if (!sessions.open(device)) return { at: "refused", returnCode: 3, why: "sessionsMax" };
  // MQTT 3.1 has no such bit.
  return {
    at: "seated",
    device,
    sessionPresent: present && connect.level === 4,
    claimed: new Set(ingress.claimed(device)),
  };
}

/**
 * What all gates of a broker share.
 */
import type { Duplex } from "node:stream";
import type { Clock } from "../time.ts";
import type { Access } from "./access.ts";
import type { Complaints } from "./complaints.ts";
import type { BrokerFigures } from "./figures.ts";
import type { Filters } from "./filters.ts";
import type { Ingress } from "./ingress.ts";
import type { Local } from "./local.ts";
import type { Pieces } from "./pieces.ts";
import type { RequestTurns } from "./request-turns.ts";
import type { Roster } from "./roster.ts";
import type { BrokerLimits } from "./settings.ts";
import type { Topics } from "./topics.ts";

/** The persistent sessions, as a login needs them. */
export interface SessionBook {
  has(device: string): boolean;
  /** Makes or renews the session; false when there are too many. */
  open(device: string): boolean;
  /** Resolves when it is on disk whether the device has a session; undefined: it is. */
  settled(device: string): Promise<void> | undefined;
  /** The device left; its session may expire from now on. */
  leave(device: string): void;
  /** Removes all of the session. */
  remove(device: string): void;
}

export interface GateContext {
  readonly ingress: Ingress;
  readonly access: Access;
  readonly limits: BrokerLimits;
  readonly figures: BrokerFigures;
  readonly filters: Filters;
  readonly topics: Topics;
  readonly local: Local;
  readonly sessions: SessionBook;
  readonly roster: Roster;
  readonly pieces: Pieces;
  readonly requests: RequestTurns;
  readonly clock: Clock;
  readonly complaints: Complaints;
  /** Shows a logged-in device to aedes. */
  handle(conn: Duplex): void;
  /** Calls `flush` once the commit that is being told is told to everybody. */
  flushSoon(intake: { flush(): void }): void;
  deviceConnected(device: string): void;
  deviceDisconnected(device: string): void;
  deviceSubscribed(device: string, filter: string, qos: number): void;
}

/**
 * Door of the control room: HTTP on loopback for operators, probes and Prometheus.
 *
 * Mechanism. One fastify server on the url of `control.url`. Every route stands in one table (api.ts) with its role and
 * its zod schemas; the same table registers the routes and writes `/api/v1/openapi.json`, so that the two cannot
 * disagree. Nothing is kept here: each answer is read from the {@link ControlSource} when it is asked for, and metrics
 * are collected when they are scraped.
 *
 * C1  It listens on loopback only; any other address is refused at start (CONTROL_OPEN), for there is no TLS here.
 * C2  All but /livez, /readyz and /hooks, where handlers say who may call, need a bearer token, compared in constant time. The first start draws an admin token
 *     and writes it to `<data>/admin.token`, mode 0600.
 * C3  A request whose Host names no loopback name is refused, so that a web page cannot reach it by DNS rebinding.
 * C4  Bodies, headers, connections and the time of a request are bounded; the limits are settings.
 * C5  Errors are `application/problem+json` (RFC 9457) with the fault's code and remedy; what is unexpected is logged
 *     and answered without its details.
 * C6  Closing ends streams and idle connections at once and gives requests in flight until the deadline.
 * C7  Nobody is kept out by who opens connections, or sends requests slowly (connections.ts).
 * C8  A connection has one request at a time: one that sends the next before the answer is closed.
 * C9  Bodies that are larger than others' may be have 128 MB together while they are on their way.
 */
import type { Log } from "../log.ts";
import type { Failure } from "../task.ts";
import type { Clock } from "../time.ts";
import type { Figures } from "./figures.ts";
import type { HandlerAnswer } from "./handler-shapes.ts";
import type { Hooks } from "./hooks.ts";
import type { ReplayAnswer, ReplayBody } from "./replay-shapes.ts";
import type { ControlSettings } from "./settings.ts";
import { openServer } from "./server.ts";
import type { DeployedAnswer, VersionsAnswer } from "./version-shapes.ts";
import type { ControlServer } from "./server.ts";
import type { StateSource } from "./state-routes.ts";
import type { Stream } from "./stream.ts";

/** What the control room asks of the gateway. */
export interface ControlSource {
  status(): Status;
  /** Handlers and routes with what they did lately. */
  handlers(): readonly HandlerAnswer[];
  /** Why the gateway is not ready, one sentence each; none when it is. */
  ready(): readonly string[];
  /** Throws JOURNAL_UNWRITABLE while nothing that is asked for could be written down. */
  assertTakesChanges(): void;
  /** What the rooms count, read at each scrape. */
  figures(): Figures;
  readonly dead: DeadLetters;
  /** What handlers remember. */
  readonly states: StateSource;
  /** What happens, for who looks on. */
  readonly stream: Stream;
  readonly replays: ReplaysSource;
  /**
   * Gives up what waits for a handler that nobody runs; resolves with how many tasks. Throws CONTROL_DEPLOYED when somebody
   * does, CONTROL_NOT_FOUND when there has never been one of the name.
   */
  dropTasks(handler: string): Promise<number>;
  readonly versions: VersionsSource;
}

/** Handlers' versions. All throw CONTROL_NOT_FOUND when no version of that name is live, and the faults of deployments. */
export interface VersionsSource {
  /** Also of a handler that is gone, while its versions are kept. */
  list(name: string): Promise<VersionsAnswer>;
  /** `share` of the keys that it is tried on, 0: as a shadow; undefined: it goes live. */
  deploy(upload: Upload): Promise<DeployedAnswer>;
  promote(name: string, by: By): Promise<DeployedAnswer>;
  /** Also of a handler that is gone: it is back with that. */
  rollBack(name: string, to: By & { readonly version?: number | undefined }): Promise<DeployedAnswer>;
  /** Resolves with how many tasks wait for it. */
  remove(name: string, by: By): Promise<number>;
}

interface By {
  readonly author?: string | undefined;
  readonly message?: string | undefined;
}

interface Upload extends By {
  readonly name: string;
  readonly code: string;
  readonly sourceMap: string;
  readonly file: string;
  readonly share: number | undefined;
}

export interface Status {
  readonly gateway: string;
  readonly version: string;
  /** Drawn with the data folder. */
  readonly journalId: string;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly ledger: Ledger;
  /** Events that nobody wanted; they are not journaled. */
  readonly unmatched: number;
  readonly handlers: readonly HandlerStatus[];
  readonly uplinks: readonly UplinkStatus[];
  readonly journal: { readonly bytes: number; readonly sizeMaxBytes: number };
  /** What is known to be damaged at rest; empty on a healthy box. */
  readonly damage: readonly DamageStatus[];
}

/** The books (G4), as DESIGN 5.6 has them. */
export interface Ledger {
  readonly events: {
    readonly accepted: number;
    readonly done: number;
    readonly dead: number;
    readonly expired: number;
    readonly dropped: number;
    readonly pending: number;
  };
  readonly uplinks: Readonly<
    Record<
      string,
      {
        readonly emitted: number;
        readonly delivered: number;
        readonly expired: number;
        readonly dropped: number;
        readonly rejected: number;
        readonly waiting: number;
      }
    >
  >;
}

export interface HandlerStatus {
  readonly name: string;
  /** What runs it, a line each; none of a route. */
  readonly triggers: readonly string[];
  /** The live version; 0 when none is. */
  readonly version: number;
  /** Tasks not yet begun, in memory and on disk, parked ones excluded. */
  readonly waiting: number;
  readonly parked: number;
  readonly running: number;
  /** Its source, or the route, is gone, and tasks wait for it all the same. */
  readonly removed: boolean;
  /** For how long it stands aside because it has cost runners; 0 when it does not. */
  readonly quarantinedMs: number;
  /** Whether it has run for a while without costing an isolate or a runner; until then it runs apart from those that have. */
  readonly proven: boolean;
  readonly onProbation: boolean;
  /** What is tried beside the live version; with share 0 as a shadow. */
  readonly candidate?: { readonly version: number; readonly share: number } | undefined;
  /** Why the newest build is not live, when it is not. */
  readonly failure?: string | undefined;
}

export interface UplinkStatus {
  readonly name: string;
  readonly kind: string;
  /** Its lifecycle's state: "sending", "waiting", "paused", … */
  readonly state: string;
  /** False from a fault until something is acknowledged again. */
  readonly healthy: boolean;
  readonly waiting: number;
  readonly waitingBytes: number;
  /** Milliseconds until the next try, while it waits for one. */
  readonly retryInMs?: number | undefined;
  /** Why it is not healthy, as a fault explains itself. */
  readonly failure?: string | undefined;
}

export interface DamageStatus {
  readonly where: string;
  readonly from: number;
  readonly to: number;
  readonly what: string;
}

/** Replays of a handler, by its name and their ids. Each throws a Fault when there is no such replay. */
export interface ReplaysSource {
  start(handler: string, asked: ReplayBody): Promise<ReplayAnswer>;
  list(handler: string): readonly ReplayAnswer[];
  get(handler: string, id: string): ReplayAnswer;
  /** Resolves when nothing more of it counts. */
  cancel(handler: string, id: string): Promise<ReplayAnswer>;
  resume(handler: string, id: string): Promise<ReplayAnswer>;
}

/** What the journal's door has under the same names. */
export interface DeadLetters {
  /** Oldest first, those after the id `after`; at most `limit` (1 to 1000). */
  list(query: DeadQuery): Promise<readonly DeadLetter[]>;
  get(id: string): Promise<DeadLetter | undefined>;
  /** Makes it a task (or an output) again, in one commit; or, with a version, runs it on that as a replay does. False when there is no such dead letter. */
  redrive(id: string, version?: number): Promise<boolean>;
  /** Forgets it for good; the ledger counts it as dropped from then on. False when there is no such dead letter. */
  drop(id: string): Promise<boolean>;
}

export interface DeadQuery {
  readonly handler?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface DeadLetter {
  readonly id: string;
  /** A task that failed for good, or an output that its uplink will never take. */
  readonly kind: "task" | "output";
  readonly handler: string;
  /** The version that failed. */
  readonly version: number;
  /** The uplink that rejected it, for an output. */
  readonly uplink: string | undefined;
  /** Id of the event. */
  readonly event: string;
  readonly topic: string;
  readonly key: string;
  /** Tries that failed. */
  readonly attempt: number;
  /** When it became a dead letter, milliseconds since 1970. */
  readonly timeMs: number;
  readonly failure: Failure;
  /** The event's payload, or the output's data. */
  readonly payload: Uint8Array;
  /** The event, when it is a task; `timeMs` is when it was accepted. */
  readonly source: { readonly device: string; readonly timeMs: number } | undefined;
}

export interface ControlOptions {
  readonly settings: ControlSettings;
  /** Absolute path of the data folder, where admin.token lies. */
  readonly data: string;
  readonly source: ControlSource;
  /** Who takes calls of webhooks, below /hooks; without it there is nothing there. */
  readonly hooks?: Hooks;
  readonly clock: Clock;
  readonly log: Log;
}

export class Control {
  readonly #server: ControlServer;

  private constructor(server: ControlServer) {
    this.#server = server;
  }

  /** Listens. Throws CONTROL_OPEN for an address that is not loopback and CONTROL_LISTEN when it cannot be had. */
  static async open(options: ControlOptions): Promise<Control> {
    return new Control(await openServer(options));
  }

  /** Where it listens, with the port that was given for port 0: "http://127.0.0.1:8080". */
  get url(): string {
    return this.#server.url;
  }

  /** C6. Resolves within `deadlineMs`, whatever requests do. */
  close(deadlineMs: number): Promise<void> {
    return this.#server.close(deadlineMs);
  }
}

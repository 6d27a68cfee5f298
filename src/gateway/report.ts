/** What the gateway says of itself: the status, its readiness, and the rooms' figures. */
import type { Broker } from "../broker/broker.ts";
import { zeroFigures } from "../broker/figures.ts";
import type { Config } from "../config.ts";
import type { ControlSource, HandlerStatus, Ledger, ReplaysSource, Status } from "../control/control.ts";
import type { Figures } from "../control/figures.ts";
import type { HandlerAnswer } from "../control/handler-shapes.ts";
import type { Stream } from "../control/stream.ts";
import type { Deployments, LiveHandler } from "../deployments/deployments.ts";
import { shownTriggers } from "../deployments/shown.ts";
import type { Egress } from "../egress/egress.ts";
import type { Journal } from "../journal/journal.ts";
import { Fault } from "../fault.ts";
import { showBytes } from "../shown-bytes.ts";
import type { Pipeline } from "../pipeline.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { LineFigures } from "../tasks/line-figures.ts";
import type { Hooks, Notices, Ticker } from "../triggers/triggers.ts";
import { systemClock as clock } from "../time.ts";
import { version } from "../version.ts";
import { handlerReport } from "./handler-report.ts";
import type { Hosting } from "./hosting.ts";
import { DEVICES } from "./outlets.ts";
import type { Outlets } from "./outlets.ts";

import { versionsSource } from "./version-report.ts";
export interface ReportRooms {
  readonly config: Config;
  readonly journal: Journal;
  readonly outlets: Outlets;
  readonly sandbox: Sandbox;
  readonly egress: Egress;
  readonly pipeline: Pipeline;
  readonly hosting: Hosting;
  readonly deployments: Deployments;
  readonly ticker: Ticker;
  readonly hooks: Hooks;
  readonly stream: Stream;
  readonly notices: Notices;
  readonly replays: ReplaysSource & {
    redrive(letter: string, version: number): Promise<boolean>;
    figures(): Figures["replays"];
  };
  /** Undefined until it is open, which is last. */
  readonly broker: () => Broker | undefined;
}

export class Report implements ControlSource {
  readonly #rooms: ReportRooms;
  readonly #startedMs = clock.now();

  constructor(rooms: ReportRooms) {
    this.#rooms = rooms;
  }

  get states(): ControlSource["states"] {
    const { journal, pipeline } = this.#rooms;
    return {
      list: (query) => journal.states.list(query),
      get: (handler, key) => journal.states.get(handler, key),
      remove: (handler, key) => journal.states.remove(handler, key, (id) => pipeline.lines.stateRemoved(id, key)),
    };
  }

  get stream(): Stream {
    return this.#rooms.stream;
  }

  get replays(): ControlSource["replays"] {
    return this.#rooms.replays;
  }

  get dead(): ControlSource["dead"] {
    const { dead } = this.#rooms.journal;
    return {
      list: (query) => dead.list(query),
      get: (id) => dead.get(id),
      drop: (id) => dead.drop(id),
      redrive: async (id, version) => {
        if (version !== undefined) return await this.#rooms.replays.redrive(id, version);
        const letter = await dead.get(id);
        if (letter?.kind === "task") this.#assertRuns(letter.handler);
        if (letter?.uplink !== undefined) this.#assertSends(letter.uplink);
        return dead.redrive(id);
      },
    };
  }

  get versions(): ControlSource["versions"] {
    return versionsSource(this.#rooms.deployments, this.#rooms.pipeline);
  }

  /** What nobody runs would wait until it expires. */
  #assertRuns(handler: string): void {
    if (this.#rooms.hosting.runs(handler)) return;
    throw new Fault("CONTROL_NOT_DEPLOYED", `the handler ${handler} is not deployed, so nobody would run it`);
  }

  #assertSends(uplink: string): void {
    if (uplink === DEVICES || this.#rooms.outlets.names.includes(uplink)) return;
    throw new Fault("UPLINK_UNKNOWN", "the config has no such uplink any more, so nobody would send it", {
      where: uplink,
    });
  }

  async dropTasks(handler: string): Promise<number> {
    const { hosting, journal } = this.#rooms;
    if (hosting.runs(handler))
      throw new Fault("CONTROL_DEPLOYED", `the handler ${handler} is there, and runs its tasks`);
    const count = await journal.dropPending(handler);
    if (count === undefined) throw new Fault("CONTROL_NOT_FOUND", `there has never been a handler ${handler}`);
    return count;
  }

  ready(): readonly string[] {
    const { journal, broker, sandbox } = this.#rooms;
    const { failing, full, isDiskShort, diskFreeBytes, diskWantedBytes } = journal.figures();
    const reasons: string[] = [];
    if (broker() === undefined) reasons.push("it is starting: the broker does not listen yet");
    if (failing !== 0) reasons.push("the journal cannot write to its disk");
    else if (full !== 0 && isDiskShort)
      reasons.push(
        `the journal's disk has ${showBytes(diskFreeBytes)} left: events are refused until it has ${showBytes(diskFreeBytes + diskWantedBytes)}`,
      );
    else if (full !== 0) reasons.push("the journal is full, and events are refused");
    if (sandbox.figures().runnersReady === 0) reasons.push("no runner is ready");
    return reasons;
  }

  assertTakesChanges(): void {
    if (this.#rooms.journal.figures().hasGivenUp)
      throw new Fault("JOURNAL_UNWRITABLE", "the journal cannot write to its disk");
  }

  status(): Status {
    const { config, journal, outlets, pipeline } = this.#rooms;
    const { usedBytes, sizeMaxBytes } = journal.figures();
    return {
      gateway: config.gateway.id,
      version,
      journalId: journal.id,
      startedMs: this.#startedMs,
      ledger: ledgerOf(journal),
      unmatched: pipeline.unmatched,
      handlers: this.#handlers(),
      uplinks: outlets.status().map((uplink) => ({ ...uplink, failure: uplink.fault?.explain() })),
      journal: { bytes: usedBytes, sizeMaxBytes },
      damage: journal.damage,
    };
  }

  figures(): Figures {
    const { broker, outlets, pipeline, journal, sandbox, egress, deployments, ticker, hooks, notices } = this.#rooms;
    return {
      broker: broker()?.figures() ?? { ...zeroFigures(), held: 0 },
      journal: journal.figures(),
      sandbox: sandbox.figures(),
      egress: egress.figures(),
      deployments: deployments.figures(),
      uplinks: outlets.figures(),
      pipeline: pipeline.figures(),
      stream: this.stream.figures(),
      replays: this.#rooms.replays.figures(),
      triggers: { ...ticker.figures(), ...hooks.figures(), ...notices.figures() },
    };
  }

  handlers(): readonly HandlerAnswer[] {
    const { hosting, pipeline, journal } = this.#rooms;
    const lines = new Map(pipeline.figures().handlers.map((line) => [line.name, line]));
    const live = new Map(hosting.liveHandlers.map((one) => [one.name, one.settings]));
    const routes = new Set(hosting.routes.map(({ name }) => name));
    const stateBytesOf = new Map(Object.entries(journal.figures().stateBytesOf)); // A handler may be named "constructor".
    return this.#handlers().map((status) =>
      handlerReport({
        status,
        line: lines.get(status.name),
        isRoute: routes.has(status.name),
        memoryMax: live.get(status.name)?.memoryBytes,
        stateBytes: stateBytesOf.get(status.name) ?? 0,
      }),
    );
  }

  #handlers(): HandlerStatus[] {
    const { hosting, pipeline, journal } = this.#rooms;
    const lines = new Map(pipeline.figures().handlers.map((line) => [line.name, line]));
    const versions = new Map(hosting.liveHandlers.map((live) => [live.name, live]));
    const pending = new Map(journal.pending().map((of) => [of.name, of]));
    const names = [
      ...new Set([...lines.keys(), ...versions.keys(), ...hosting.failures.keys(), ...pending.keys()]),
    ].filter((name) => name !== "");
    return names.map((name) => {
      const line = lines.get(name);
      const candidate = line?.versions.candidate;
      const { waiting, parked } = line ?? pending.get(name) ?? { waiting: 0, parked: 0 };
      return {
        name,
        triggers: shownTriggersOf(versions.get(name)),
        version: versions.get(name)?.version ?? 0,
        waiting,
        parked,
        running: line?.running ?? 0,
        removed: !hosting.runs(name) && !hosting.failures.has(name),
        quarantinedMs: line?.quarantinedMs ?? 0,
        proven: line?.proven ?? false,
        onProbation: line?.versions.live.probation !== undefined,
        candidate: candidate && { version: candidate.version, share: candidate.share },
        failure: (hosting.failures.get(name) ?? quarantineOf(line))?.explain(),
      };
    });
  }
}

function shownTriggersOf(live: LiveHandler | undefined): readonly string[] {
  return live === undefined ? [] : shownTriggers(live.settings);
}

function quarantineOf(line: LineFigures | undefined): Fault | undefined {
  if (line === undefined || line.quarantinedMs === 0) return undefined;
  const seconds = Math.ceil(line.quarantinedMs / 1000);
  const message = `in quarantine for another ${seconds} s: its events have cost ${line.runnersLost} runners`;
  return new Fault("HANDLER_QUARANTINED", message);
}

/** The books; what goes to local devices is left out until something does. */
function ledgerOf(journal: Journal): Ledger {
  const { events, uplinks } = journal.ledger();
  const shown = Object.entries(uplinks).filter(([name, { emitted }]) => name !== DEVICES || emitted > 0);
  return { events, uplinks: Object.fromEntries(shown) };
}

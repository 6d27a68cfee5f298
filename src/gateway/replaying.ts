/** Replays, put together: what the journal keeps, run by the sandbox, on versions that the deployments keep. */
import type { ReplaysSource } from "../control/control.ts";
import type { ReplayAnswer } from "../control/replay-shapes.ts";
import type { Deployments } from "../deployments/deployments.ts";
import { eventId } from "../event.ts";
import { Fault } from "../fault.ts";
import type { Journal } from "../journal/journal.ts";
import type { Log } from "../log.ts";
import type { Pipeline } from "../pipeline.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { filledIn } from "../tasks/outputs.ts";
import type { OutputContext } from "../tasks/outputs.ts";
import { Replays } from "../tasks/replays.ts";
import type { ReplayState } from "../tasks/replays.ts";
import type { Output, Task } from "../task.ts";
import type { BatchResult } from "../tasks/run.ts";
import type { Clock } from "../time.ts";
import type { Hosting } from "./hosting.ts";
import type { Outlets } from "./outlets.ts";

export interface ReplayingRooms {
  readonly journal: Journal;
  readonly sandbox: Sandbox;
  readonly pipeline: Pipeline;
  readonly outlets: Outlets;
  readonly hosting: Hosting;
  readonly deployments: Deployments;
  readonly outputs: OutputContext;
  readonly clock: Clock;
  readonly log: Log;
}

/** So many events that wait are a backlog, before which replays stand back. */
const BACKLOG = 64;

export class Replaying implements ReplaysSource {
  readonly #rooms: ReplayingRooms;
  readonly #replays: Replays;

  static async open(rooms: ReplayingRooms): Promise<Replaying> {
    return new Replaying(rooms, await Replays.open(doorsOf(rooms)));
  }

  private constructor(rooms: ReplayingRooms, replays: Replays) {
    this.#rooms = rooms;
    this.#replays = replays;
  }

  async start(handler: string, asked: Parameters<ReplaysSource["start"]>[1]): Promise<ReplayAnswer> {
    const { since, until, version, key, apply, perSecond } = asked;
    const { deployments, journal } = this.#rooms;
    if (!journal.past.isKept) throw new Fault("REPLAY_NOTHING_KEPT", "nothing is recorded that could be replayed");
    const kept = await deployments.kept(handler, version);
    const span = { sinceMs: Date.parse(since), untilMs: until === undefined ? NEVER_MS : Date.parse(until) };
    return this.#answer(await this.#replays.start({ handler, version: kept.version, ...span, key, apply, perSecond }));
  }

  list(handler: string): readonly ReplayAnswer[] {
    return this.#replays.list(handler).map((state) => this.#answer(state));
  }

  get(handler: string, id: string): ReplayAnswer {
    return this.#answer(this.#replays.get(handler, numberOf(id)));
  }

  async cancel(handler: string, id: string): Promise<ReplayAnswer> {
    return this.#answer(await this.#replays.cancel(handler, numberOf(id)));
  }

  async resume(handler: string, id: string): Promise<ReplayAnswer> {
    return this.#answer(await this.#replays.resume(handler, numberOf(id)));
  }

  /**
   * Runs a dead letter on that version, as a replay: with the state that its key has now, which stays as it is. What it
   * sends goes out and the letter is done, in one commit. False: there is no such letter. Throws a Fault when it fails again.
   */
  async redrive(letter: string, version: number): Promise<boolean> {
    const { journal, clock } = this.#rooms;
    const found = await journal.dead.task(letter);
    if (found === undefined) {
      if ((await journal.dead.get(letter)) === undefined) return false;
      throw new Fault("CONTROL_REQUEST", "the letter is an output that an uplink refused: no handler runs it");
    }
    const { task, number } = found;
    return await this.#replays.once(journal.handlerName(task.handler), version, async ({ run, fill }) => {
      const [state] = await journal.state(task.handler, [task.key]);
      const outputs = await new Promise<readonly Output[]>((resolve, reject) => {
        const stateVersions = journal.stateVersions(task.handler, [task.key]) ?? [];
        run([task], [state], { startsMs: [clock.now()], stateVersions }, ({ results: [result] }) => {
          const again = (why: string): void =>
            reject(new Fault("REPLAY_FAILED_AGAIN", `version ${version} could not run it: ${why}`));
          if (result?.at === "failed") return again(`${result.failure.code}: ${result.failure.message}`);
          if (result?.at !== "done") return again("the runner was lost, or takes nothing");
          const filled = fill(task, result.outputs);
          if (filled instanceof Fault) return again(`${filled.code}: ${filled.message}`);
          resolve(filled.map((output) => ({ ...output, data: Buffer.from(output.data) })));
        });
      });
      return await journal.past.bury(Math.floor(clock.now() / 1000), number, { task, outputs }, version);
    });
  }

  figures(): ReturnType<Replays["figures"]> {
    return this.#replays.figures();
  }

  close(): Promise<void> {
    return this.#replays.close();
  }

  #answer(state: ReplayState): ReplayAnswer {
    const { id, at, from, to, place, sinceMs, untilMs, startedMs, endedMs, samples, differences, ...rest } = state;
    const { journal } = this.#rooms;
    const { handler, version, why, apply, key, perSecond, events, same, skipped, sent } = rest;
    return {
      id: id.toString(36),
      state: at,
      ...{ handler, version, why, apply, key, perSecond, events, same, skipped, sent },
      since: iso(sinceMs),
      until: untilMs === NEVER_MS ? undefined : iso(untilMs),
      started: iso(startedMs),
      ended: endedMs === undefined ? undefined : iso(endedMs),
      share: at === "done" || to <= from ? 1 : Math.min(1, (place - from) / (to - from)),
      differences: { ...differences },
      samples: samples.map((sample) => ({ ...sample, event: eventId(journal.id, sample.event) })),
    };
  }
}

function doorsOf(rooms: ReplayingRooms): Parameters<typeof Replays.open>[0] {
  const { journal, sandbox, pipeline, outlets, hosting, deployments, outputs, clock, log } = rooms;
  const { past } = journal;
  /** Where outputs go of what is loaded: they wait for the fullest of those. */
  const targets = new Map<string, readonly number[]>();
  return {
    read: (handler, span, visit) => past.read(handler, span, visit),
    event: (seq) => past.event(seq),
    span: (sinceMs) => past.span(sinceMs),
    known: () => past.replays(),
    save: (id, text, sent, version) => past.save(id, text, sent, version),
    forget: (id) => past.forget(id),
    isBusy: () => pipeline.figures().handlers.reduce((sum, { waiting }) => sum + waiting, 0) > BACKLOG,
    hasRoom: (handler) =>
      journal.takesChained(journal.handlerId(handler)) &&
      !(targets.get(handler) ?? []).some((uplink) => outlets.isFull(uplink)),
    load: async (name, version) => {
      const { id, defaults } = await hosting.loadReplayed(await deployments.kept(name, version));
      targets.set(name, defaults.to);
      return {
        id,
        run: (
          tasks: readonly Task[],
          states: readonly (string | undefined)[],
          began: { readonly startsMs: readonly number[]; readonly stateVersions: readonly number[] },
          done: (result: BatchResult) => void,
        ) =>
          // Where the slot is empty, for the handler was removed, the live version must not run it: that one makes requests.
          sandbox.run(pipeline.lines.apart, id, tasks, states, done, { slot: "replay", isShadow: true, ...began }),
        fill: (task, raw) => filledIn(task, raw, defaults, outputs),
      };
    },
    unload: (name) => {
      targets.delete(name);
      hosting.unloadReplayed(name);
    },
    clock,
    log,
  };
}

/** The end of time, as JSON and Date have it. */
const NEVER_MS = 8_640_000_000_000_000;

function numberOf(id: string): number {
  return /^[0-9a-z]{1,9}$/.test(id) ? Number.parseInt(id, 36) : 0;
}

const iso = (ms: number): string => new Date(ms).toISOString();

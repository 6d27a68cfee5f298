/**
 * The replays of a gateway: those that run, and the last ones that did, with how far each came. How far is on disk with
 * what it sent; who restarts the gateway finds those that ran as interrupted, and has them go on or not.
 *
 * Bounded: one of a handler at a time, {@link RUNNING_MAX} in all, {@link KEPT_MAX} known.
 */
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import { Replay } from "./replay.ts";
import type { Loaded, Plan, Progress, ReplayDoors, Sent } from "./replay.ts";

export type { Plan } from "./replay.ts";

const RUNNING_MAX = 2;
const KEPT_MAX = 20;

export interface ReplayState extends Plan, Progress {
  readonly id: number;
  /** interrupted: the gateway ended. It can go on from all but `running` and `done`. */
  readonly at: "running" | "done" | "cancelled" | "interrupted" | "failed";
  readonly why?: string | undefined;
  readonly startedMs: number;
  readonly endedMs?: number | undefined;
  /** Places at which it begins and ends. */
  readonly from: number;
  readonly to: number;
}

export interface ReplaysDoors extends ReplayDoors {
  readonly log: Log;
  /** What is recorded at all, from then on. */
  readonly span: (sinceMs: number) => Promise<{ readonly from: number; readonly to: number }>;
  readonly known: () => Promise<readonly { readonly id: number; readonly text: string }[]>;
  readonly save: (id: number, text: string, sent: readonly Sent[], version: number) => Promise<void>;
  readonly forget: (id: number) => void;
  /** Loads the version beside the live one. Throws a Fault. */
  readonly load: (handler: string, version: number) => Promise<Loaded>;
  readonly unload: (handler: string) => void;
}

interface Running {
  readonly ending: AbortController;
  readonly ended: Promise<void>;
}

export class Replays {
  readonly #doors: ReplaysDoors;
  readonly #states = new Map<number, ReplayState>();
  readonly #running = new Map<number, Running>();
  /** Handlers whose slot for replays is taken. */
  readonly #taken = new Set<string>();
  #closing = false;
  #events = 0;
  #sent = 0;

  static async open(doors: ReplaysDoors): Promise<Replays> {
    const replays = new Replays(doors);
    for (const { id, text } of await doors.known()) {
      const state = { ...(JSON.parse(text) as ReplayState), id };
      replays.#states.set(id, state.at === "running" ? { ...state, at: "interrupted" } : state);
    }
    return replays;
  }

  private constructor(doors: ReplaysDoors) {
    this.#doors = doors;
  }

  /** The newest first. */
  list(handler: string): readonly ReplayState[] {
    return [...this.#states.values()].filter((state) => state.handler === handler).toReversed();
  }

  /** Throws Fault CONTROL_NOT_FOUND. */
  get(handler: string, id: number): ReplayState {
    const state = this.#states.get(id);
    if (state?.handler === handler) return state;
    throw new Fault("CONTROL_NOT_FOUND", `there is no replay ${id.toString(36)} of ${handler}`);
  }

  /** Begins one. Throws a Fault when it cannot. */
  async start(plan: Plan): Promise<ReplayState> {
    return await this.#take(plan.handler, async () => {
      const loaded = await this.#doors.load(plan.handler, plan.version);
      const { from, to } = await this.#doors.span(plan.sinceMs);
      const nowMs = this.#doors.clock.now();
      const last = Math.max(0, ...this.#states.keys());
      const state: ReplayState = {
        ...plan,
        // Never used again, for ids of outputs hold it.
        id: Math.max(last + 1, Math.floor(nowMs / 1000)),
        at: "running",
        startedMs: nowMs,
        ...{ from, to, place: from, events: 0, same: 0, skipped: 0, sent: 0, samples: [] },
        differences: { outputs: 0, state: 0, failed: 0, mended: 0 },
      };
      this.#forgetOldest();
      await this.#save(state);
      return this.#go(state, loaded);
    });
  }

  /** Goes on from where it ended. */
  async resume(handler: string, id: number): Promise<ReplayState> {
    const { at, version } = this.get(handler, id);
    if (at === "running" || at === "done") throw new Fault("REPLAY_NOT_STOPPED", `the replay is ${at}`);
    return await this.#take(handler, async () => {
      const loaded = await this.#doors.load(handler, version);
      const { why: _, endedMs: __, ...state } = this.get(handler, id);
      return this.#go({ ...state, at: "running" }, loaded);
    });
  }

  /** Ends it where it is. Resolves when nothing more of it counts; the event that a runner has in hand goes on for its time. */
  async cancel(handler: string, id: number): Promise<ReplayState> {
    this.get(handler, id);
    await this.#end(id);
    return this.get(handler, id);
  }

  /** Has the handler's slot for replays for the time of `work`, when no replay has it. */
  async once<Result>(handler: string, version: number, work: (loaded: Loaded) => Promise<Result>): Promise<Result> {
    let isLoaded = false;
    try {
      return await this.#take(handler, async () => {
        const loaded = await this.#doors.load(handler, version);
        isLoaded = true;
        return await work(loaded);
      });
    } finally {
      if (isLoaded) this.#free(handler);
    }
  }

  figures(): { readonly running: number; readonly events: number; readonly sent: number } {
    return { running: this.#running.size, events: this.#events, sent: this.#sent };
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#running.keys()].map((id) => this.#end(id)));
  }

  /** Only after `begin` has failed is the slot free again; else its replay frees it. */
  async #take<Result>(handler: string, begin: () => Promise<Result>): Promise<Result> {
    this.#assertOpen();
    if (this.#taken.has(handler)) throw new Fault("REPLAY_RUNNING", `a replay of ${handler} runs`);
    if (this.#taken.size >= RUNNING_MAX) throw new Fault("REPLAY_RUNNING", `${RUNNING_MAX} replays run`);
    this.#taken.add(handler);
    try {
      return await begin();
    } catch (error) {
      this.#free(handler);
      throw error;
    }
  }

  #free(handler: string): void {
    if (this.#taken.delete(handler)) this.#doors.unload(handler);
  }

  #assertOpen(): void {
    if (this.#closing) throw new Fault("CONTROL_CLOSING", "the gateway is closing");
  }

  #go(state: ReplayState, loaded: Loaded): ReplayState {
    this.#assertOpen(); // It may be by now; nobody would end it.
    const ending = new AbortController();
    this.#states.set(state.id, state);
    const { handler, version, apply, id } = state;
    this.#doors.log.info({ handler, version, replay: id.toString(36), apply }, "replay begins");
    this.#running.set(id, { ending, ended: this.#run(state, loaded, ending.signal) });
    return state;
  }

  async #run(begun: ReplayState, loaded: Loaded, signal: AbortSignal): Promise<void> {
    const { id, handler, version } = begun;
    const replay = new Replay(begun, begun.to, loaded, this.#doors, signal);
    let end: Pick<ReplayState, "at" | "why">;
    try {
      const { place } = await replay.run(begun, async (next, sent) => {
        const before = this.#states.get(id) as ReplayState;
        this.#events += next.events - before.events;
        this.#sent += next.sent - before.sent;
        await this.#save({ ...before, ...next }, sent);
      });
      end = { at: place >= begun.to ? "done" : this.#closing ? "interrupted" : "cancelled" };
    } catch (error) {
      end = { at: "failed", why: error instanceof Fault ? error.message : messageOf(error) };
    }
    const state: ReplayState = { ...(this.#states.get(id) as ReplayState), ...end, endedMs: this.#doors.clock.now() };
    const { events, same, sent, at, why } = state;
    this.#doors.log.info({ handler, version, replay: id.toString(36), at, why, events, same, sent }, "replay ended");
    await this.#save(state).catch(() => this.#states.set(id, state)); // It is over, though that is not on disk.
    this.#running.delete(id);
    this.#free(handler);
  }

  async #end(id: number): Promise<void> {
    const running = this.#running.get(id);
    running?.ending.abort();
    await running?.ended;
  }

  async #save(state: ReplayState, sent: readonly Sent[] = []): Promise<void> {
    const { id, ...rest } = state;
    await this.#doors.save(id, JSON.stringify(rest), sent, state.version);
    this.#states.set(id, state);
  }

  #forgetOldest(): void {
    for (const id of this.#states.keys()) {
      if (this.#states.size < KEPT_MAX) return;
      if (this.#running.has(id)) continue;
      this.#states.delete(id);
      this.#doors.forget(id);
    }
  }
}

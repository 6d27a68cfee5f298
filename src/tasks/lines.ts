/**
 * The lines that there are: how each one comes, goes on under other settings, and goes; and what they wait for beside new
 * events: parked tasks whose time has come, and the end of a quarantine. How a line's events run is the pipeline's.
 */
import type { Task } from "../task.ts";
import type { Feed } from "./lane.ts";
import { Line } from "./line.ts";
import type { LineContext, LineSettings } from "./line.ts";
import type { LineFigures } from "./line-figures.ts";
import type { ParkedKey } from "./parked.ts";
import { Placement } from "./placement.ts";
import type { Verdict } from "./probation.ts";
import type { Runners } from "./run.ts";
import { runShadow } from "./shadow.ts";
import type { Suspects } from "./suspects.ts";

export interface LinesJournal {
  settle: LineContext["settle"];
  fits: LineContext["fits"];
  takesChained: LineContext["takesChained"];
  tasks(handler: number, keyOf: (topic: string, device: string) => string, wake: () => void): Feed;
  /** By which versions the states were written that were just read. */
  stateVersions?(handler: number, keys: readonly string[]): readonly number[] | undefined;
  parked(handler: number): Promise<readonly ParkedKey[]>;
  readParked(handler: number, key: string, max: number): Promise<readonly Task[]>;
}

export interface LinesOptions extends Omit<
  LineContext,
  "settle" | "fits" | "takesChained" | "runners" | "quarantined" | "heldBack" | "offended" | "judged" | "shadow"
> {
  readonly journal: LinesJournal;
  readonly runners: Runners;
  /** A version of the handler was on probation, and has passed it or not; a rejected one gets nothing more to run. */
  readonly judged: (handler: string, version: number, verdict: Verdict) => void;
  /**
   * Nothing is handed out before begun(): a start takes one handler on after another, and what the first publish is for
   * those that are still to come. Default: at once.
   */
  readonly waits?: boolean;
}

/** How many of a key's parked tasks are tried in one go. */
const PARKED_BATCH_MAX = 64;
/** Wait before reading again what could not be read. */
export const REREAD_MS = 1000;
/** A timer may come a moment before the clock says so. */
const CLOCK_MS = 10;

export class Lines {
  readonly placement: Placement;
  /** Not all handlers of the start are attached yet. */
  isOpening: boolean;
  readonly #options: LinesOptions;
  readonly #suspects: Suspects<Line>;
  readonly #run: (line: Line) => void;
  readonly #lines = new Map<number, Line>();
  /** Shared runners and the one apart. */
  readonly #runnersMax: number;
  /** Handlers without a line of which a dead letter was redriven: whoever reads their parked tasks reads again. */
  readonly #redriven = new Set<number>();
  /** When lines in quarantine, or held back by their rate, go on. */
  readonly #laters = new Set<NodeJS.Timeout>();

  /** `run` hands out whatever can be of a line. */
  constructor(options: LinesOptions, suspects: Suspects<Line>, run: (line: Line) => void) {
    this.#options = options;
    this.isOpening = options.waits === true;
    this.#suspects = suspects;
    this.#run = run;
    const { runners, clock, log } = options;
    this.#runnersMax = runners.sharedMax + 1;
    const lines = (): Iterable<Line> => this.#lines.values();
    this.placement = new Placement({ runners, lines, moved: () => this.runAll(), clock, log });
  }

  /** Begins, or goes on under new settings, to run what waits for the handler. */
  async attach(settings: LineSettings): Promise<void> {
    let line = this.#lines.get(settings.id);
    if (line === undefined) {
      let parked: readonly ParkedKey[];
      do {
        this.#redriven.delete(settings.id);
        parked = await this.#options.journal.parked(settings.id);
      } while (this.#redriven.has(settings.id));
      line = this.#open(settings);
      line.parked.restore(parked);
    }
    // What failed with the version before may do well with this one.
    if (line.take(settings)) {
      line.parked.hastenAll();
      line.quarantine.lift();
    }
    if (settings.trust === "known") line.standing.prove();
    else if (settings.trust === "fresh") line.standing.renew();
    this.placement.settle(line);
    this.placement.place(line);
    this.#run(line);
  }

  /** All handlers that there were at the start are attached. */
  begun(): void {
    this.placement.begun();
    this.isOpening = false;
    this.runAll();
  }

  /** The runner that is for what is not proven. */
  get apart(): number {
    return this.#runnersMax - 1;
  }

  /** The runner where a version of the handler is to be loaded. */
  placeFor(handler: number, trust: LineSettings["trust"]): number {
    const line = this.#lines.get(handler);
    if (trust === "same" && line !== undefined) return line.lane.places[0] as number;
    return trust === "known" ? 0 : this.placement.newcomer(handler);
  }

  #open(settings: LineSettings): Line {
    const { uplink, local, wanted, hopsMax, nameOf, outcomes, died, clock, random, log, lossesMax, provenAfterMs } =
      this.#options;
    const { journal, runners } = this.#options;
    const context: LineContext = {
      runners: this.#runnersMax,
      settle: (...settled) => journal.settle(...settled),
      fits: (task, state, bytesMax) => journal.fits(task, state, bytesMax),
      takesChained: (handler) => journal.takesChained(handler),
      uplink,
      local,
      wanted,
      hopsMax,
      nameOf,
      outcomes,
      died,
      clock,
      random,
      log,
      lossesMax,
      provenAfterMs,
      offended: () => setImmediate(() => this.placement.settle()), // Not in the middle of a batch.
      judged: (version, verdict) => setImmediate(() => this.#judged(line, version, verdict)),
      shadow: (...work) => {
        const stateVersions = journal.stateVersions?.(settings.id, work[1].map(keyOfTask));
        runShadow(runners, this.#suspects, { runner: this.apart, handler: settings.id, stateVersions }, work);
      },
      quarantined: (ms) => this.#later(line, ms + CLOCK_MS),
      heldBack: (ms) => this.#later(line, ms),
    };
    const feed = journal.tasks(
      settings.id,
      (topic, device) => line.settings.keyOf(topic, device),
      () => this.#run(line),
    );
    const line = new Line(settings, context, feed, (keys) => this.#resume(line, keys));
    this.#lines.set(settings.id, line);
    return line;
  }

  /** What was to run on a candidate that was rejected runs on the live version now. */
  #judged(line: Line, version: number, verdict: Verdict): void {
    this.placement.place(line);
    if (verdict.at === "rejected" && !line.held) {
      line.parked.hastenAll();
      this.#run(line);
    }
    this.#options.judged(line.settings.name, version, verdict);
  }

  #later(line: Line, ms: number): void {
    const timer = setTimeout(() => {
      this.#laters.delete(timer);
      this.#run(line);
    }, ms);
    timer.unref(); // Not what a gateway that closes waits for.
    this.#laters.add(timer);
  }

  /** Nothing more of the handler is handed out; what waits for it stays in the journal until it is attached again. */
  detach(handler: number): void {
    const line = this.#lines.get(handler);
    if (line === undefined) return;
    line.paused = true;
    this.letGo(line);
    this.placement.settle();
  }

  /** Without a feed the journal knows that nobody takes the handler's tasks, and lets them expire in time. */
  letGo(line: Line): void {
    if (line.lane.inFlight > 0) return;
    line.close();
    if (this.#lines.get(line.settings.id) === line) this.#lines.delete(line.settings.id);
  }

  /** Hands out whatever can be: after something that held lines back is gone. */
  runAll(): void {
    for (const line of this.#lines.values()) this.#run(line);
  }

  // --- parked tasks whose time has come

  #resume(line: Line, keys: readonly string[]): void {
    const { journal, log, clock } = this.#options;
    for (const key of keys) {
      journal.readParked(line.settings.id, key, PARKED_BATCH_MAX).then(
        (tasks) => {
          line.parked.handedOut(key, tasks.length);
          line.lane.resume(tasks);
          this.#run(line);
        },
        (error: unknown) => {
          log.error({ handler: line.settings.name, err: error }, "parked tasks could not be read");
          line.parked.unread(key, clock.now() + REREAD_MS);
        },
      );
    }
  }

  /** The state of that key was removed: what runs with it runs again, on none (P9). */
  stateRemoved(handler: number, key: string): void {
    this.#lines.get(handler)?.lane.void(key);
  }

  /** A dead letter of the handler is a parked task again, due now. */
  redriven(handler: number, key: string): void {
    const line = this.#lines.get(handler);
    if (line === undefined) {
      this.#redriven.add(handler);
      return;
    }
    line.parked.park(key, this.#options.clock.now());
    line.parked.hasten(key);
  }

  /** A parked task of the handler goes for want of room. False: tasks of its key are being run, and it stays. */
  dropped(handler: number, key: string): boolean {
    return this.#lines.get(handler)?.parked.drop(key) ?? true;
  }

  /** True when no runner has a task of ours. */
  get idle(): boolean {
    for (const { lane } of this.#lines.values()) if (lane.inFlight > 0) return false;
    return true;
  }

  figures(): LineFigures[] {
    return [...this.#lines.values()].map((line) => line.figures());
  }

  close(): void {
    this.placement.close();
    for (const timer of this.#laters) clearTimeout(timer);
    for (const line of this.#lines.values()) {
      line.paused = true;
      line.close();
    }
  }
}

const keyOfTask = ({ key }: Task): string => key;

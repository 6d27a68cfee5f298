/**
 * Who runs where: brings together what handlers have shown of themselves (standing.ts) and the runners in use
 * (places.ts), and tells each lane its runners whenever one of the two changes.
 */
import { messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import type { Line } from "./line.ts";
import { Places } from "./places.ts";
import type { Runners } from "./run.ts";

export interface PlacementOptions {
  readonly runners: Runners;
  readonly lines: () => Iterable<Line>;
  /** Lanes have other runners now: what waits can be handed out there. */
  readonly moved: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

const LOOK_MS = 1000;
const isNobody = (): boolean => false;

export class Placement {
  readonly #options: PlacementOptions;
  readonly #places: Places;
  readonly #timer: NodeJS.Timeout;
  /** Whether, when it was last settled, there was something proven to be kept from the others. */
  #wasGuarded = false;
  /** Lines that are about to count as proven. */
  readonly #rising = new Set<Line>();

  constructor(options: PlacementOptions) {
    const { runners, clock, log } = options;
    this.#options = options;
    this.#places = new Places({
      sharedMax: runners.sharedMax,
      busyMs: (runner) => runners.busyMs(runner),
      wake: (runner) => runners.wake(runner),
    });
    this.#timer = setInterval(() => {
      this.#places.look(clock.monotonic(), () => {
        log.info({ runners: this.#places.shared.length }, "runners in use follow the load");
        this.settle();
      });
    }, LOOK_MS);
    this.#timer.unref();
  }

  /** Shared runners in use. */
  get shared(): number {
    return this.#places.shared.length;
  }

  /** Where a version of the handler `id` that has yet to show what it does is to be loaded, and run. */
  newcomer(id: number): number {
    const isGuarded = this.#isGuarded((line) => line.settings.id === id);
    return (isGuarded ? this.#places.apart : this.#places.shared)[0] as number;
  }

  /** Where suspects of `runner` are tried: not where others could go on meanwhile. */
  trials(runner: number): number {
    let others = 0;
    for (const { settings } of this.#options.lines()) if (!settings.route) others++;
    return others > 1 ? this.#places.apart[0] : runner;
  }

  /** Gives every lane the runners that are its now. `only`: nothing has changed but this line's own standing. */
  settle(only?: Line): void {
    const isGuarded = this.#isGuarded(isNobody);
    if (only !== undefined && isGuarded === this.#wasGuarded) {
      this.place(only);
      return;
    }
    // From now on proven ones are kept from others: those that could be proven just as well do not move away first.
    if (isGuarded && !this.#wasGuarded) {
      for (const { standing } of this.#options.lines()) if (standing.served(0)) standing.prove();
    }
    this.#wasGuarded = isGuarded;
    for (const line of this.#options.lines()) this.place(line);
    this.#options.moved();
  }

  /** All that there was at the start has come: whoever is new is as new as the others. */
  begun(): void {
    for (const { standing } of this.#options.lines()) if (!standing.isProven) standing.renew();
  }

  /** A batch of `events` of the line is back. */
  served(line: Line, events: number): void {
    if (!line.standing.served(events) || this.#rising.has(line)) return;
    this.#rising.add(line);
    void this.#prove(line);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #prove(line: Line): Promise<void> {
    const { runners, log } = this.#options;
    const { id, name } = line.settings;
    try {
      const prepared = await Promise.all(this.#places.shared.map((runner) => runners.prepare(runner, id)));
      // It may have offended meanwhile, or be another version by now: then it is not long enough any more.
      if (!prepared.every(Boolean) || !line.standing.served(0)) return;
      line.standing.prove();
      log.debug({ handler: name }, "handler proven: it runs among the others from now on");
      this.settle();
    } catch (error) {
      log.warn({ handler: name, err: messageOf(error) }, "handler stays apart for now");
    } finally {
      this.#rising.delete(line);
    }
  }

  /** Gives the line its runners: those of its live version, and those of its candidate. */
  place({ lane, settings, standing, watch }: Line): void {
    const { shared, apart } = this.#places;
    lane.place(settings.route || standing.isProven || !this.#wasGuarded ? shared : apart, watch.canary);
  }

  /** Whether there is a proven handler to be kept from others. */
  #isGuarded(isExcepted: (line: Line) => boolean): boolean {
    for (const line of this.#options.lines()) {
      if (!line.settings.route && !line.paused && line.standing.isProven && !isExcepted(line)) return true;
    }
    return false;
  }
}

/** Faults of the folder itself, and of names in it that can be no handler's: each is reported once, not at every look (D4). */
import type { Fault } from "../fault.ts";
import type { DeploymentsOptions } from "./options.ts";

export class FolderFaults {
  readonly #doors: Pick<DeploymentsOptions, "log" | "failed" | "mended">;
  readonly #figures: { failures: number };
  /** By name; the folder has none. */
  readonly #reported = new Map<string, string>();

  constructor(doors: Pick<DeploymentsOptions, "log" | "failed" | "mended">, figures: { failures: number }) {
    this.#doors = doors;
    this.#figures = figures;
  }

  get names(): readonly string[] {
    return [...this.#reported.keys()];
  }

  report(name: string, fault: Fault, isOpening: boolean): void {
    const text = fault.explain();
    if (this.#reported.get(name) === text) return;
    this.#reported.set(name, text);
    this.#figures.failures++;
    const { log, failed } = this.#doors;
    if (fault.code !== "DEPLOY_DIR_UNREADABLE") log.error({ handler: name, fault }, "handler not taken on");
    else if (isOpening) log.warn({ fault }, "no handlers: their folder cannot be read");
    else log.error({ fault }, "the handlers' folder cannot be read any more; what is live goes on");
    failed(name, fault);
  }

  retract(name: string, dir: string): void {
    this.#reported.delete(name);
    if (name === "") this.#doors.log.info({ dir }, "the handlers' folder is read again");
    this.#doors.mended(name);
  }
}

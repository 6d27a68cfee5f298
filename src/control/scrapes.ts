/**
 * What is behind /metrics, made with the first scrape: a gateway that nobody scrapes does without the library, its timers
 * and its observers, and starts sooner.
 */
import type { ControlSource } from "./control.ts";
import type { Metrics } from "./metrics.ts";

export class Scrapes {
  /** The text format of Prometheus. */
  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";
  readonly #source: ControlSource;
  #metrics: Promise<Metrics> | undefined;

  constructor(source: ControlSource) {
    this.#source = source;
  }

  async text(): Promise<string> {
    this.#metrics ??= import("./metrics.ts").then((loaded) => new loaded.Metrics(this.#source));
    return (await this.#metrics).text();
  }
}

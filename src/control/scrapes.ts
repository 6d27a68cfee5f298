/**
 * What is behind /metrics, made with the first scrape: a gateway that nobody scrapes does without the library, its timers
 * and its observers, and starts sooner.
 */
import type { ControlSource } from "./control.ts";
import type { ServerFigures } from "./figures.ts";
import type { Metrics } from "./metrics.ts";

export class Scrapes {
  /** The text format of Prometheus. */
  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";
  readonly #source: ControlSource;
  readonly #server: () => ServerFigures;
  #metrics: Promise<Metrics> | undefined;

  constructor(source: ControlSource, server: () => ServerFigures) {
    this.#source = source;
    this.#server = server;
  }

  async text(): Promise<string> {
    this.#metrics ??= import("./metrics.ts").then((loaded) => new loaded.Metrics(this.#source, this.#server));
    return (await this.#metrics).text();
  }
}

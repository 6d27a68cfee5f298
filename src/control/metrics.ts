/**
 * /metrics: what the rooms count, under Prometheus' names and units. Nothing is kept here; each scrape reads the rooms'
 * own numbers once and sets every metric of the table from them.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import type { Histogram } from "prom-client";
import type { ControlSource } from "./control.ts";
import type { ServerFigures } from "./figures.ts";
import { METRICS } from "./metric-table.ts";
import { readingOf } from "./metric.ts";
import type { HistogramMetric, Metric, Reading } from "./metric.ts";

const PREFIX = "sluice_";

/** The metrics of the process itself, for docs/metrics.md. */
export async function processMetrics(): Promise<{ name: string; type: string; help: string }[]> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: PREFIX });
  const metrics = await registry.getMetricsAsJSON();
  return metrics.map(({ name, type, help }) => ({ name, type: String(type), help }));
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #source: ControlSource;
  readonly #server: () => ServerFigures;
  #reading: Reading | undefined;

  constructor(source: ControlSource, server: () => ServerFigures) {
    this.#source = source;
    this.#server = server;
    for (const metric of METRICS) this.#register(metric);
    collectDefaultMetrics({ register: this.#registry, prefix: PREFIX });
  }

  async text(): Promise<string> {
    this.#reading = readingOf(this.#source, this.#server());
    return this.#registry.metrics();
  }

  #register(metric: Metric | HistogramMetric): void {
    if (metric.type === "histogram") {
      this.#registerHistogram(metric);
      return;
    }
    const { name, type, help, labels, read } = metric;
    const samples = (): readonly { labels: Readonly<Record<string, string>>; value: number }[] =>
      this.#reading === undefined ? [] : read(this.#reading);
    const options = { name, help, labelNames: [...labels], registers: [this.#registry] };
    if (type === "gauge") {
      const gauge: Gauge = new Gauge({
        ...options,
        collect: () => {
          gauge.reset();
          for (const { labels: at, value } of samples()) gauge.set(at, value);
        },
      });
      return;
    }
    const counter: Counter = new Counter({
      ...options,
      collect: () => {
        counter.reset();
        for (const { labels: at, value } of samples()) counter.inc(at, value);
      },
    });
  }

  /** prom-client's own counts one by one; ours are counted already. */
  #registerHistogram({ name, help, spreads }: HistogramMetric): void {
    const valuesOf = (): Values =>
      this.#reading === undefined
        ? []
        : spreads(this.#reading).flatMap(({ labels: at, upTo, count, sum }) => [
            ...upTo.map(([le, value]) => ({ metricName: `${name}_bucket`, labels: { ...at, le }, value })),
            { metricName: `${name}_bucket`, labels: { ...at, le: "+Inf" }, value: count },
            { metricName: `${name}_sum`, labels: at, value: sum },
            { metricName: `${name}_count`, labels: at, value: count },
          ]);
    const shown = {
      name,
      help,
      type: "histogram",
      get: async () => ({ name, help, type: "histogram", values: valuesOf() }),
    };
    // All that a registry asks of a metric; prom-client has no type for one that is not its own.
    this.#registry.registerMetric(shown as unknown as Histogram);
  }
}

type Values = Awaited<ReturnType<Histogram["get"]>>["values"];

/** Metrics of what handlers' events take, and of who looks on. */
import type { Figures } from "./figures.ts";
import { byLabel, counter, gauge } from "./metric.ts";
import type { HistogramMetric, Metric, Spread } from "./metric.ts";

type HandlerFigures = Figures["pipeline"]["handlers"][number];

/** Each bucket of these is so many of the fine ones: 13 from 10 µs to three minutes, each four times the one before. */
const FINE_ONES = 4;

const eventSeconds: HistogramMetric = {
  name: "sluice_handler_event_seconds",
  type: "histogram",
  help: "How long events took in their runner, tries that failed included; each counts with the mean of the batch that it ran in.",
  labels: ["handler"],
  spreads: ({ figures }) =>
    figures.pipeline.handlers.filter(({ recent }) => recent.total.counts.some((count) => count > 0)).map(spreadOf),
};

function spreadOf({ name, recent: { boundsMs, total } }: HandlerFigures): Spread {
  const upTo: [number, number][] = [];
  let count = 0;
  for (const [i, bound] of boundsMs.entries()) {
    count += total.counts[i] ?? 0;
    if (i % FINE_ONES === 0) upTo.push([Number((bound / 1000).toPrecision(6)), count]);
  }
  count += total.counts[boundsMs.length] ?? 0;
  return { labels: { handler: name }, upTo, count, sum: total.tookMs / 1000 };
}

export const watchMetrics: readonly (Metric | HistogramMetric)[] = [
  eventSeconds,
  byLabel(
    "counter",
    "handler_cpu_seconds_total",
    "handler",
    "Processor time of runners that went into the handler's batches.",
    ({ figures }) => Object.fromEntries(figures.pipeline.handlers.map((of) => [of.name, of.recent.total.cpuMs / 1000])),
  ),
  byLabel(
    "gauge",
    "handler_heap_bytes",
    "handler",
    "The most that the heap of one of the handler's isolates took at the end of a batch in the last two to four minutes, garbage included.",
    // Of a route, and of a handler that nothing ran of lately, there is none.
    ({ figures }) =>
      Object.fromEntries(
        figures.pipeline.handlers.flatMap((of) => (of.recent.heapBytes > 0 ? [[of.name, of.recent.heapBytes]] : [])),
      ),
  ),
  gauge("control_connections", "Connections to the control port.", ({ server }) => server.connections.open),
  counter(
    "control_connections_crowded_out_total",
    "Connections to the control port that were closed because there were as many as may be.",
    ({ server }) => server.connections.crowdedOut,
  ),
  gauge("control_upload_bytes", "Bytes of large bodies that are on their way.", ({ server }) => server.uploads.bytes),
  counter(
    "control_uploads_refused_total",
    "Large bodies that were refused because too much of others was on its way.",
    ({ server }) => server.uploads.refused,
  ),
  gauge("streams_open", "Readers of the stream.", ({ figures }) => figures.stream.open),
  counter(
    "stream_entries_total",
    "Entries that readers of the stream were told.",
    ({ figures }) => figures.stream.sent,
  ),
  byLabel(
    "counter",
    "stream_left_out_total",
    "reason",
    "Entries that a reader of the stream was not told because there were too many a second (rate) or it is slow, and ones that were not kept for later (kept).",
    ({ figures }) => figures.stream.leftOut,
  ),
];

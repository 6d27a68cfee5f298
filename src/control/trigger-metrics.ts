/** Metrics of what makes events of its own accord, and of what runs past ones again. */
import { byLabel, counter, gauge } from "./metric.ts";
import type { Metric } from "./metric.ts";

export const triggerMetrics: readonly Metric[] = [
  counter("schedule_ticks_total", "Ticks of schedules that made an event.", ({ figures }) => figures.triggers.ticks),
  counter(
    "schedule_missed_total",
    "Instants of schedules that made none: nobody was there, and the policy leaves them out.",
    ({ figures }) => figures.triggers.missed,
  ),
  counter(
    "schedule_rewound_total",
    "Schedules begun anew because the clock was set back far behind them.",
    ({ figures }) => figures.triggers.rewound,
  ),
  byLabel(
    "counter",
    "webhook_calls_total",
    "result",
    "Calls of webhooks, by what became of them.",
    ({ figures }) => figures.triggers.calls,
  ),
  counter("notices_total", "Events of `on`: what happened in the gateway.", ({ figures }) => figures.triggers.notices),
  byLabel(
    "counter",
    "notices_suppressed_total",
    "reason",
    "What handlers waited for and made no event: too often, the end of a chain, no room.",
    ({ figures }) => figures.triggers.suppressed,
  ),
  gauge("replays_running", "Replays that run.", ({ figures }) => figures.replays.running),
  counter("replayed_events_total", "Events that replays ran again.", ({ figures }) => figures.replays.events),
  counter("replayed_outputs_total", "Outputs that replays sent.", ({ figures }) => figures.replays.sent),
];

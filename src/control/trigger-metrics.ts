/** Metrics of what makes events of its own accord. */
import { byLabel, counter } from "./metric.ts";
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
    "Schedules begun anew because the clock was a day behind them.",
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
];

/**
 * The table of metrics: name, what it says, and where it is read. Names follow Prometheus: `_total` for what only rises,
 * base units (seconds, bytes), labels for the parts of one whole. docs/metrics.md is held against this table.
 */
import { brokerMetrics } from "./broker-metrics.ts";
import { journalMetrics } from "./journal-metrics.ts";
import { triggerMetrics } from "./trigger-metrics.ts";
import type { HandlerFetches } from "./figures.ts";
import { byLabel, counter, gauge, perHandler, perUplink } from "./metric.ts";
import type { HistogramMetric, Metric } from "./metric.ts";
import { watchMetrics } from "./watch-metrics.ts";

/** The columns of the ledger that only rise. What is pending, waiting or dead may go on from there: those are gauges. */
const ENDS = ["accepted", "emitted", "done", "delivered", "expired", "dropped"];

function ends(columns: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(columns).filter(([name]) => ENDS.includes(name));
}

function outputs(): Metric {
  return {
    name: "sluice_outputs_total",
    type: "counter",
    help: "Ledger: outputs by uplink and by what became of them; emitted counts all of them, those waiting and rejected too.",
    labels: ["uplink", "end"],
    read: ({ status }) =>
      Object.entries(status.ledger.uplinks).flatMap(([uplink, columns]) =>
        ends(columns).map(([end, value]) => ({ labels: { uplink, end }, value })),
      ),
  };
}

function byHandlerAnd(
  name: string,
  label: string,
  help: string,
  read: (of: HandlerFetches) => Readonly<Record<string, number>>,
): Metric {
  return {
    name: `sluice_${name}`,
    type: "counter",
    help,
    labels: ["handler", label],
    read: ({ figures }) =>
      Object.entries(figures.egress.handlers).flatMap(([handler, of]) =>
        Object.entries(read(of)).map(([part, value]) => ({ labels: { handler, [label]: part }, value })),
      ),
  };
}

const gateway: readonly Metric[] = [
  byLabel("gauge", "build_info", "version", "Always 1; the label has the version.", ({ status }) => ({
    [status.version]: 1,
  })),
  gauge("ready", "1 while events are accepted, else 0.", ({ ready }) => (ready.length === 0 ? 1 : 0)),
  gauge("start_time_seconds", "When the gateway started, seconds since 1970.", ({ status }) => status.startedMs / 1000),
];

const ledger: readonly Metric[] = [
  byLabel(
    "counter",
    "tasks_total",
    "end",
    "Ledger: tasks by what became of them; accepted counts all of them, those pending and dead too.",
    ({ status }) => Object.fromEntries(ends(status.ledger.events)),
  ),
  gauge("tasks_dead", "Ledger: tasks that are dead letters.", ({ status }) => status.ledger.events.dead),
  gauge("tasks_pending", "Ledger: tasks that have not ended.", ({ status }) => status.ledger.events.pending),
  counter("events_unmatched_total", "Events that no handler wanted; not journaled.", ({ status }) => status.unmatched),
  byLabel("counter", "task_retries_total", "handler", "Tries that failed and were put off.", ({ figures }) =>
    Object.fromEntries(figures.pipeline.handlers.map(({ name, retried }) => [name, retried])),
  ),
  outputs(),
];

function budgets(): Metric {
  return {
    name: "sluice_handler_budget_spent_total",
    type: "counter",
    help: "How often a handler has spent a budget: events that failed for it, log lines that were dropped (log), waits for further outputs (rate).",
    labels: ["handler", "budget"],
    read: ({ figures: { pipeline, sandbox } }) => [
      ...pipeline.handlers.flatMap(({ name: handler, budgets: spent }) =>
        Object.entries(spent).map(([budget, value]) => ({ labels: { handler, budget }, value })),
      ),
      ...Object.entries(sandbox.logLinesDropped).map(([handler, value]) => ({
        labels: { handler, budget: "log" },
        value,
      })),
    ],
  };
}

const handlers: readonly Metric[] = [
  perHandler("handler_version", "The live version; 0 when none has loaded.", (of) => of.version),
  perHandler("handler_tasks_waiting", "Tasks not yet begun, parked ones excluded.", (of) => of.waiting),
  perHandler(
    "handler_tasks_parked",
    "Tasks that wait for a further try, or behind one of their key.",
    (of) => of.parked,
  ),
  perHandler("handler_tasks_running", "Tasks handed to a runner.", (of) => of.running),
  perHandler("handler_quarantined", "1 while it stands aside because it has cost runners, else 0.", (of) =>
    of.quarantinedMs > 0 ? 1 : 0,
  ),
  budgets(),
  byLabel(
    "counter",
    "handler_held_back_seconds_total",
    "handler",
    "For how long events have waited because the handler's outputs of a second were spent.",
    ({ figures }) => Object.fromEntries(figures.pipeline.handlers.map((of) => [of.name, of.heldBackMs / 1000])),
  ),
  byLabel(
    "gauge",
    "handler_state_bytes",
    "handler",
    "Bytes of the states of all its keys, as they are stored.",
    ({ figures }) => figures.journal.stateBytesOf,
  ),
  perHandler(
    "handler_proven",
    "1 when it runs among proven handlers, 0 while it has yet to show that it costs no isolate and no runner.",
    (of) => (of.proven ? 1 : 0),
  ),
  perHandler("handler_failing", "1 while the newest build is not live, else 0.", (of) =>
    of.failure === undefined ? 0 : 1,
  ),
];

const sandbox: readonly Metric[] = [
  gauge(
    "sandbox_runners_in_use",
    "Runners that proven handlers' tasks are dealt to; they follow the load.",
    ({ figures }) => figures.pipeline.runners,
  ),
  gauge(
    "sandbox_runners_awake",
    "Runners that have a process; one more than are in use while something runs apart.",
    ({ figures }) => figures.sandbox.runnersAwake,
  ),
  gauge("sandbox_runners_ready", "Runners that take work.", ({ figures }) => figures.sandbox.runnersReady),
  gauge(
    "sandbox_runners_spare",
    "Runners kept in reserve, each for a while after one was lost.",
    ({ figures }) => figures.sandbox.runnersSpare,
  ),
  counter("sandbox_runners_started_total", "Runners started.", ({ figures }) => figures.sandbox.runnersStarted),
  counter(
    "sandbox_runners_lost_total",
    "Runners that ended or were killed.",
    ({ figures }) => figures.sandbox.runnersLost,
  ),
  byLabel(
    "counter",
    "sandbox_runners_killed_total",
    "reason",
    "Runners killed, by reason.",
    ({ figures: { sandbox } }) => ({
      memory: sandbox.killedForMemory,
      time: sandbox.killedForTime,
      nonsense: sandbox.killedForNonsense,
    }),
  ),
  gauge(
    "sandbox_isolates",
    "Isolates in the runners, as far as they have told.",
    ({ figures }) => figures.sandbox.isolates,
  ),
  byLabel(
    "counter",
    "sandbox_isolates_given_up_total",
    "reason",
    "Isolates that were given up and will be built anew: idle, or because memory was short.",
    ({ figures: { sandbox } }) => ({ idle: sandbox.isolatesRested, memory: sandbox.isolatesYielded }),
  ),
  gauge(
    "sandbox_memory_cgroup",
    "1 where each runner has a memory cgroup, 0 where only the gateway looks at its memory.",
    ({ figures }) => figures.sandbox.memoryCgroup,
  ),
  gauge("sandbox_resident_bytes", "Memory of the runners.", ({ figures }) => figures.sandbox.rssBytes),
  gauge("sandbox_batches_in_flight", "Batches that runners have.", ({ figures }) => figures.sandbox.batchesInFlight),
  counter("sandbox_batches_total", "Batches handed to runners.", ({ figures }) => figures.sandbox.batches),
  counter(
    "sandbox_tasks_total",
    "Tasks handed to runners, further tries included.",
    ({ figures }) => figures.sandbox.tasks,
  ),
];

const egress: readonly Metric[] = [
  byHandlerAnd(
    "fetches_total",
    "outcome",
    "Fetches of handlers, by what became of them; denied ones were not granted, or led to an address that is not.",
    ({ ends }) => ends,
  ),
  byHandlerAnd(
    "fetch_bytes_total",
    "direction",
    "Bytes of bodies that handlers sent, and of answers, unpacked.",
    ({ sentBytes, receivedBytes }) => ({ sent: sentBytes, received: receivedBytes }),
  ),
  gauge("fetches_in_flight", "Fetches under way.", ({ figures }) => figures.egress.inFlight),
  gauge(
    "fetch_held_bytes",
    "Bytes of requests and answers that are held for fetches.",
    ({ figures }) => figures.egress.bytesHeld,
  ),
];

const deployments: readonly Metric[] = [
  gauge("handlers_live", "Handlers with a live version.", ({ figures }) => figures.deployments.live),
  gauge("handlers_failing", "Handlers whose newest build is not live.", ({ figures }) => figures.deployments.failing),
  counter("deploys_total", "Versions and settings that went live.", ({ figures }) => figures.deployments.deploys),
  counter("deploy_failures_total", "Versions that did not go live.", ({ figures }) => figures.deployments.failures),
  counter(
    "deploy_rollbacks_total",
    "Versions that were taken back, by themselves or by somebody.",
    ({ figures }) => figures.deployments.rollbacks,
  ),
];

const uplinks: readonly Metric[] = [
  byLabel("gauge", "uplink_outputs_waiting", "uplink", "Ledger: outputs in the outbox.", ({ status }) =>
    Object.fromEntries(Object.entries(status.ledger.uplinks).map(([name, of]) => [name, of.waiting])),
  ),
  byLabel(
    "gauge",
    "uplink_outputs_rejected",
    "uplink",
    "Ledger: outputs that were rejected and are dead letters.",
    ({ status }) => Object.fromEntries(Object.entries(status.ledger.uplinks).map(([name, of]) => [name, of.rejected])),
  ),
  perUplink("gauge", "uplink_waiting_bytes", "Bytes in the outbox.", (of) => of.waitingBytes),
  perUplink("gauge", "uplink_healthy", "1 while the other side acknowledges, else 0.", (of) => (of.healthy ? 1 : 0)),
  perUplink("counter", "uplink_sent_total", "Outputs handed to the other side, repeats included.", (of) => of.sent),
  perUplink("counter", "uplink_resent_total", "Outputs handed over once more.", (of) => of.resent),
  perUplink("counter", "uplink_batches_total", "Batches handed over.", (of) => of.batches),
  perUplink("gauge", "uplink_batches_outstanding", "Batches on their way.", (of) => of.outstanding),
  perUplink("counter", "uplink_faults_total", "Batches that failed.", (of) => of.faults),
  perUplink("counter", "uplink_breaker_opened_total", "Times the breaker opened.", (of) => of.breakerOpened),
];

export const METRICS: readonly (Metric | HistogramMetric)[] = [
  ...gateway,
  ...ledger,
  ...handlers,
  ...watchMetrics,
  ...triggerMetrics,
  ...deployments,
  ...sandbox,
  ...egress,
  ...journalMetrics,
  ...uplinks,
  ...brokerMetrics,
];

/**
 * The table of metrics: name, what it says, and where it is read. Names follow Prometheus: `_total` for what only rises,
 * base units (seconds, bytes), labels for the parts of one whole. docs/metrics.md is held against this table.
 */
import type { ControlSource, Status } from "./control.ts";
import type { Figures } from "./figures.ts";

/** What one scrape reads: each room is asked once. */
export interface Reading {
  readonly status: Status;
  readonly figures: Figures;
  readonly ready: readonly string[];
}

export function readingOf(source: ControlSource): Reading {
  return { status: source.status(), figures: source.figures(), ready: source.ready() };
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (reading: Reading) => readonly Sample[];
}

type Read = (reading: Reading) => number;

const single = (type: "counter" | "gauge", name: string, help: string, read: Read): Metric => ({
  name: `sluice_${name}`,
  type,
  help,
  labels: [],
  read: (reading) => [{ labels: {}, value: read(reading) }],
});

const counter = (name: string, help: string, read: Read): Metric => single("counter", name, help, read);
const gauge = (name: string, help: string, read: Read): Metric => single("gauge", name, help, read);

/** One metric with a sample for each entry of a record. */
function byLabel(
  type: "counter" | "gauge",
  name: string,
  label: string,
  help: string,
  read: (reading: Reading) => Readonly<Record<string, number>>,
): Metric {
  return {
    name: `sluice_${name}`,
    type,
    help,
    labels: [label],
    read: (reading) => Object.entries(read(reading)).map(([of, value]) => ({ labels: { [label]: of }, value })),
  };
}

const perUplink = (
  type: "counter" | "gauge",
  name: string,
  help: string,
  read: (of: Figures["uplinks"][string]) => number,
): Metric =>
  byLabel(type, name, "uplink", help, ({ figures }) =>
    Object.fromEntries(Object.entries(figures.uplinks).map(([uplink, of]) => [uplink, read(of)])),
  );

const perHandler = (name: string, help: string, read: (of: Status["handlers"][number]) => number): Metric =>
  byLabel("gauge", name, "handler", help, ({ status }) =>
    Object.fromEntries(status.handlers.map((handler) => [handler.name, read(handler)])),
  );

/** The columns of the ledger that only rise: all but the one of what has not ended. */
function ends(columns: Readonly<Record<string, number>>, open: string): [string, number][] {
  return Object.entries(columns).filter(([name]) => name !== open);
}

function outputs(): Metric {
  return {
    name: "sluice_outputs_total",
    type: "counter",
    help: "Ledger: outputs by uplink and by what became of them; emitted counts all of them.",
    labels: ["uplink", "end"],
    read: ({ status }) =>
      Object.entries(status.ledger.uplinks).flatMap(([uplink, columns]) =>
        ends(columns, "waiting").map(([end, value]) => ({ labels: { uplink, end }, value })),
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
    "Ledger: tasks by what became of them; accepted counts all of them.",
    ({ status }) => Object.fromEntries(ends(status.ledger.events, "pending")),
  ),
  gauge("tasks_pending", "Ledger: tasks that have not ended.", ({ status }) => status.ledger.events.pending),
  counter("events_unmatched_total", "Events that no handler wanted; not journaled.", ({ status }) => status.unmatched),
  byLabel("counter", "task_retries_total", "handler", "Tries that failed and were put off.", ({ figures }) =>
    Object.fromEntries(figures.pipeline.handlers.map(({ name, retried }) => [name, retried])),
  ),
  outputs(),
];

const handlers: readonly Metric[] = [
  perHandler("handler_version", "The live version; 0 when none has loaded.", (of) => of.version),
  perHandler("handler_tasks_waiting", "Tasks not yet begun, parked ones excluded.", (of) => of.waiting),
  perHandler(
    "handler_tasks_parked",
    "Tasks that wait for a further try, or behind one of their key.",
    (of) => of.parked,
  ),
  perHandler("handler_tasks_running", "Tasks handed to a runner.", (of) => of.running),
  perHandler("handler_failing", "1 while the newest build is not live, else 0.", (of) =>
    of.failure === undefined ? 0 : 1,
  ),
];

const journal: readonly Metric[] = [
  gauge("journal_size_bytes", "Bytes the journal has on disk.", ({ status }) => status.journal.bytes),
  gauge("journal_size_max_bytes", "Its limit: journal.sizeMax.", ({ status }) => status.journal.sizeMaxBytes),
  gauge(
    "journal_damage_ranges",
    "Ranges known to be damaged at rest; 0 on a healthy box.",
    ({ status }) => status.damage.length,
  ),
];

const uplinks: readonly Metric[] = [
  byLabel("gauge", "uplink_outputs_waiting", "uplink", "Ledger: outputs in the outbox.", ({ status }) =>
    Object.fromEntries(Object.entries(status.ledger.uplinks).map(([name, of]) => [name, of.waiting])),
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

const broker: readonly Metric[] = [
  gauge("broker_devices", "Devices logged in.", ({ figures }) => figures.broker.devices),
  gauge("broker_half_open", "Connections not logged in yet.", ({ figures }) => figures.broker.halfOpen),
  counter("broker_connections_total", "Connections taken.", ({ figures }) => figures.broker.connections),
  counter("broker_logins_total", "Devices that logged in.", ({ figures }) => figures.broker.logins),
  byLabel("counter", "broker_logins_refused_total", "reason", "Logins refused, by reason.", ({ figures }) => ({
    ...figures.broker.refusedLogins,
  })),
  counter(
    "broker_malformed_total",
    "Connections closed because they broke MQTT.",
    ({ figures }) => figures.broker.malformed,
  ),
  counter(
    "broker_oversized_total",
    "Connections closed for a packet over its limit.",
    ({ figures }) => figures.broker.oversized,
  ),
  counter(
    "broker_keepalive_expired_total",
    "Devices silent for 1.5 times their keepalive.",
    ({ figures }) => figures.broker.keepaliveExpired,
  ),
  byLabel("counter", "broker_published_total", "qos", "Publishes taken from devices.", ({ figures }) =>
    Object.fromEntries(figures.broker.published.map((count, qos) => [String(qos), count])),
  ),
  counter("broker_wills_total", "Wills published for devices that were lost.", ({ figures }) => figures.broker.wills),
  counter("broker_acked_total", "Publishes acknowledged after their commit.", ({ figures }) => figures.broker.acked),
  counter(
    "broker_repeated_total",
    "QoS 2 publishes that came again and were not taken twice.",
    ({ figures }) => figures.broker.repeated,
  ),
  byLabel(
    "counter",
    "broker_refused_total",
    "what",
    "What was refused, by what it was.",
    ({ figures: { broker } }) => ({
      reservedTopic: broker.reservedTopics,
      deniedTopic: broker.deniedTopics,
      qos0: broker.refusedQos0,
      connection: broker.refusedConnections,
      will: broker.refusedWills,
      subscription: broker.refusedSubscriptions,
      retained: broker.retainedRefused,
    }),
  ),
  byLabel(
    "gauge",
    "broker_held",
    "reason",
    "Devices whose socket is not read at the moment, by reason.",
    ({ figures: { broker } }) => ({
      inflight: broker.heldInflight,
      journal: broker.heldRoom,
      local: broker.heldLocal,
    }),
  ),
  counter(
    "broker_local_delivered_total",
    "Messages handed to local subscribers.",
    ({ figures }) => figures.broker.localDelivered,
  ),
  gauge(
    "broker_local_pending",
    "Messages on their way to local subscribers.",
    ({ figures }) => figures.broker.localPending,
  ),
  gauge(
    "broker_outbound_bytes",
    "Bytes waiting for devices that do not read.",
    ({ figures }) => figures.broker.outboundBytes,
  ),
  counter(
    "broker_outbound_dropped_total",
    "QoS 0 messages dropped for devices that do not read.",
    ({ figures }) => figures.broker.outboundDropped,
  ),
  counter(
    "broker_outbound_disconnects_total",
    "Devices disconnected because they do not read.",
    ({ figures }) => figures.broker.outboundDisconnects,
  ),
  gauge("broker_subscriptions", "Filters of all sessions.", ({ figures }) => figures.broker.subscriptions),
  gauge("broker_sessions", "Persistent sessions, offline ones included.", ({ figures }) => figures.broker.sessions),
  counter(
    "broker_sessions_expired_total",
    "Persistent sessions removed because their device stayed away.",
    ({ figures }) => figures.broker.sessionsExpired,
  ),
  gauge("broker_queued", "Messages kept for sessions.", ({ figures }) => figures.broker.queued),
  gauge("broker_queued_bytes", "Bytes kept for sessions.", ({ figures }) => figures.broker.queuedBytes),
  counter(
    "broker_queue_dropped_total",
    "Messages dropped from full queues of sessions.",
    ({ figures }) => figures.broker.queueDropped,
  ),
  gauge("broker_retained", "Retained messages.", ({ figures }) => figures.broker.retained),
  gauge("broker_retained_bytes", "Bytes of retained messages.", ({ figures }) => figures.broker.retainedBytes),
  counter(
    "broker_store_failures_total",
    "Writes of the session store that failed and were tried again.",
    ({ figures }) => figures.broker.storeFailures,
  ),
];

export const METRICS: readonly Metric[] = [...gateway, ...ledger, ...handlers, ...journal, ...uplinks, ...broker];

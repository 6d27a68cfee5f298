/** Metrics of the broker. */
import { byLabel, counter, gauge } from "./metric.ts";
import type { Metric } from "./metric.ts";

export const brokerMetrics: readonly Metric[] = [
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
  gauge(
    "broker_held",
    "Devices whose socket is not read: at their in-flight limit, or because there is no room.",
    ({ figures }) => figures.broker.held,
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
    "broker_inbound_bytes",
    "Bytes of packets that have come in part.",
    ({ figures }) => figures.broker.inboundBytes,
  ),
  counter(
    "broker_inbound_disconnects_total",
    "Connections closed because packets that have come in part were beyond their limit.",
    ({ figures }) => figures.broker.inboundDisconnects,
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
    "broker_store_damaged_total",
    "Damaged records of the session store, left out.",
    ({ figures }) => figures.broker.storeDamaged,
  ),
  counter(
    "broker_store_failures_total",
    "Writes of the session store that failed and were tried again.",
    ({ figures }) => figures.broker.storeFailures,
  ),
];
